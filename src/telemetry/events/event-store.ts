import { join } from 'node:path'
import type { Component } from '../../base/component.ts'
import { codeOf, messageOf, StorageError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type {
  HappenedEvent,
  Timeline,
  TimelineEvent,
  TimelineFilter,
  TimelinePage,
  TimelinePosition,
} from '../../base/timeline.ts'
import type { OpenThread, StoreThread } from '../logs/store-thread.ts'
import type { EventCalls } from './thread/event-messages.ts'

export interface EventStoreNeeds {
  clock: Clock
  files: Files
  log: Logger
  openThread: OpenThread
}

/** Where events are told. Never throws and never waits: what cannot be stored now is stored later, or counted as lost. */
export interface EventRecorder {
  record(event: HappenedEvent): void
  /**
   * Tells in which state something is; an event is recorded only where that is not the state it was last in, also when that was
   * before a restart.
   * @param key what it is about, for instance `member/worker-1`
   * @param eventOf what to record; undefined: only the state is remembered. `previous` is undefined for something never seen
   */
  observe(key: string, state: string, eventOf: (previous: string | undefined) => HappenedEvent | undefined): void
}

/** A coordinator's timeline, on disk. */
export interface EventStore extends Timeline, EventRecorder, Component {
  /** Events that could not be kept until the disk took them, since the start. */
  readonly lost: number
}

const TITLE_CHARACTERS_MAX = 300
const DETAIL_CHARACTERS_MAX = 2_000
/** Events that wait for the disk. */
const WAITING_MAX = 5_000
const STATES_MAX = 20_000
/** Told before the states of the last run could be read. */
const DEFERRED_MAX = 2_000
const RETRY_MS = 5_000
/** The thread, some 10 MB, is for those who ask or tell. */
const IDLE_MS = 20_000
const QUESTIONS_MAX = 64
const GROUP_MAX = 200

/** @param directory folder of its file, made where it is not there */
export function createEventStore(needs: EventStoreNeeds, options: { directory: string }): EventStore {
  return new SqliteEventStore(needs, options)
}

interface Change {
  event: HappenedEvent | undefined
  state: [key: string, state: string] | undefined
}

class SqliteEventStore implements EventStore {
  readonly name = 'timeline'
  readonly #needs: EventStoreNeeds
  readonly #log: Logger
  readonly #directory: string
  readonly #path: string
  readonly #stopped = new AbortController()
  readonly #states = new Map<string, string>()
  readonly #listeners = new Set<() => void>()
  #deferred: (() => void)[] | undefined = []
  #waiting: Change[] = []
  #writing: Promise<void> | undefined
  #retry: Timer | undefined
  #thread: Promise<StoreThread<EventCalls>> | undefined
  #idle: Timer | undefined
  #isFailing = false
  #isDamaged = false
  #latest = 0
  lost = 0

  constructor(needs: EventStoreNeeds, { directory }: { directory: string }) {
    this.#needs = needs
    this.#log = needs.log.child('Timeline')
    this.#directory = directory
    this.#path = join(directory, 'events.db')
  }

  /** A timeline that cannot be opened keeps no node from starting. */
  async start(_signal: AbortSignal): Promise<void> {
    await this.#openAgain()
  }

  async stop(): Promise<void> {
    this.#retry?.cancel()
    await this.#writing
    this.#stopped.abort()
    this.#idle?.cancel()
    const thread = await this.#thread?.catch(() => undefined)
    await thread?.end()
  }

  record(event: HappenedEvent): void {
    this.#defer(() => this.#add({ event: bounded(event), state: undefined }))
  }

  observe(key: string, state: string, eventOf: (previous: string | undefined) => HappenedEvent | undefined): void {
    this.#defer(() => {
      const previous = this.#states.get(key)
      if (previous === state) return
      this.#states.delete(key)
      this.#states.set(key, state)
      const oldest = this.#states.keys().next()
      if (this.#states.size > STATES_MAX && !oldest.done) this.#states.delete(oldest.value)
      const event = eventOf(previous)
      this.#add({ event: event && bounded(event), state: [key, state] })
    })
  }

  async query(
    filter: TimelineFilter,
    { limit, before }: { limit: number; before?: TimelinePosition | undefined },
  ): Promise<TimelinePage> {
    // One more tells whether there is another page.
    const { events, latest } = await this.#ask('query', { filter, limit: limit + 1, before })
    const page = events.slice(0, limit)
    const last = page.at(-1)
    return {
      events: page,
      next: events.length > limit && last ? { timeMs: last.timeMs, id: last.id } : undefined,
      latest,
    }
  }

  subscribe(
    filter: TimelineFilter,
    { after, signal }: { after?: number | undefined; signal: AbortSignal },
  ): AsyncIterable<readonly TimelineEvent[]> {
    // From here, not from when the first event is asked for.
    const from = Math.min(after ?? this.#latest, this.#latest)
    return this.#follow(filter, from, AbortSignal.any([signal, this.#stopped.signal]))
  }

  async *#follow(
    filter: TimelineFilter,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<readonly TimelineEvent[], void, undefined> {
    let wake = (): void => {}
    const listener = (): void => wake()
    signal.addEventListener('abort', listener, { once: true })
    this.#listeners.add(listener)
    try {
      for (let after = from; !signal.aborted; ) {
        const changed = new Promise<void>((resolve) => (wake = resolve))
        if (after >= this.#latest) {
          await changed
          continue
        }
        const { events, end } = await this.#ask('after', { filter, after, limit: GROUP_MAX })
        after = end
        if (events.length > 0) yield events
      }
    } finally {
      this.#listeners.delete(listener)
      signal.removeEventListener('abort', listener)
    }
  }

  /** Without the states of the last run nothing can be told of changes. */
  #defer(work: () => void): void {
    if (!this.#deferred) work()
    else if (this.#deferred.length < DEFERRED_MAX) this.#deferred.push(work)
    else this.lost++
  }

  #add(change: Change): void {
    if (this.#waiting.length >= WAITING_MAX) {
      this.#waiting.shift()
      this.lost++
    }
    this.#waiting.push(change)
    this.#write()
  }

  #write(): void {
    if (this.#retry || this.#stopped.signal.aborted) return
    this.#writing ??= this.#writeAll().finally(() => (this.#writing = undefined))
  }

  /** Never rejects. What comes in one tick, and while the disk is busy, is one transaction. */
  async #writeAll(): Promise<void> {
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#waiting.slice(0, GROUP_MAX)
      try {
        const { latest } = await this.#ask('commit', {
          events: group.flatMap(({ event }) => (event ? [event] : [])),
          states: group.flatMap(({ state }) => (state ? [state] : [])),
        })
        this.#isFailing = false
        // Some of them may have given way meanwhile.
        this.#waiting = this.#waiting.filter((change) => !group.includes(change))
        this.#latest = latest
        for (const listener of this.#listeners) listener()
      } catch (error) {
        await this.#onFailure(error)
        return
      }
    }
  }

  async #ask<Type extends keyof EventCalls>(
    type: Type,
    request: EventCalls[Type]['request'],
  ): Promise<EventCalls[Type]['answer']> {
    // First: the thread must not be ended between being opened and being asked.
    this.#idle?.cancel()
    const opening = this.#open()
    const thread = await opening
    if (type !== 'commit' && thread.pending >= QUESTIONS_MAX) {
      throw new StorageError(
        'P2P_STORAGE_OVERLOADED',
        'Too many questions to the timeline wait already: ask again later',
      )
    }
    try {
      return await thread.ask(type, request)
    } catch (error) {
      if (codeOf(error) === 'P2P_STORAGE_CLOSED' && this.#thread === opening) this.#thread = undefined
      throw error
    } finally {
      this.#armIdle(thread)
    }
  }

  #armIdle(thread: StoreThread<EventCalls>): void {
    if (thread.pending > 0 || this.#stopped.signal.aborted) return
    this.#idle?.cancel()
    this.#idle = this.#needs.clock.after(IDLE_MS, () => void this.#end())
  }

  #open(): Promise<StoreThread<EventCalls>> {
    if (this.#stopped.signal.aborted) {
      return Promise.reject(new StorageError('P2P_STORAGE_CLOSED', 'The timeline is closed'))
    }
    this.#thread ??= this.#openThread().catch((error: unknown) => {
      this.#thread = undefined
      throw error
    })
    return this.#thread
  }

  async #openThread(): Promise<StoreThread<EventCalls>> {
    const { files, openThread } = this.#needs
    await files.makeDirectory(this.#directory)
    if (this.#isDamaged) await this.#putAside()
    const thread = openThread<EventCalls>('events')
    try {
      const { latest, states } = await thread.ask('open', { path: this.#path })
      this.#latest = Math.max(this.#latest, latest)
      this.#load(states)
      return thread
    } catch (error) {
      this.#isDamaged ||= codeOf(error) === 'P2P_STORAGE_DAMAGED'
      await thread.end()
      throw error
    }
  }

  /** What the last run knew, once; then what was told meanwhile. */
  #load(states: readonly [key: string, state: string][]): void {
    const deferred = this.#deferred
    if (!deferred) return
    this.#deferred = undefined
    for (const [key, state] of states) this.#states.set(key, state)
    for (const work of deferred) work()
  }

  /** A damaged file is kept beside the new one. */
  async #putAside(): Promise<void> {
    const { files } = this.#needs
    for (const suffix of ['', '-wal', '-shm']) {
      const path = this.#path + suffix
      if (await files.facts(path)) await files.rename(path, `${this.#path}.damaged${suffix}`)
    }
    this.#isDamaged = false
    this.#log.error('The file of the timeline was damaged; it is kept, and a new one begins', {
      file: `${this.#path}.damaged`,
    })
  }

  async #onFailure(error: unknown): Promise<void> {
    if (codeOf(error) === 'P2P_STORAGE_DAMAGED' && this.#thread) {
      this.#isDamaged = true
      await this.#end()
    }
    if (this.#stopped.signal.aborted || this.#retry) return
    if (!this.#isFailing) this.#log.error('The timeline cannot be written; events wait', { why: messageOf(error) })
    this.#isFailing = true
    this.#retry = this.#needs.clock.after(RETRY_MS, () => {
      this.#retry = undefined
      if (this.#deferred) void this.#openAgain()
      else this.#write()
    })
  }

  /** Never rejects. */
  async #openAgain(): Promise<void> {
    try {
      await this.#open()
    } catch (error) {
      await this.#onFailure(error)
    }
  }

  async #end(): Promise<void> {
    const ending = this.#thread
    this.#thread = undefined
    const thread = await ending?.catch(() => undefined)
    await thread?.end()
  }
}

function bounded(event: HappenedEvent): HappenedEvent {
  return {
    ...event,
    title: shortened(event.title, TITLE_CHARACTERS_MAX),
    ...(event.detail !== undefined && { detail: shortened(event.detail, DETAIL_CHARACTERS_MAX) }),
  }
}

function shortened(text: string, charactersMax: number): string {
  return text.length <= charactersMax ? text : `${text.slice(0, charactersMax - 1)}…`
}
