import type { Logger } from '../../../base/log.ts'
import { codeOf, messageOf } from '../../../base/errors.ts'
import { type Clock, delay } from '../../../base/time.ts'
import type { TextMessage } from './text-message.ts'

/** A message of log lines or events, ready to be sent to many. */
export interface FeedMessage {
  message: TextMessage
  /** Lines or events in it. */
  count: number
  /** After it everything up to the one with this cursor has been sent. */
  cursor: number
}

/** Who gets what comes. */
export interface FeedTarget {
  deliver(message: FeedMessage): void
  /** Resolves when it can take more without waiting; for one that catches up. */
  drained(): Promise<void>
  /** Nothing comes any more: it cannot be read. */
  failed(): void
}

/** Something that is stored one after the other, and sent as it is. */
export interface FeedSource<Item, Filter> {
  /** For people: "log lines". */
  name: string
  /** Those that match, after the one with the cursor, each once and in order, until the signal aborts. */
  subscribe(filter: Filter, options: { after: number; signal: AbortSignal }): AsyncIterable<readonly Item[]>
  cursorOf(item: Item): number
  /** @param before everything up to this cursor has been sent */
  messagesOf(group: readonly Item[], before: number): FeedMessage[]
}

interface SharedFeedNeeds<Item, Filter> {
  clock: Clock
  log: Logger
  source: FeedSource<Item, Filter>
}

/**
 * Lines that come so soon after others wait for them: unseen by people, and much less to send. A message costs the same for
 * each socket whatever is in it, so where there are few it leaves sooner.
 */
const GATHER_MS = { min: 2, perTarget: 0.15, max: 15 } as const
/** The store answers only so many questions at once; one that was too many is asked again. */
const RETRY_MS = 250
/** A group as large as this has more behind it. */
const GROUP_FULL = 500
/** Written to in one turn of the event loop, at some 50 µs each: what else waits is done in between. */
const TARGETS_PER_TURN = 16

/**
 * Gives what a source has to any number of sockets. Those that want the same share one reader and its messages; one that has to
 * catch up reads for itself until it is level with them.
 */
export class SharedFeed<Item, Filter> {
  readonly #needs: SharedFeedNeeds<Item, Filter>
  readonly #channels = new Map<string, Channel<Item, Filter>>()

  constructor(needs: SharedFeedNeeds<Item, Filter>) {
    this.#needs = needs
  }

  /** Those that match, after the one with the cursor, each once and in order, until the signal aborts. */
  follow(filter: Filter, target: FeedTarget, { after, signal }: { after: number; signal: AbortSignal }): void {
    if (signal.aborted) return
    const key = JSON.stringify(filter)
    const channel = this.#channels.get(key) ?? this.#open(key, filter, after)
    if (after >= channel.head) channel.add(target, after, signal)
    else void this.#catchUp(key, filter, target, { after, signal })
  }

  #open(key: string, filter: Filter, after: number): Channel<Item, Filter> {
    const channel = new Channel(this.#needs, { filter, after }, () => {
      if (this.#channels.get(key) === channel) this.#channels.delete(key)
    })
    this.#channels.set(key, channel)
    return channel
  }

  /** Never rejects. */
  async #catchUp(
    key: string,
    filter: Filter,
    target: FeedTarget,
    { after, signal }: { after: number; signal: AbortSignal },
  ): Promise<void> {
    const own = new AbortController()
    let at = after
    let goesOn = false
    const { source, clock, log } = this.#needs
    try {
      const groups = source.subscribe(filter, { after, signal: AbortSignal.any([signal, own.signal]) })
      for await (const group of groups) {
        for (const message of source.messagesOf(group, at)) target.deliver(message)
        at = endOf(source, group, at)
        await target.drained()
        goesOn = at >= (this.#channels.get(key)?.head ?? 0)
        if (signal.aborted || goesOn) break
      }
    } catch (error) {
      goesOn = await waitsOut(error, clock, signal)
      if (!goesOn && !signal.aborted) {
        log.warning(`The ${source.name} cannot be read for a dashboard`, { error: messageOf(error) })
        target.failed()
      }
    }
    own.abort()
    if (goesOn) this.follow(filter, target, { after: at, signal })
  }
}

