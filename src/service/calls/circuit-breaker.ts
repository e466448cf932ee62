import { codeOf, type ErrorCode } from '../../base/errors.ts'

/** Calls of the last ten seconds or so decide. */
const WINDOW_MS = 10_000
const FAILURES_MIN = 5
const FAILED_RATIO = 0.5
const OPEN_MS_FIRST = 1_000
const OPEN_MS_MAX = 30_000

/**
 * What says that the instance itself is in trouble. Any other failure is an answer: the instance is there and does its work.
 */
const TROUBLE: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>([
  'P2P_TRANSPORT_CHANNEL_CLOSED',
  'P2P_TRANSPORT_UNREACHABLE',
  'P2P_TRANSPORT_OVERLOADED',
  'P2P_RPC_DEADLINE_EXCEEDED',
  'P2P_RPC_INTERNAL',
  'P2P_RPC_OVERLOADED',
])

/**
 * Keeps calls from an instance that mostly fails: closed it lets all through; open none; after a while one call at a time
 * tries whether it is well again (half-open).
 */
export class CircuitBreaker {
  #windowBeginMs = -Infinity
  #calls = 0
  #failures = 0
  /** Undefined: closed. */
  #opensAtMs: number | undefined
  #openMs = OPEN_MS_FIRST
  #isTrying = false

  get isClosed(): boolean {
    return this.#opensAtMs === undefined
  }

  /** When a call may try again; undefined: any may. */
  get retryAtMs(): number | undefined {
    return this.#opensAtMs
  }

  /** Whether a call may go through now; when open, the one that is told yes is the trial. */
  admits(nowMs: number): boolean {
    if (this.#opensAtMs === undefined) return true
    if (nowMs < this.#opensAtMs || this.#isTrying) return false
    this.#isTrying = true
    return true
  }

  succeeded(nowMs: number): void {
    if (this.#opensAtMs !== undefined) {
      this.#opensAtMs = undefined
      this.#openMs = OPEN_MS_FIRST
      this.#isTrying = false
      this.#beginWindow(nowMs)
    }
    this.#calls++
  }

  failed(error: unknown, nowMs: number): void {
    const code = codeOf(error)
    if (code === 'P2P_RPC_CANCELLED') {
      // Given up by its caller: says nothing.
      this.#isTrying = false
      return
    }
    if (!TROUBLE.has(code)) {
      this.succeeded(nowMs)
      return
    }
    if (this.#isTrying) {
      this.#isTrying = false
      this.#open(nowMs, Math.min(this.#openMs * 2, OPEN_MS_MAX))
      return
    }
    if (nowMs - this.#windowBeginMs > WINDOW_MS) this.#beginWindow(nowMs)
    this.#calls++
    this.#failures++
    const isTooMuch = this.#failures >= FAILURES_MIN && this.#failures >= this.#calls * FAILED_RATIO
    if (isTooMuch && this.#opensAtMs === undefined) this.#open(nowMs, OPEN_MS_FIRST)
  }

  #open(nowMs: number, openMs: number): void {
    this.#openMs = openMs
    this.#opensAtMs = nowMs + openMs
  }

  #beginWindow(nowMs: number): void {
    this.#windowBeginMs = nowMs
    this.#calls = 0
    this.#failures = 0
  }
}
