import { Readable } from 'node:stream'
import type { Membership } from '../../base/member.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { MemberChange, MemberFeed } from './member-feed.ts'
import { clusterNode, clusterNodes, STATUS_NAMES } from './node-view.ts'
import { jittered, WATCH_MS_MAX } from './until-changed.ts'

export interface MemberEventsNeeds {
  clock: Clock
  random: Random
  feed: MemberFeed
  membership: Membership
  /** Of a coordinator. */
  deployments?: Pick<Orchestrator, 'drains'>
}

/** A comment at least so often keeps connections through proxies open, and tells the reader that the node is there. */
const HEARTBEAT_MS = 15_000
/** How long a client waits before it connects again. */
const RETRY_MS = 2_000

/**
 * The membership as server-sent events (HTML standard, section 9.2): `snapshot`, then `member` for each change, their ids
 * the numbers of the feed. After `lastIndex` it goes on where the reader was, if all since then is still kept. It ends by
 * itself after ten minutes, so that a withdrawn credential is noticed, and when the node stops; the reader then comes back.
 *
 * Nothing is stored for a reader: it takes changes from the feed at its own pace, and is cut when the feed no longer has
 * the one it needs next.
 */
export function memberEvents(needs: MemberEventsNeeds, lastIndex: number | undefined): Readable {
  return new MemberEvents(needs, lastIndex)
}

class MemberEvents extends Readable {
  readonly #needs: MemberEventsNeeds
  readonly #cleanUp: (() => void)[] = []
  /** Number of the last change that was handed on. */
  #index: number
  #isWanted = false
  #heartbeat: Timer | undefined

  constructor(needs: MemberEventsNeeds, lastIndex: number | undefined) {
    super()
    this.#needs = needs
    const { feed, clock, random } = needs
    const isResumed = lastIndex !== undefined && feed.reachesBackTo(lastIndex)
    this.#index = isResumed ? lastIndex : feed.index
    this.push(`retry: ${RETRY_MS}\n\n`)
    if (!isResumed) this.push(this.#snapshot())

    const onStop = (): void => this.#end()
    feed.stopped.addEventListener('abort', onStop)
    const life = clock.after(jittered(WATCH_MS_MAX, random), onStop)
    this.#cleanUp.push(
      feed.onChange(() => this.#onChange()),
      () => feed.stopped.removeEventListener('abort', onStop),
      () => life.cancel(),
      () => this.#heartbeat?.cancel(),
    )
    this.#armHeartbeat()
    if (feed.stopped.aborted) this.#end()
  }

  override _read(): void {
    this.#isWanted = true
    this.#handOn()
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#release()
    done(error)
  }

  #onChange(): void {
    if (this.#needs.feed.reachesBackTo(this.#index)) this.#handOn()
    else this.destroy()
  }

  #handOn(): void {
    while (this.#isWanted) {
      const change = this.#needs.feed.after(this.#index)
      if (!change) return
      this.#index = change.index
      this.#isWanted = this.push(bytesOf(change))
    }
  }

  #snapshot(): string {
    const { feed, clock } = this.#needs
    return eventText('snapshot', feed.index, clusterNodes(this.#needs, clock.wallMs()))
  }

  #armHeartbeat(): void {
    this.#heartbeat = this.#needs.clock.after(HEARTBEAT_MS, () => {
      if (this.#isWanted) this.#isWanted = this.push(':\n\n')
      this.#armHeartbeat()
    })
  }

  #end(): void {
    this.#release()
    this.push(null)
  }

  #release(): void {
    for (const release of this.#cleanUp.splice(0)) release()
  }
}

/** A change goes to every reader in the same bytes, so they are made once. */
const CHANGE_BYTES = new WeakMap<MemberChange, Buffer>()

function bytesOf(change: MemberChange): Buffer {
  const known = CHANGE_BYTES.get(change)
  if (known) return known
  const { index, member, previous, wallMs, drain } = change
  const data = { node: clusterNode(member, wallMs, drain), previous_status: previous ? STATUS_NAMES[previous] : null }
  const bytes = Buffer.from(eventText('member', index, data))
  CHANGE_BYTES.set(change, bytes)
  return bytes
}

/** JSON has no line breaks, so one data line is enough. */
function eventText(event: 'snapshot' | 'member', index: number, data: object): string {
  return `event: ${event}\nid: ${index}\ndata: ${JSON.stringify(data)}\n\n`
}