class Channel<Item, Filter> {
  readonly #needs: SharedFeedNeeds<Item, Filter>
  readonly #targets = new Map<FeedTarget, { after: number }>()
  readonly #ended = new AbortController()
  readonly #onEmpty: () => void
  /** Cursor of the last one that was given. */
  head: number

  constructor(needs: SharedFeedNeeds<Item, Filter>, from: { filter: Filter; after: number }, onEmpty: () => void) {
    this.#needs = needs
    this.#onEmpty = onEmpty
    this.head = from.after
    void this.#run(from.filter)
  }

  /** @param after of what is up to this one it has no need */
  add(target: FeedTarget, after: number, signal: AbortSignal): void {
    this.#targets.set(target, { after })
    const remove = (): void => {
      this.#targets.delete(target)
      if (this.#targets.size > 0) return
      this.#ended.abort()
      this.#onEmpty()
    }
    signal.addEventListener('abort', remove, { once: true })
  }

  /** Never rejects. A store that cannot be read is asked again by the next socket. */
  async #run(filter: Filter): Promise<void> {
    const { clock, log, source } = this.#needs
    const { signal } = this.#ended
    let goesOn = true
    while (goesOn) {
      try {
        await this.#read(filter)
        goesOn = false
      } catch (error) {
        goesOn = await waitsOut(error, clock, signal)
        if (goesOn || signal.aborted) continue
        log.warning(`The ${source.name} cannot be read for the dashboards`, { error: messageOf(error) })
        for (const target of this.#targets.keys()) target.failed()
      }
    }
    this.#onEmpty()
  }

  async #read(filter: Filter): Promise<void> {
    const { source, clock } = this.#needs
    const { signal } = this.#ended
    for await (const group of source.subscribe(filter, { after: this.head, signal })) {
      await this.#give(group)
      const gatherMs = Math.min(GATHER_MS.max, GATHER_MS.min + GATHER_MS.perTarget * this.#targets.size)
      if (group.length < GROUP_FULL) await delay(clock, gatherMs, signal)
      else await nextTurn()
    }
  }

  async #give(group: readonly Item[]): Promise<void> {
    const { source } = this.#needs
    const [first] = group
    if (first === undefined) return
    const before = this.head
    const messages = source.messagesOf(group, before)
    this.head = endOf(source, group, before)
    let given = 0
    // Those that come meanwhile are level already; those that go are passed over.
    for (const [target, state] of this.#targets) {
      if (state.after >= this.head) continue
      const isAhead = state.after >= source.cursorOf(first)
      const own = isAhead ? this.#laterThan(state.after, group) : messages
      state.after = this.head
      for (const message of own) target.deliver(message)
      if (++given % TARGETS_PER_TURN === 0) await nextTurn()
    }
  }

  #laterThan(after: number, group: readonly Item[]): FeedMessage[] {
    const { source } = this.#needs
    const later = group.filter((item) => source.cursorOf(item) > after)
    return source.messagesOf(later, after)
  }
}

function endOf<Item>(source: Pick<FeedSource<Item, unknown>, 'cursorOf'>, group: readonly Item[], at: number): number {
  const last = group.at(-1)
  return last === undefined ? at : source.cursorOf(last)
}

/** Lets everything else that waits have its turn. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Waits for the next attempt when the store was only too busy. @returns whether there is to be one */
async function waitsOut(failure: unknown, clock: Clock, signal: AbortSignal): Promise<boolean> {
  const code = codeOf(failure)
  if (code !== 'P2P_RPC_OVERLOADED' && code !== 'P2P_STORAGE_OVERLOADED') return false
  await delay(clock, RETRY_MS, signal).catch(() => {})
  return !signal.aborted
}
