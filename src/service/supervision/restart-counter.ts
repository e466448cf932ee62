/** When what has ended is started again. */
export interface RestartRule {
  /** `on-failure`: not after an end in order; `never`: what has ended stays so. */
  policy: 'always' | 'on-failure' | 'never'
  /** Pause before the first new start; it doubles with each end up to `backoffMsMax`, and is cut by up to a half at random. */
  backoffMsMin: number
  backoffMsMax: number
  /** So many ends within `windowMs`, and it is given up. */
  endsMax: number
  windowMs: number
  /** An end after this long in the state `running` is the first one again. */
  healthyMs: number
}

/**
 * Why a run ended: `done` by itself and in order; `fault` its own; `killed` by a signal from outside, which is not its fault;
 * `hopeless` when the next start cannot be any better, because its code cannot be loaded.
 */
export type EndCause = 'done' | 'fault' | 'killed' | 'hopeless'

export type Verdict =
  /** Start it again after the pause. */
  | { kind: 'again'; delayMs: number }
  /** It has done what it was for. */
  | { kind: 'done' }
  | { kind: 'give-up'; reason: string }

/** Who kills a service by hand may do so often; it comes back at once, but not in a busy loop. */
const KILLED_BACKOFF_MS_MAX = 1_000

/** Counts the ends of one instance and decides what follows. */
export class RestartCounter {
  readonly #rule: RestartRule
  /** Moments of the ends that were its own fault, within the window. */
  #faultsMs: number[] = []
  #endsInARow = 0

  constructor(rule: RestartRule) {
    this.#rule = rule
  }

  /**
   * @param nowMs on the monotonic clock
   * @param end `ranMs`: how long it was in the state `running`; `reason` is told when it is given up
   * @param chance in [0, 1)
   */
  ended(nowMs: number, end: { cause: EndCause; ranMs: number; reason: string }, chance: number): Verdict {
    const { policy, endsMax, windowMs, healthyMs } = this.#rule
    const { cause, ranMs, reason } = end
    if (cause === 'hopeless') return { kind: 'give-up', reason }
    if (cause === 'done' && policy !== 'always') return { kind: 'done' }
    if (policy === 'never') return { kind: 'give-up', reason }
    if (ranMs >= healthyMs) this.reset()
    this.#endsInARow++
    if (cause === 'killed') return { kind: 'again', delayMs: Math.min(this.#pauseMs(chance), KILLED_BACKOFF_MS_MAX) }
    this.#faultsMs = [...this.#faultsMs.filter((atMs) => atMs > nowMs - windowMs), nowMs]
    if (this.#faultsMs.length < endsMax) return { kind: 'again', delayMs: this.#pauseMs(chance) }
    const times = `${endsMax} times within ${Math.round(windowMs / 1_000)} s`
    return { kind: 'give-up', reason: `it ended ${times} and is not started again by itself; the last time: ${reason}` }
  }

  /** Somebody started it by hand, or it has been well for long. */
  reset(): void {
    this.#faultsMs = []
    this.#endsInARow = 0
  }

  #pauseMs(chance: number): number {
    const { backoffMsMin, backoffMsMax } = this.#rule
    // Beyond 2^30 the limit has long won.
    const fullMs = Math.min(backoffMsMax, backoffMsMin * 2 ** Math.min(30, this.#endsInARow - 1))
    return fullMs * (1 - chance / 2)
  }
}
