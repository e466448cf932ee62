import { RpcError } from '../../base/errors.ts'
import { type NodeId, type Principal, principalLabel } from '../../base/identity.ts'
import type { Clock } from '../../base/time.ts'
import { createRateLimiter, type RateLimiter } from '../../transport/index.ts'
import type { MethodDescriptor } from '../definition/descriptor.ts'
import { FairQueue } from './fair-queue.ts'

/** Calls that wait for their turn when the method does not say how many may. */
const QUEUE_MAX = 100
/** Callers whose rate is remembered, of one method. */
const CALLERS_MAX = 1_000

/** A call that waits for its turn. */
export interface Queued {
  /** Who shares the queue with others: the node that brought it, or the caller on this one. */
  readonly owner: string
  /** It was given up meanwhile. */
  readonly hasEnded: boolean
  begin(): void
  /** It was given up before its turn came. */
  drop(): void
  /** There is no room for it to wait, or not any more. */
  refuse(refusal: RpcError): void
}

/** What a method's own limits say to its calls: how often one caller may call, and how many calls run at once. */
export class MethodGuard {
  readonly #name: string
  readonly #limiter: RateLimiter | undefined
  readonly #concurrency: number
  readonly #queueMax: number
  readonly #queue: FairQueue<Queued>
  #running = 0
  #isAdmitting = false

  constructor(clock: Clock, { service, name, rate, concurrency, queue }: MethodDescriptor) {
    this.#name = `${service}/${name}`
    this.#limiter = rate && createRateLimiter({ clock }, { ...rate, keysMax: CALLERS_MAX })
    this.#concurrency = concurrency ?? Infinity
    this.#queueMax = queue ?? QUEUE_MAX
    this.#queue = new FairQueue(this.#queueMax, ({ owner }) => owner)
  }

  /**
   * @param relayedBy the node that says whose call it is: it uses up what is that person's through it, and nothing else
   * @returns why the caller may not call now
   */
  refusalOf(caller: Principal, relayedBy: NodeId | undefined): RpcError | undefined {
    const label = principalLabel(caller)
    const verdict = this.#limiter?.take(relayedBy === undefined ? label : `${label} by ${relayedBy}`)
    if (!verdict || verdict.ok) return undefined
    const message = `${label} calls ${this.#name} too often: wait ${verdict.retryAfterMs} ms`
    return new RpcError('P2P_RPC_RATE_LIMITED', message, { method: this.#name, retryAfterMs: verdict.retryAfterMs })
  }

  /** Lets the call begin now or when its turn comes, or refuses it, or another that had more than its share of the queue. */
  enter(call: Queued): void {
    if (this.#running < this.#concurrency) {
      this.#running++
      call.begin()
      return
    }
    if (this.#queue.isFull) {
      for (const ended of this.#queue.takeOut(({ hasEnded }) => hasEnded)) ended.drop()
    }
    const displaced = this.#queue.push(call)
    if (!displaced) return
    const message = `${this.#concurrency} calls of ${this.#name} run and ${this.#queueMax} wait: try again later`
    displaced.refuse(new RpcError('P2P_RPC_OVERLOADED', message, { method: this.#name }))
  }

  /** A call that had begun has ended. */
  leave(): void {
    this.#running--
    // A call that ends at once comes back here: the loop below goes on for it, instead of one call deep in the other.
    if (this.#isAdmitting) return
    this.#isAdmitting = true
    while (this.#running < this.#concurrency) {
      const next = this.#queue.shift()
      if (!next) break
      if (next.hasEnded) next.drop()
      else {
        this.#running++
        next.begin()
      }
    }
    this.#isAdmitting = false
  }
}

/** Whether the method has limits of its own; most have none and need no guard. */
export function isGuarded({ rate, concurrency }: MethodDescriptor): boolean {
  return rate !== undefined || concurrency !== undefined
}
