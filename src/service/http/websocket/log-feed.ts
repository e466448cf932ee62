import type { LogFilter, LogLine, LogReader } from '../../../base/log-line.ts'
import type { Logger } from '../../../base/log.ts'
import { codeOf, messageOf } from '../../../base/errors.ts'
import { type Clock, delay } from '../../../base/time.ts'
import { logLineText } from '../log-wire.ts'

/** A message of lines, ready to be sent to many. */
export interface LogMessage {
  bytes: Buffer
  /** Lines in it. */
  count: number
  /** After it everything up to the line with this cursor has been sent. */
  cursor: number
}

/** Who gets lines. */
export interface LogTarget {
  deliver(message: LogMessage): void
  /** Resolves when it can take more without waiting; for one that catches up. */
  drained(): Promise<void>
  /** No lines come any more: they cannot be read. */
  failed(): void
}

export interface LogFeedNeeds {
  clock: Clock
  log: Logger
  logs: Pick<LogReader, 'subscribe'>
}

/**
 * Lines that come so soon after others wait for them: unseen by people, and much less to send. A message costs the same for
 * each socket whatever is in it, so where there are few it leaves sooner.
 */
const GATHER_MS = { min: 2, perTarget: 0.1, max: 10 } as const
/** The store answers only so many questions at once; one that was too many is asked again. */
const RETRY_MS = 250
/** A group as large as this has more behind it. */
const GROUP_LINES_FULL = 500

/**
 * Gives log lines to any number of sockets. Those that want the same lines share one reader and its messages; one that has to
 * catch up reads for itself until it is level with them.
 */
export class LogFeed {
  readonly #needs: LogFeedNeeds
  readonly #channels = new Map<string, LogChannel>()

  constructor(needs: LogFeedNeeds) {
    this.#needs = needs
  }

  /** Lines that match, after the one with the cursor, each once and in order, until the signal aborts. */
  follow(filter: LogFilter, target: LogTarget, { after, signal }: { after: number; signal: AbortSignal }): void {
    if (signal.aborted) return
    const key = JSON.stringify(filter)
    const channel = this.#channels.get(key) ?? this.#open(key, filter, after)
    if (after >= channel.head) channel.add(target, after, signal)
    else void this.#catchUp(key, filter, target, { after, signal })
  }

  #open(key: string, filter: LogFilter, after: number): LogChannel {
    const channel = new LogChannel(this.#needs, { filter, after }, () => {
      if (this.#channels.get(key) === channel) this.#channels.delete(key)
    })
    this.#channels.set(key, channel)
    return channel
  }

  /** Never rejects. */
  async #catchUp(
    key: string,
    filter: LogFilter,
    target: LogTarget,
    { after, signal }: { after: number; signal: AbortSignal },
  ): Promise<void> {
    const own = new AbortController()
    let at = after
    let goesOn = false
    try {
      const lines = this.#needs.logs.subscribe(filter, { after, signal: AbortSignal.any([signal, own.signal]) })
      for await (const group of lines) {
        for (const message of messagesOf(group, at)) target.deliver(message)
        at = group.at(-1)?.cursor ?? at
        await target.drained()
        goesOn = at >= (this.#channels.get(key)?.head ?? 0)
        if (signal.aborted || goesOn) break
      }
    } catch (error) {
      goesOn = await waitsOut(error, this.#needs.clock, signal)
      if (!goesOn) this.#needs.log.warning('Log lines cannot be read for a dashboard', { error: messageOf(error) })
      if (!goesOn) target.failed()
    }
    own.abort()
    if (goesOn) this.follow(filter, target, { after: at, signal })
  }
}

class LogChannel {
  readonly #needs: LogFeedNeeds
  readonly #targets = new Map<LogTarget, { after: number }>()
  readonly #ended = new AbortController()
  readonly #onEmpty: () => void
  /** Cursor of the last line that was given. */
  head: number

  constructor(needs: LogFeedNeeds, from: { filter: LogFilter; after: number }, onEmpty: () => void) {
    this.#needs = needs
    this.#onEmpty = onEmpty
    this.head = from.after
    void this.#run(from.filter)
  }

  /** @param after of lines up to this one it has no need */
  add(target: LogTarget, after: number, signal: AbortSignal): void {
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
  async #run(filter: LogFilter): Promise<void> {
    const { clock, log } = this.#needs
    const { signal } = this.#ended
    let goesOn = true
    while (goesOn) {
      try {
        await this.#read(filter)
        goesOn = false
      } catch (error) {
        goesOn = await waitsOut(error, clock, signal)
        if (goesOn || signal.aborted) continue
        log.warning('Log lines cannot be read for the dashboards', { error: messageOf(error) })
        for (const target of this.#targets.keys()) target.failed()
      }
    }
    this.#onEmpty()
  }

  async #read(filter: LogFilter): Promise<void> {
    const { logs, clock } = this.#needs
    const { signal } = this.#ended
    for await (const group of logs.subscribe(filter, { after: this.head, signal })) {
      this.#give(group)
      const gatherMs = Math.min(GATHER_MS.max, GATHER_MS.min + GATHER_MS.perTarget * this.#targets.size)
      if (group.length < GROUP_LINES_FULL) await delay(clock, gatherMs, signal)
    }
  }

  #give(group: readonly LogLine[]): void {
    const messages = messagesOf(group, this.head)
    this.head = group.at(-1)?.cursor ?? this.head
    for (const [target, state] of this.#targets) {
      if (state.after >= this.head) continue
      const isAhead = state.after > (group[0]?.cursor ?? 0) - 1
      const own = isAhead
        ? messagesOf(
            group.filter(({ cursor }) => cursor > state.after),
            state.after,
          )
        : messages
      state.after = this.head
      for (const message of own) target.deliver(message)
    }
  }
}

/** Waits for the next attempt when the store was only too busy. @returns whether there is to be one */
async function waitsOut(failure: unknown, clock: Clock, signal: AbortSignal): Promise<boolean> {
  if (codeOf(failure) !== 'P2P_RPC_OVERLOADED') return false
  await delay(clock, RETRY_MS, signal).catch(() => {})
  return !signal.aborted
}

/** A message for the lines of each node, as the Python program's pages expect; only the last one moves the cursor to the end. */
function messagesOf(group: readonly LogLine[], before: number): LogMessage[] {
  const byNode = Map.groupBy(group, ({ nodeId }) => nodeId)
  const end = group.at(-1)?.cursor ?? before
  const timestamp = new Date(group.at(-1)?.receivedMs ?? 0).toISOString()
  return [...byNode].map(([nodeId, lines], index) => {
    const cursor = index === byNode.size - 1 ? end : before
    const head = JSON.stringify({ type: 'new_logs', node_id: nodeId, timestamp, cursor: String(cursor) })
    const bytes = Buffer.from(`${head.slice(0, -1)},"logs":[${lines.map(logLineText).join()}]}`)
    return { bytes, count: lines.length, cursor }
  })
}
