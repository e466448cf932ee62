import { Readable } from 'node:stream'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import type { RolloutStatus } from '../../base/deployment.ts'
import { toWire } from './field-names.ts'
import { jittered, WATCH_MS_MAX } from './until-changed.ts'

export interface RolloutEventsNeeds {
  clock: Clock
  random: Random
  log: Logger
  deployments: Pick<Orchestrator, 'get' | 'follow'>
  feed: { readonly stopped: AbortSignal }
}

/** As for the events of the membership. */
const HEARTBEAT_MS = 15_000
const RETRY_MS = 2_000

/**
 * The latest rollout of a service as server-sent events `rollout`, each the whole status, until it has ended; likewise within ten
 * minutes and when the node stops. Only the newest status waits for a reader, so a slow one costs no memory.
 */
export function rolloutEvents(needs: RolloutEventsNeeds, service: string): Readable {
  return new RolloutEvents(needs, service)
}

class RolloutEvents extends Readable {
  readonly #needs: RolloutEventsNeeds
  readonly #following = new AbortController()
  readonly #cleanUp: (() => void)[] = []
  #isWanted = false
  /** The newest status nobody has read yet. */
  #newest: RolloutStatus | undefined
  #hasEnded = false
  #heartbeat: Timer | undefined

  constructor(needs: RolloutEventsNeeds, service: string) {
    super()
    this.#needs = needs
    const { clock, random, feed } = needs
    this.push(`retry: ${RETRY_MS}\n\n`)
    const onStop = (): void => this.#end()
    feed.stopped.addEventListener('abort', onStop)
    const life = clock.after(jittered(WATCH_MS_MAX, random), onStop)
    this.#cleanUp.push(
      () => this.#following.abort(),
      () => feed.stopped.removeEventListener('abort', onStop),
      () => life.cancel(),
      () => this.#heartbeat?.cancel(),
    )
    this.#armHeartbeat()
    if (feed.stopped.aborted) this.#end()
    else void this.#follow(service)
  }

  override _read(): void {
    this.#isWanted = true
    this.#handOn()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()
    done(error)
  }

  /** Never rejects. */
  async #follow(service: string): Promise<void> {
    const { deployments, log } = this.#needs
    const { signal } = this.#following
    try {
      const now = deployments.get(service).rollout
      if (now) this.#tell(now)
      if (now?.state === 'running') {
        for await (const status of deployments.follow(service, signal)) this.#tell(status)
      }
    } catch (error) {
      // The reader comes back and learns why then: the service may just have been removed.
      if (!signal.aborted) log.warning('Following a rollout has failed', { service, error })
    }
    if (!signal.aborted) this.#end()
  }

  #tell(status: RolloutStatus): void {
    this.#newest = status
    this.#handOn()
  }

  #handOn(): void {
    if (!this.#isWanted) return
    if (this.#newest) {
      const text = `event: rollout\ndata: ${JSON.stringify(toWire(this.#newest))}\n\n`
      this.#newest = undefined
      this.#isWanted = this.push(text)
    }
    if (this.#hasEnded && !this.#newest) this.push(null)
  }

  #armHeartbeat(): void {
    this.#heartbeat = this.#needs.clock.after(HEARTBEAT_MS, () => {
      if (this.#isWanted) this.#isWanted = this.push(':\n\n')
      this.#armHeartbeat()
    })
  }

  /** What was told last is still handed on. */
  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#release()
    this.#handOn()
  }

  #release(): void {
    for (const release of this.#cleanUp.splice(0)) release()
  }
}
