import { join } from 'node:path'
import type { Component } from '../../base/component.ts'
import { codeOf, messageOf, RpcError, StorageError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { NodeId } from '../../base/identity.ts'
import type { LogFilter, LogLine, LogPage, LogPageRequest, LogReader, LogSources } from '../../base/log-line.ts'
import { LOG_LEVELS, type Logger } from '../../base/log.ts'
import { type Clock, delay, type Timer } from '../../base/time.ts'
import { lineMatcher } from './line-filter.ts'
import { lineOf, type ShippedLine } from './line-text.ts'
import { LiveWindow } from './live-window.ts'
import type { OpenThread, StoreThread } from './store-thread.ts'
import {
  type CommitJob,
  type LineCounts,
  type LineRow,
  type ReaderCalls,
  rowOf,
  type WriterCalls,
} from './thread/messages.ts'

export interface LogStoreNeeds {
  clock: Clock
  files: Files
  log: Logger
  openThread: OpenThread
}

export interface LogStoreOptions {
  /** Folder of the store's files. */
  directory: string
  /** Lines older than this are removed. */
  retentionMs: number
  /** Bytes the files may take together, about. */
  bytesMax: number
}

/** Lines that a node sent, unread. */
export interface ReceivedBatch {
  /** The run that numbered them. */
  epoch: string
  first: number
  /** How many lines right before the first one the node has lost. */
  lost: number
  /** The node's clock, Unix milliseconds. */
  sentAtMs: number
  lines: readonly unknown[]
}

export interface LogStoreStats {
  /** Lines stored, of each node and in all. */
  total: number
  nodes: Record<NodeId, number>
  /** Since the start. */
  added: number
  duplicates: number
  lost: number
  removed: number
  subscribers: number
  isFailing: boolean
}

/** A coordinator's log: what all nodes wrote, on disk. */
export interface LogStore extends LogReader, Component {
  /**
   * Stores the lines that are not there yet; resolves when they are on disk. One batch of a node at a time.
   * @param nodeId who sent it, verified
   * @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_FAILED …: nothing of the batch was stored; {RpcError} P2P_RPC_OVERLOADED
   */
  add(nodeId: NodeId, batch: ReceivedBatch): Promise<{ added: number; total: number }>
  /** Removes the lines of one node, or all. @returns how many there were */
  clear(nodeId?: NodeId): Promise<number>
  stats(): LogStoreStats
}

/** Words take about this much of what the files take together. */
const LINES_SHARE = 0.65
/** Rows of one transaction: more would make the lines of other nodes wait. */
const COMMIT_ROWS_MAX = 4_000
const WAITING_CHARACTERS_MAX = 64 * 1_024 * 1_024
/** Batches of one node at a time: a node that lost its connection may be back before its last batch is stored. */
const BATCHES_PER_NODE_MAX = 4
const QUESTIONS_MAX = 64
/** The lines readers that keep up are served from. */
const WINDOW = { linesMin: 1_000, linesMax: 10_000, charactersMax: 8 * 1_024 * 1_024 }
/** Lines handed to a subscriber at once. */
const GROUP_LINES_MAX = 500
/** Between two attempts to open a store that failed. */
const REOPEN_MS = 5_000
const EXPIRE_EVERY_MS = 60_000
/** Fewer new lines are searched without an index as fast as with one. */
const INDEX_LINES_MIN = 5_000
/** Between two steps of the index: so many times as long as the step took, at most so long. */
const INDEX_PAUSE = { times: 2, msMax: 250 }
/** The reading thread, some 10 MB, is for those who ask. */
const READER_IDLE_MS = 60_000
/** Clocks that agree within this are taken as they are. */
const CLOCK_OFFSET_MS_MIN = 60_000

export function createLogStore(needs: LogStoreNeeds, options: LogStoreOptions): LogStore {
  return new SqliteLogStore(needs, options)
}

interface WaitingBatch {
  job: Omit<CommitJob, 'rows'>
  /** Their cursors are given when they are written. */
  lines: LogLine[]
  characters: number
  resolve: () => void
  reject: (error: unknown) => void
}

class SqliteLogStore implements LogStore {
  readonly name = 'log-store'
  readonly #needs: LogStoreNeeds
  readonly #options: LogStoreOptions
  readonly #log: Logger
  readonly #path: string
  readonly #wordsPath: string
  readonly #stopped = new AbortController()
  readonly #window = new LiveWindow(WINDOW)
  /** Those who follow, and the cursor of the last line each has taken. */
  readonly #followers = new Set<{ at: number }>()
  readonly #listeners = new Set<() => void>()
  /** By node: the last number stored of each run, and of the latest run. */
  #epochs = new Map<NodeId, Map<string, number>>()
  #lineCounts = new Map<NodeId, number>()
  #latest = 0
  #writer: StoreThread<WriterCalls> | undefined
  #opening: Promise<StoreThread<WriterCalls>> | undefined
  #openFailure: { error: unknown; atMs: number } | undefined
  #isDamaged = false
  #isFailing = false
  readonly #chains = new Map<NodeId, { last: Promise<unknown>; length: number }>()
  #waiting: WaitingBatch[] = []
  #waitingCharacters = 0
  #committing: Promise<void> | undefined
  #reader: Promise<StoreThread<ReaderCalls>> | undefined
  #readerIdle: Timer | undefined
  #indexing: Promise<void> | undefined
  #indexedTo = 0
  #expiring: Promise<void> | undefined
  #expireTimer: Timer | undefined
  #counts = { added: 0, duplicates: 0, lost: 0, removed: 0 }

  constructor(needs: LogStoreNeeds, options: LogStoreOptions) {
    this.#needs = needs
    this.#options = options
    this.#log = needs.log.child('Logs')
    this.#path = join(options.directory, 'lines.db')
    this.#wordsPath = join(options.directory, 'words.db')
  }

  /** A store that cannot be opened keeps no node from starting: lines wait where they are. */
  async start(_signal: AbortSignal): Promise<void> {
    this.#expireTimer = this.#needs.clock.every(EXPIRE_EVERY_MS, () => this.#expire())
    await this.#open().catch(() => {})
    this.#expire()
  }

  async stop(): Promise<void> {
    this.#expireTimer?.cancel()
    this.#readerIdle?.cancel()
    this.#stopped.abort()
    await this.#committing
    await this.#opening?.catch(() => {})
    await Promise.all([this.#endReader(), this.#writer?.end()])
    await Promise.all([this.#indexing, this.#expiring])
  }

  add(nodeId: NodeId, batch: ReceivedBatch): Promise<{ added: number; total: number }> {
    const chain = this.#chains.get(nodeId) ?? { last: Promise.resolve(), length: 0 }
    if (chain.length >= BATCHES_PER_NODE_MAX || this.#waitingCharacters > WAITING_CHARACTERS_MAX) {
      return Promise.reject(
        new RpcError('P2P_RPC_OVERLOADED', `Log lines of ${nodeId} already wait to be stored: try again later`),
      )
    }
    this.#chains.set(nodeId, chain)
    chain.length++
    const adding = chain.last.then(() => this.#addNow(nodeId, batch))
    chain.last = adding
      .catch(() => {})
      .then(() => {
        if (--chain.length === 0) this.#chains.delete(nodeId)
      })
    return adding
  }

  async query(filter: LogFilter, page: LogPageRequest): Promise<LogPage> {
    const { rows, total, latest } = await this.#ask('query', { filter, page })
    return { lines: rows.map(lineOfRow), total, latest }
  }

  sources(nodeId?: NodeId): Promise<LogSources> {
    return this.#ask('sources', { nodeId })
  }

  subscribe(
    filter: LogFilter,
    { after, signal }: { after?: number; signal: AbortSignal },
  ): AsyncIterable<readonly LogLine[]> {
    // From here, not from when the first line is asked for.
    const from = Math.min(after ?? this.#latest, this.#latest)
    return this.#follow(filter, from, AbortSignal.any([signal, this.#stopped.signal]))
  }

  async clear(nodeId?: NodeId): Promise<number> {
    const writer = await this.#open()
    const upTo = this.#latest
    let cleared = 0
    for (let isDone = false; !isDone; ) {
      const answer = await writer.ask('clear', { nodeId, upTo })
      cleared += this.#count(answer)
      isDone = answer.isDone
    }
    this.#window.clear()
    return cleared
  }

  stats(): LogStoreStats {
    const total = [...this.#lineCounts.values()].reduce((sum, lines) => sum + lines, 0)
    return {
      total,
      nodes: Object.fromEntries(this.#lineCounts),
      ...this.#counts,
      subscribers: this.#followers.size,
      isFailing: this.#isFailing,
    }
  }

  async #addNow(nodeId: NodeId, batch: ReceivedBatch): Promise<{ added: number; total: number }> {
    await this.#open()
    const { lines, duplicates, last } = this.#newLines(nodeId, batch)
    this.#counts.duplicates += duplicates
    if (lines.length > 0) {
      const characters = lines.reduce((sum, line) => sum + line.message.length + line.fieldsJson.length, 0)
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#waiting.push({ job: { nodeId, epoch: batch.epoch, last }, lines, characters, resolve, reject })
      this.#waitingCharacters += characters
      this.#commitSoon()
      await promise
    }
    return { added: lines.length, total: this.#lineCounts.get(nodeId) ?? 0 }
  }

  /** What of the batch is not stored yet, with a line in the place of those the node lost. */
  #newLines(nodeId: NodeId, batch: ReceivedBatch) {
    const runs = this.#epochs.get(nodeId)
    const stored = runs?.get(batch.epoch) ?? 0
    const duplicates = Math.min(batch.lines.length, Math.max(0, stored + 1 - batch.first))
    const receivedMs = Math.floor(this.#needs.clock.wallMs())
    const offsetMs = Math.round(receivedMs - batch.sentAtMs)
    const clockOffsetMs = Math.abs(offsetMs) < CLOCK_OFFSET_MS_MIN ? 0 : offsetMs
    const place = { nodeId, receivedMs, clockOffsetMs }
    const lines = batch.lines.slice(duplicates).map((value, index) => {
      return this.#placed(lineOf(value), { ...place, seq: batch.first + duplicates + index })
    })
    // The latest run is the last one in the map: what the node cannot know to be stored is no loss.
    const reached = runs ? ([...runs.values()].at(-1) ?? 0) : 0
    const lost = duplicates > 0 ? 0 : Math.min(batch.lost, batch.first - 1 - reached)
    if (lost > 0 && lines.length > 0) {
      this.#counts.lost += lost
      lines.unshift(
        this.#placed(gapLine(lost, lines[0]?.timeMs ?? receivedMs), {
          ...place,
          clockOffsetMs: 0,
          seq: batch.first - 1,
        }),
      )
    }
    return { lines, duplicates, last: batch.first + batch.lines.length - 1 }
  }

  /** With a time that can be true: not in the future, not older than anything that is kept. */
  #placed(
    line: ShippedLine,
    place: { nodeId: NodeId; seq: number; receivedMs: number; clockOffsetMs: number },
  ): LogLine {
    const { nodeId, seq, receivedMs, clockOffsetMs } = place
    const { level, logger, message, fieldsJson, traceId } = line
    const timeMs = line.timeMs + clockOffsetMs
    const isPossible = timeMs <= receivedMs + CLOCK_OFFSET_MS_MIN && timeMs >= receivedMs - this.#options.retentionMs
    return {
      cursor: 0,
      nodeId,
      seq,
      timeMs: isPossible ? timeMs : receivedMs,
      receivedMs,
      clockOffsetMs: isPossible ? clockOffsetMs : receivedMs - line.timeMs,
      level,
      logger,
      message,
      fieldsJson,
      traceId,
    }
  }

  /** One transaction at a time; what comes meanwhile goes into the next. */
  #commitSoon(): void {
    this.#committing ??= this.#commitAll().finally(() => {
      this.#committing = undefined
    })
  }

  async #commitAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batches = this.#takeWaiting()
      try {
        await this.#commit(batches)
        this.#onStored()
        for (const { resolve } of batches) resolve()
      } catch (error) {
        await this.#onFailure(error)
        for (const { reject } of batches) reject(error)
      }
    }
  }

  #takeWaiting(): WaitingBatch[] {
    let rows = 0
    let count = 0
    while (count < this.#waiting.length && (count === 0 || rows < COMMIT_ROWS_MAX)) {
      const { lines, characters } = this.#waiting[count] as WaitingBatch
      rows += lines.length
      this.#waitingCharacters -= characters
      count++
    }
    return this.#waiting.splice(0, count)
  }

  async #commit(batches: readonly WaitingBatch[]): Promise<void> {
    const writer = await this.#open()
    let cursor = this.#latest
    const stored: LogLine[] = []
    const jobs = batches.map(({ job, lines }): CommitJob => {
      const rows = lines.map((line): LineRow => {
        line.cursor = ++cursor
        stored.push(line)
        return rowOf(line, LOG_LEVELS.indexOf(line.level))
      })
      return { ...job, rows }
    })
    this.#counts.removed += this.#count(await writer.ask('commit', { jobs }))
    for (const { nodeId, epoch, last, rows } of jobs) {
      this.#noteEpoch(nodeId, epoch, last)
      this.#lineCounts.set(nodeId, (this.#lineCounts.get(nodeId) ?? 0) + rows.length)
    }
    this.#counts.added += stored.length
    this.#latest = cursor
    this.#window.add(
      stored,
      [...this.#followers].map(({ at }) => at),
    )
    for (const listener of this.#listeners) listener()
    if (this.#latest - this.#indexedTo > INDEX_LINES_MIN) this.#index()
  }

  #noteEpoch(nodeId: NodeId, epoch: string, last: number): void {
    const runs = this.#epochs.get(nodeId) ?? new Map<string, number>()
    this.#epochs.set(nodeId, runs)
    // The latest run stands last.
    if (runs.size > 1) runs.delete(epoch)
    runs.set(epoch, last)
    if (runs.size > EPOCHS_MAX) runs.delete(runs.keys().next().value as string)
  }

  #onStored(): void {
    if (!this.#isFailing) return
    this.#isFailing = false
    this.#log.info('The log store works again')
  }

  /** Said once an outage: nodes keep their lines and try again by themselves. */
  async #onFailure(error: unknown): Promise<void> {
    const code = codeOf(error)
    // After anything but a full disk only opening the file again tells what is in it.
    if (code !== 'P2P_STORAGE_FULL') {
      this.#isDamaged = code === 'P2P_STORAGE_DAMAGED'
      const writer = this.#writer
      this.#writer = this.#opening = undefined
      await writer?.end()
    }
    if (this.#isFailing || this.#stopped.signal.aborted) return
    this.#isFailing = true
    this.#log.error('The log store takes no lines; nodes keep theirs until it does', { why: messageOf(error) })
  }

  /** The writing thread, opened where need be; after a failure not at once again. */
  #open(): Promise<StoreThread<WriterCalls>> {
    if (this.#opening) return this.#opening
    if (this.#stopped.signal.aborted) return Promise.reject(closed())
    const failure = this.#openFailure
    if (failure && this.#needs.clock.nowMs() - failure.atMs < REOPEN_MS) return Promise.reject(failure.error)
    this.#opening = this.#openWriter().catch(async (error: unknown) => {
      this.#opening = undefined
      this.#openFailure = { error, atMs: this.#needs.clock.nowMs() }
      await this.#onFailure(error)
      throw error
    })
    return this.#opening
  }

  async #openWriter(): Promise<StoreThread<WriterCalls>> {
    if (this.#isDamaged) await this.#putAside()
    try {
      return await this.#openOnce()
    } catch (error) {
      if (codeOf(error) !== 'P2P_STORAGE_DAMAGED') throw error
      await this.#putAside()
      return this.#openOnce()
    }
  }

  async #openOnce(): Promise<StoreThread<WriterCalls>> {
    const { files, openThread } = this.#needs
    await files.makeDirectory(this.#options.directory)
    // Made here for their mode, 0600; SQLite's other files get the same.
    for (const path of [this.#path, this.#wordsPath]) await (await files.open(path, 'rw')).close()
    const writer = openThread<WriterCalls>('writer')
    try {
      const bytesMax = Math.floor(this.#options.bytesMax * LINES_SHARE)
      const { latest, nodes, epochs } = await writer.ask('open', { path: this.#path, bytesMax })
      if (latest !== this.#latest) this.#window.clear()
      this.#latest = latest
      this.#lineCounts = new Map(nodes.map(({ nodeId, lines }) => [nodeId, lines]))
      this.#epochs = new Map()
      for (const { nodeId, epoch, last } of epochs) this.#noteEpoch(nodeId, epoch, last)
    } catch (error) {
      await writer.end()
      throw error
    }
    this.#writer = writer
    this.#openFailure = undefined
    return writer
  }

  /** Begins anew: a damaged file is kept beside for whoever wants to look into it. */
  async #putAside(): Promise<void> {
    const { files, clock } = this.#needs
    await this.#endReader()
    this.#isDamaged = false
    const aside = `${this.#path}.damaged-${Math.floor(clock.wallMs())}`
    await files.rename(this.#path, aside)
    for (const path of [this.#path, this.#wordsPath]) {
      for (const suffix of ['', '-wal', '-shm']) await files.remove(path + suffix).catch(() => {})
    }
    this.#log.critical('The log store was damaged: it was put aside and a new one is begun', { file: aside })
  }

  async #ask<Type extends 'query' | 'after' | 'sources'>(
    type: Type,
    request: ReaderCalls[Type]['request'],
  ): Promise<ReaderCalls[Type]['answer']> {
    try {
      return await this.#askOnce(type, request)
    } catch (error) {
      const code = codeOf(error)
      if (code !== 'P2P_STORAGE_DAMAGED' && code !== 'P2P_STORAGE_CLOSED') throw error
      if (this.#stopped.signal.aborted) throw error
      // The index can be made again; whether the lines themselves are damaged shows when they are read next.
      await this.#endReader()
      if (code === 'P2P_STORAGE_DAMAGED') {
        for (const suffix of ['', '-wal', '-shm'])
          await this.#needs.files.remove(this.#wordsPath + suffix).catch(() => {})
        await (await this.#needs.files.open(this.#wordsPath, 'rw')).close()
      }
      return this.#askOnce(type, request)
    }
  }

  async #askOnce<Type extends 'query' | 'after' | 'sources'>(
    type: Type,
    request: ReaderCalls[Type]['request'],
  ): Promise<ReaderCalls[Type]['answer']> {
    const reader = await this.#openReader()
    if (reader.pending >= QUESTIONS_MAX) {
      throw new RpcError('P2P_RPC_OVERLOADED', `${QUESTIONS_MAX} questions to the log already wait: try again later`)
    }
    return reader.ask(type, request)
  }

  #openReader(): Promise<StoreThread<ReaderCalls>> {
    this.#readerIdle?.cancel()
    this.#readerIdle = this.#needs.clock.after(READER_IDLE_MS, () => void this.#endReader())
    this.#reader ??= this.#newReader().catch((error: unknown) => {
      this.#reader = undefined
      throw error
    })
    return this.#reader
  }

  async #newReader(): Promise<StoreThread<ReaderCalls>> {
    await this.#open()
    const reader = this.#needs.openThread<ReaderCalls>('reader')
    try {
      await reader.ask('open', { path: this.#path, wordsPath: this.#wordsPath })
      return reader
    } catch (error) {
      await reader.end()
      throw error
    }
  }

  async #endReader(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await reader?.then(
      (thread) => thread.end(),
      () => {},
    )
  }

  /** Brings the index up to date, step by step, so that questions are answered in between. */
  #index(): void {
    this.#indexing ??= this.#indexAll()
      // Without an index searching is slow, not wrong; the next question finds out what is the matter.
      .catch(() => {})
      .finally(() => {
        this.#indexing = undefined
      })
  }

  async #indexAll(): Promise<void> {
    for (let isDone = false; !isDone && !this.#stopped.signal.aborted; ) {
      const reader = await this.#openReader()
      const upTo = this.#latest
      const beganMs = this.#needs.clock.nowMs()
      isDone = (await reader.ask('index', null)).isDone
      if (isDone) this.#indexedTo = upTo
      // While lines pour in, storing them comes first: the index may lag behind.
      else if (this.#committing) await this.#pauseIndexing(this.#needs.clock.nowMs() - beganMs)
    }
  }

  #pauseIndexing(stepMs: number): Promise<void> {
    const pauseMs = Math.min(stepMs * INDEX_PAUSE.times, INDEX_PAUSE.msMax)
    return delay(this.#needs.clock, pauseMs, this.#stopped.signal)
  }

  #expire(): void {
    this.#expiring ??= this.#expireAll()
      // A store that fails is reported where lines are to be stored; old ones are removed the next time.
      .catch(() => {})
      .finally(() => {
        this.#expiring = undefined
      })
  }

  async #expireAll(): Promise<void> {
    const beforeMs = Math.floor(this.#needs.clock.wallMs() - this.#options.retentionMs)
    for (let isDone = false; !isDone && !this.#stopped.signal.aborted; ) {
      const writer = await this.#open()
      const answer = await writer.ask('expire', { beforeMs })
      this.#counts.removed += this.#count(answer)
      isDone = answer.isDone
    }
  }

  /** Counts what was removed off its nodes. @returns how many lines */
  #count({ removed }: LineCounts): number {
    let sum = 0
    for (const [nodeId, lines] of removed) {
      this.#lineCounts.set(nodeId, Math.max(0, (this.#lineCounts.get(nodeId) ?? 0) - lines))
      sum += lines
    }
    return sum
  }

  async *#follow(filter: LogFilter, from: number, signal: AbortSignal): AsyncGenerator<readonly LogLine[]> {
    const isOfNode = (line: LogLine): boolean => filter.nodeId === undefined || line.nodeId === filter.nodeId
    const matches = lineMatcher(filter)
    const follower = { at: from }
    this.#followers.add(follower)
    try {
      while (!signal.aborted) {
        if (follower.at >= this.#latest) {
          await this.#untilStored(follower.at, signal)
          continue
        }
        const group = this.#window.after(follower.at, GROUP_LINES_MAX)
        if (group) {
          follower.at = group.at(-1)?.cursor ?? follower.at
          const lines = group.filter((line) => isOfNode(line) && matches(line))
          if (lines.length > 0) yield lines
        } else {
          const { rows, end } = await this.#ask('after', { filter, after: follower.at, limit: GROUP_LINES_MAX })
          follower.at = end
          if (rows.length > 0) yield rows.map(lineOfRow)
        }
      }
    } catch (error) {
      // The thread that was asked has ended with the store.
      if (!signal.aborted) throw error
    } finally {
      this.#followers.delete(follower)
    }
  }

  #untilStored(at: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#listeners.delete(onStored)
        signal.removeEventListener('abort', done)
        resolve()
      }
      const onStored = (): void => {
        if (this.#latest > at) done()
      }
      this.#listeners.add(onStored)
      signal.addEventListener('abort', done)
    })
  }
}

/** As many runs are remembered here as in the file. */
const EPOCHS_MAX = 16

function gapLine(lost: number, timeMs: number): ShippedLine {
  const message =
    lost === 1 ? 'A line is missing here: the node lost it' : `${lost} lines are missing here: the node lost them`
  const fieldsJson = JSON.stringify({ lost, reason: 'the spool was full, or its disk failed' })
  return { timeMs, level: 'WARNING', logger: 'Logs', message, fieldsJson, traceId: '' }
}

function closed(): StorageError {
  return new StorageError('P2P_STORAGE_CLOSED', 'The log store is closed: the node is stopping')
}

function lineOfRow(row: LineRow): LogLine {
  const [cursor, nodeId, seq, timeMs, receivedMs, clockOffsetMs, rank, logger, message, fieldsJson, traceId] = row
  const level = LOG_LEVELS[rank] ?? 'WARNING'
  return { cursor, nodeId, seq, timeMs, receivedMs, clockOffsetMs, level, logger, message, fieldsJson, traceId }
}
