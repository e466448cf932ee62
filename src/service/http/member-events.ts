import { Readable } from 'node:stream'
import type { Membership } from '../../base/member.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { MemberChange, MemberFeed } from './member-feed.ts'
import { clusterNode, clusterNodes, STATUS_NAMES } from './node-view.ts'
import { COMMENT, RETRY_FIELD, StreamLife } from './stream-life.ts'

export interface MemberEventsNeeds {
  clock: Clock
  random: Random
  feed: MemberFeed
  membership: Membership
  /** Of a coordinator. */
  deployments?: Pick<Orchestrator, 'drains'>
}

/**
 * The membership as server-sent events: `snapshot`, then `member` for each change, their ids the numbers of the feed. After
 * `lastIndex` it goes on where the reader was, if all since then is still kept. It has the life of a {@link StreamLife}.
 *
 * Nothing is stored for a reader: it takes changes from the feed at its own pace, and is cut when the feed no longer has
 * the one it needs next.
 */
export function memberEvents(needs: MemberEventsNeeds, lastIndex: number | undefined): Readable {
  return new MemberEvents(needs, lastIndex)
}

class MemberEvents extends Readable {
  readonly #needs: MemberEventsNeeds
  readonly #life: StreamLife
  readonly #unlisten: () => void
  /** Number of the last change that was handed on. */
  #index: number
  #isWanted = false

  constructor(needs: MemberEventsNeeds, lastIndex: number | undefined) {
    super()
    this.#needs = needs
    const { feed } = needs
    const isResumed = lastIndex !== undefined && feed.reachesBackTo(lastIndex)
    this.#index = isResumed ? lastIndex : feed.index
    this.push(RETRY_FIELD)
    if (!isResumed) this.push(this.#snapshot())
    this.#life = new StreamLife(needs, { beat: () => this.#beat(), end: () => this.#end() })
    this.#unlisten = feed.onChange(() => this.#onChange())
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

  #beat(): void {
    if (this.#isWanted) this.#isWanted = this.push(COMMENT)
  }

  #end(): void {
    this.#release()
    this.push(null)
  }

  #release(): void {
    this.#life.release()
    this.#unlisten()
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
