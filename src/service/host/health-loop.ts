import { messageOf, RpcError } from '../../base/errors.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { HealthMeter, type HealthRule } from '../supervision/health-meter.ts'

export interface HealthRhythm extends HealthRule {
  /** From one answer to the next question. */
  intervalMs: number
  /** An answer that takes longer is a failure. */
  timeoutMs: number
}

export interface HealthLoopOptions {
  /** Resolves when the instance is well; its signal is aborted when it takes too long. */
  probe: (signal: AbortSignal) => Promise<void>
  /** Until it was well for the first time it may fail as often as it likes: how long that may take is somebody else's limit. */
  isPatient: boolean
  /** Called after each answer. */
  onAnswer: (loop: HealthLoop) => void
}

/** While a program is awaited for the first time it is asked this often. */
const FIRST_INTERVAL_MS = 50

/** Asks an instance again and again how it is. */
export class HealthLoop {
  readonly #clock: Clock
  readonly #rhythm: HealthRhythm
  readonly #probe: (signal: AbortSignal) => Promise<void>
  readonly #isPatient: boolean
  readonly #onAnswer: (loop: HealthLoop) => void
  readonly #meter: HealthMeter
  #timer: Timer | undefined
  #asking: AbortController | undefined
  #hasSucceeded = false
  #lastFailure: string | undefined

  constructor(clock: Clock, rhythm: HealthRhythm, { probe, isPatient, onAnswer }: HealthLoopOptions) {
    this.#isPatient = isPatient
    this.#clock = clock
    this.#rhythm = rhythm
    this.#probe = probe
    this.#onAnswer = onAnswer
    this.#meter = new HealthMeter(rhythm)
  }

  /** Why the instance is failing; undefined while it is healthy. */
  get reason(): string | undefined {
    return this.#meter.reason
  }

  /** What kept it from being well for the first time, so far; undefined once it was. */
  get waitsBecause(): string | undefined {
    return this.#isWaited ? this.#lastFailure : undefined
  }

  get isHopeless(): boolean {
    return this.#meter.isHopeless
  }

  get hasSucceeded(): boolean {
    return this.#hasSucceeded
  }

  /** Asks for the first time at once. */
  start(): void {
    this.#ask()
  }

  stop(): void {
    this.#timer?.cancel()
    this.#asking?.abort(new RpcError('P2P_RPC_CANCELLED', 'The instance is not asked any more'))
    this.#asking = undefined
  }

  #ask(): void {
    const asking = new AbortController()
    const { timeoutMs } = this.#rhythm
    this.#asking = asking
    const limit = this.#clock.after(timeoutMs, () => {
      asking.abort(new RpcError('P2P_RPC_DEADLINE_EXCEEDED', `no answer within ${timeoutMs} ms`))
    })
    const answered = (take: () => void): void => {
      limit.cancel()
      if (this.#asking !== asking) return
      take()
      this.#timer = this.#clock.after(this.#pauseMs(), () => this.#ask())
      this.#onAnswer(this)
    }
    this.#probe(asking.signal).then(
      () =>
        answered(() => {
          this.#hasSucceeded = true
          this.#meter.succeeded()
        }),
      (error: unknown) => answered(() => this.#failed(messageOf(error))),
    )
  }

  #failed(reason: string): void {
    this.#lastFailure = reason
    if (!this.#isWaited) this.#meter.failed(reason)
  }

  /** For the first good answer. */
  get #isWaited(): boolean {
    return this.#isPatient && !this.#hasSucceeded
  }

  #pauseMs(): number {
    const { intervalMs } = this.#rhythm
    return this.#isWaited ? Math.min(intervalMs, FIRST_INTERVAL_MS) : intervalMs
  }
}
