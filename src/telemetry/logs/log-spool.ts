import { join } from 'node:path'
import { toHex, utf8 } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { LogEntry, Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { textOfEntry } from './line-text.ts'
import { type BatchLimits, SpoolSegments, type StoredLines } from './spool-segments.ts'

export interface LogSpoolNeeds {
  clock: Clock
  random: Random
  files: Files
  /** Asked when there is something to say: the logger itself writes into the spool. */
  log: () => Logger
  /** Trace of the call on whose behalf code is running. */
  traceId?: () => string | undefined
}

export interface LogSpoolOptions {
  /** Undefined: lines are kept in memory only. */
  directory: string | undefined
  /** Bytes on disk at most; then the oldest lines go. */
  bytesMax: number
}

/** Lines that follow on each other, oldest first. */
export interface SpoolBatch {
  /** The run that numbered them: numbers are never used twice in one run. */
  epoch: string
  /** Number of the first line. */
  first: number
  /** Lines right before the first one that are gone: the spool was full, or its disk failed. */
  lost: number
  /** Each a JSON object. */
  lines: string[]
}

export interface SpoolStats {
  /** Lines that wait to be acknowledged, those on disk included. */
  waiting: number
  /** Those of them that are in memory only so far. */
  unwritten: number
  bytesOnDisk: number
  /** Lines of this run that went unacknowledged, for want of room. */
  lost: number
}

/** The lines of this node that its coordinator has not acknowledged yet, numbered. */
export interface LogSpool {
  /** Takes one line; a sink for `createLogger`. Before `start` lines are kept in memory. */
  readonly sink: (entry: LogEntry) => void
  /** Finds what earlier runs left. Never rejects: without a disk that works the lines are kept in memory. */
  start(): Promise<void>
  /** Resolves when all lines are on disk, synced. Idempotent. */
  stop(): Promise<void>
  /** The oldest lines that are not acknowledged, undefined when there are none. One read at a time. */
  read(limits: BatchLimits): Promise<SpoolBatch | undefined>
  /** Lines up to this number are stored elsewhere and may go. */
  acknowledge(seq: number): void
  /** @returns a function that unregisters the listener */
  onLine(listener: () => void): () => void
  stats(): SpoolStats
}

/** So many of the latest lines are also in memory, to be sent without reading them back. */
const MEMORY_LINES_MAX = 4_000
const MEMORY_CHARACTERS_MAX = 2 * 1_024 * 1_024
/** Of these bounds so much is kept when one is passed. */
const TRIM_TO = 0.75
/** While nothing can be written memory may take this much more. */
const UNWRITTEN_CHARACTERS_MAX = 8 * 1_024 * 1_024
const RECORD_CHARACTERS_MAX = 256 * 1_024
/** What a power cut may cost, of lines that no coordinator has yet. A crash of the program costs nothing that was written. */
const SYNC_AFTER_MS = 1_000
/** Between two attempts to write to a disk that failed. */
const RETRY_MS = 5_000
/** Small enough that little goes at once when the spool is full, and that what is acknowledged goes soon. */
const SEGMENT_BYTES_MAX = 4 * 1_024 * 1_024
const SEGMENTS_MIN = 16
/** An open file with nothing left in it is given up at this size. */
const EMPTY_BYTES_MAX = 256 * 1_024
const EPOCH_BYTES = 8

export function createLogSpool(needs: LogSpoolNeeds, options: LogSpoolOptions): LogSpool {
  return new NumberedSpool(needs, options)
}

class NumberedSpool implements LogSpool {
  readonly #needs: LogSpoolNeeds
  readonly #options: LogSpoolOptions
  readonly #epoch: string
  readonly #segmentBytesMax: number
  readonly #listeners = new Set<() => void>()
  #segments: SpoolSegments | undefined
  /** The latest lines, beginning with number `#memoryFirst`. */
  #memory: string[] = []
  #memoryFirst = 1
  #memoryCharacters = 0
  #acknowledged = 0
  /** Number of the next line to be written to disk. */
  #unwritten = 1
  #lost = 0
  #working: Promise<void> | undefined
  #isScheduled = false
  /** Said, and not mended yet. */
  #hasFailed = false
  /** Until the next attempt. */
  #isPaused = false
  #isStopped = false
  #retry: Timer | undefined
  #syncTimer: Timer | undefined
  #isSyncDue = false
  #marked = 0

  constructor(needs: LogSpoolNeeds, options: LogSpoolOptions) {
    this.#needs = needs
    this.#options = options
    this.#epoch = toHex(needs.random.bytes(EPOCH_BYTES))
    this.#segmentBytesMax = Math.min(SEGMENT_BYTES_MAX, Math.ceil(options.bytesMax / SEGMENTS_MIN))
  }

  get #next(): number {
    return this.#memoryFirst + this.#memory.length
  }

  readonly sink = (entry: LogEntry): void => {
    const text = textOfEntry(entry, this.#needs.traceId?.())
    this.#memory.push(text)
    this.#memoryCharacters += text.length
    this.#trimMemory()
    this.#schedule()
    for (const listener of this.#listeners) listener()
  }

  async start(): Promise<void> {
    const { directory } = this.#options
    if (directory === undefined) return
    const segments = new SpoolSegments(this.#needs.files, directory, this.#epoch)
    try {
      const lastOnDisk = await segments.open()
      this.#acknowledged = this.#marked = await this.#readMark()
      // Lines that came before now get their numbers only here.
      this.#memoryFirst += Math.max(lastOnDisk, this.#acknowledged)
      this.#unwritten = this.#memoryFirst
      this.#segments = segments
    } catch (error) {
      this.#needs.log().error('The log spool cannot be opened: until the next start lines are kept in memory only', {
        directory,
        why: messageOf(error),
      })
      return
    }
    await this.#work()
  }

  async stop(): Promise<void> {
    if (this.#isStopped) return
    await this.#working
    this.#isSyncDue = true
    await this.#work()
    this.#isStopped = true
    this.#retry?.cancel()
    this.#syncTimer?.cancel()
    await this.#segments?.endCurrent().catch(() => {})
    await this.#writeMark()
  }

  async read(limits: BatchLimits): Promise<SpoolBatch | undefined> {
    const wanted = this.#acknowledged + 1
    if (wanted < this.#memoryFirst && this.#segments) {
      const found = await this.#readDisk(this.#segments, wanted, limits)
      if (found) return { ...found, lost: found.first - wanted }
    }
    const first = Math.max(wanted, this.#memoryFirst)
    const lines: string[] = []
    let characters = 0
    for (let index = first - this.#memoryFirst; index < this.#memory.length; index++) {
      const line = this.#memory[index] as string
      characters += line.length
      if (lines.length >= limits.linesMax || (lines.length > 0 && characters > limits.charactersMax)) break
      lines.push(line)
    }
    return lines.length > 0 ? { epoch: this.#epoch, first, lost: first - wanted, lines } : undefined
  }

  acknowledge(seq: number): void {
    if (seq <= this.#acknowledged) return
    this.#acknowledged = seq
    this.#trimMemory()
    this.#schedule()
  }

  onLine(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  stats(): SpoolStats {
    return {
      waiting: this.#next - 1 - this.#acknowledged,
      unwritten: this.#next - Math.max(this.#unwritten, this.#acknowledged + 1),
      bytesOnDisk: this.#segments?.bytes ?? 0,
      lost: this.#lost,
    }
  }

  /** Lets go of lines that are acknowledged, then of those that are on disk, and of others only beyond the last bound. */
  #trimMemory(): void {
    const acknowledged = Math.min(this.#memory.length, Math.max(0, this.#acknowledged + 1 - this.#memoryFirst))
    const left = this.#memory.length - acknowledged
    if (acknowledged === 0 && left <= MEMORY_LINES_MAX && this.#memoryCharacters <= MEMORY_CHARACTERS_MAX) return
    let count = acknowledged
    let characters = this.#charactersOf(0, count)
    const onDisk = Math.max(count, this.#unwritten - this.#memoryFirst)
    // More at once than must go: removing each line when the next one comes would move all others each time.
    if (left > MEMORY_LINES_MAX || this.#memoryCharacters - characters > MEMORY_CHARACTERS_MAX) {
      while (
        count < onDisk &&
        (this.#memory.length - count > MEMORY_LINES_MAX * TRIM_TO ||
          this.#memoryCharacters - characters > MEMORY_CHARACTERS_MAX * TRIM_TO)
      ) {
        characters += (this.#memory[count++] as string).length
      }
    }
    while (count < this.#memory.length && this.#memoryCharacters - characters > UNWRITTEN_CHARACTERS_MAX) {
      characters += (this.#memory[count++] as string).length
      this.#lost++
    }
    if (count === 0) return
    this.#memory.splice(0, count)
    this.#memoryFirst += count
    this.#memoryCharacters -= characters
    this.#unwritten = Math.max(this.#unwritten, this.#memoryFirst)
  }

  #charactersOf(from: number, to: number): number {
    let sum = 0
    for (let index = from; index < to; index++) sum += (this.#memory[index] as string).length
    return sum
  }

  /** All lines of one tick are written together. */
  #schedule(): void {
    if (this.#isScheduled || this.#isPaused || this.#isStopped || !this.#segments) return
    this.#isScheduled = true
    this.#needs.clock.after(0, () => {
      this.#isScheduled = false
      void this.#work()
    })
  }

  /** Brings the disk to where memory is; one at a time. Never rejects. */
  #work(): Promise<void> {
    this.#working ??= this.#workOnce().finally(() => {
      this.#working = undefined
      if (this.#hasWork()) this.#schedule()
    })
    return this.#working
  }

  #hasWork(): boolean {
    return Math.max(this.#unwritten, this.#acknowledged + 1) < this.#next
  }

  async #workOnce(): Promise<void> {
    const segments = this.#segments
    if (!segments) return
    try {
      while (this.#hasWork()) await this.#appendSome(segments)
      await this.#removeAcknowledged(segments)
      if (this.#isSyncDue) {
        this.#isSyncDue = false
        await segments.sync()
      }
    } catch (error) {
      this.#report(error)
      await segments.endCurrent().catch(() => {})
    }
  }

  async #appendSome(segments: SpoolSegments): Promise<void> {
    const first = Math.max(this.#unwritten, this.#acknowledged + 1, this.#memoryFirst)
    const lines: string[] = []
    let characters = 0
    for (let index = first - this.#memoryFirst; index < this.#memory.length; index++) {
      const line = this.#memory[index] as string
      characters += line.length
      if (lines.length > 0 && characters > RECORD_CHARACTERS_MAX) break
      lines.push(line)
    }
    if (segments.currentBytes >= this.#segmentBytesMax) await segments.endCurrent()
    await this.#makeRoom(segments, characters)
    await segments.append(first, lines)
    this.#unwritten = Math.max(this.#unwritten, first + lines.length)
    if (this.#hasFailed) {
      this.#hasFailed = false
      this.#needs.log().info('Log lines are written to the spool again', { lost: this.#lost })
    }
    this.#trimMemory()
    this.#armSync()
  }

  async #makeRoom(segments: SpoolSegments, bytes: number): Promise<void> {
    while (segments.bytes + bytes > this.#options.bytesMax) {
      const before = Math.max(segments.first ?? 0, this.#acknowledged + 1)
      if (!(await segments.dropOldest())) return
      this.#lost += Math.max(0, (segments.first ?? this.#unwritten) - before)
    }
  }

  async #removeAcknowledged(segments: SpoolSegments): Promise<void> {
    const isAllAcknowledged = this.#acknowledged >= this.#unwritten - 1
    if (isAllAcknowledged && segments.currentBytes > Math.min(EMPTY_BYTES_MAX, this.#segmentBytesMax)) {
      await segments.endCurrent()
    }
    if (segments.first === undefined || segments.first > this.#acknowledged) return
    // Noted first: after a crash in between nothing must look lost that is stored.
    await this.#writeMark()
    await segments.removeUpTo(this.#acknowledged, this.#unwritten - 1)
  }

  /** Lines that cannot be read are as good as lost: what comes after them must not wait for a disk to be mended. */
  async #readDisk(segments: SpoolSegments, from: number, limits: BatchLimits): Promise<StoredLines | undefined> {
    for (;;) {
      try {
        return await segments.read(from, limits)
      } catch (error) {
        // Removed meanwhile to make room: then there is a next one.
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
        this.#report(error)
        return undefined
      }
    }
  }

  #armSync(): void {
    this.#syncTimer ??= this.#needs.clock.after(SYNC_AFTER_MS, () => {
      this.#syncTimer = undefined
      void this.#writeMark()
      // What the coordinator has is safe there.
      if (this.#acknowledged >= this.#unwritten - 1) return
      this.#isSyncDue = true
      this.#schedule()
    })
  }

  /** Once an outage: the line about it is one more that waits. */
  #report(error: unknown): void {
    if (this.#isStopped) return
    this.#isPaused = true
    this.#retry?.cancel()
    this.#retry = this.#needs.clock.after(RETRY_MS, () => {
      this.#isPaused = false
      void this.#work()
    })
    if (this.#hasFailed) return
    this.#hasFailed = true
    this.#needs.log().error('The disk of the log spool fails; lines are kept in memory until it works', {
      directory: this.#options.directory,
      why: messageOf(error),
    })
  }

  get #markPath(): string {
    return join(this.#options.directory as string, 'acknowledged')
  }

  /**
   * Notes what is acknowledged, so that another coordinator does not get it again. The same coordinator knows by itself:
   * a note that is lost or old does no harm.
   */
  async #writeMark(): Promise<void> {
    if (!this.#segments || this.#marked === this.#acknowledged) return
    this.#marked = this.#acknowledged
    try {
      const file = await this.#needs.files.open(this.#markPath, 'rw')
      await file.write(0, utf8(`${String(this.#marked).padStart(16, '0')}\n`))
      await file.close()
    } catch {
      // Appending to the spool meets the same disk, and reports it.
    }
  }

  async #readMark(): Promise<number> {
    try {
      const text = Buffer.from(await this.#needs.files.readFile(this.#markPath)).toString('latin1')
      return /^\d{16}\n$/.test(text) ? Number(text) : 0
    } catch {
      return 0
    }
  }
}
