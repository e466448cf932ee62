import { Readable } from 'node:stream'
import type { Logger } from '../../base/log.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import type { RolloutStatus } from '../../base/deployment.ts'
import { toWire } from './field-names.ts'
import { COMMENT, RETRY_FIELD, StreamLife, type StreamLifeNeeds } from './stream-life.ts'

export interface RolloutEventsNeeds extends StreamLifeNeeds {
  log: Logger
  deployments: Pick<Orchestrator, 'get' | 'follow'>
}

/**
 * The latest rollout of a service as server-sent events `rollout`, each the whole status, until it has ended, or with its
 * {@link StreamLife}. Only the newest status waits for a reader, so a slow one costs no memory.
 */
export function rolloutEvents(needs: RolloutEventsNeeds, service: string): Readable {
  return new RolloutEvents(needs, service)
}

class RolloutEvents extends Readable {
  readonly #needs: RolloutEventsNeeds
  readonly #following = new AbortController()
  readonly #life: StreamLife
  #isWanted = false
  /** The newest status nobody has read yet. */
  #newest: RolloutStatus | undefined
  #hasEnded = false

  constructor(needs: RolloutEventsNeeds, service: string) {
    super()
    this.#needs = needs
    this.push(RETRY_FIELD)
    this.#life = new StreamLife(needs, { beat: () => this.#beat(), end: () => this.#end() })
    if (needs.feed.stopped.aborted) this.#end()
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

  #beat(): void {
    if (this.#isWanted) this.#isWanted = this.push(COMMENT)
  }

  /** What was told last is still handed on. */
  #end(): void {
    if (this.#hasEnded) return
    this.#hasEnded = true
    this.#release()
    this.#handOn()
  }

  #release(): void {
    this.#following.abort()
    this.#life.release()
  }
}
