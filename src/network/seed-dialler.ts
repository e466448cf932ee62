import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Peers } from '../base/peer.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'

/** The first tries come fast: nodes that are started together find each other at once. */
const BACKOFF_MS_MIN = 250
const BACKOFF_MS_MAX = 10_000

export interface SeedDiallerNeeds {
  peers: Peers
  clock: Clock
  random: Random
  log: Logger
  /** Whether the seeds are needed: no other coordinator is known to be alive. */
  isNeeded: () => boolean
}

/** Dials the configured coordinators for as long as none is known to be alive, with a growing, capped, jittered pause. */
export class SeedDialler {
  readonly #needs: SeedDiallerNeeds
  readonly #seeds: readonly string[]
  readonly #ended = new AbortController()
  #timer: Timer | undefined
  #dial: Promise<void> | undefined
  #backoffMs = BACKOFF_MS_MIN
  #hasComplained = false

  constructor(needs: SeedDiallerNeeds, seeds: readonly string[]) {
    this.#needs = needs
    this.#seeds = seeds
  }

  /** To be called at the start and when the membership has changed. */
  check(): void {
    if (this.#seeds.length === 0 || this.#ended.signal.aborted) return
    if (!this.#needs.isNeeded()) this.#rest()
    else if (!this.#timer && !this.#dial) this.#begin()
  }

  async stop(): Promise<void> {
    this.#ended.abort(new Error('Gossip has been stopped.'))
    this.#timer?.cancel()
    await this.#dial
  }

  #rest(): void {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#backoffMs = BACKOFF_MS_MIN
    if (this.#hasComplained) this.#needs.log.info('Found a coordinator again.')
    this.#hasComplained = false
  }

  #begin(): void {
    this.#dial = this.#dialAll().finally(() => {
      this.#dial = undefined
      if (this.#ended.signal.aborted || !this.#needs.isNeeded()) return
      // Between one and two times the pause, so that many nodes do not come at once.
      const pauseMs = this.#backoffMs * (1 + this.#needs.random.float())
      this.#backoffMs = Math.min(this.#backoffMs * 2, BACKOFF_MS_MAX / 2)
      this.#timer = this.#needs.clock.after(pauseMs, () => {
        this.#timer = undefined
        this.check()
      })
    })
  }

  /** Never rejects. */
  async #dialAll(): Promise<void> {
    const { peers, log } = this.#needs
    const dials = this.#seeds.map((seed) => peers.open({ addresses: [seed] }, this.#ended.signal))
    const results = await Promise.allSettled(dials)
    const failures = results.filter((result) => result.status === 'rejected')
    if (failures.length < results.length || this.#hasComplained || this.#ended.signal.aborted) return
    this.#hasComplained = true
    log.warning('No coordinator can be reached; this node keeps trying.', {
      addresses: this.#seeds,
      why: failures.map((failure) => messageOf(failure.reason)),
    })
  }
}
