import { join } from 'node:path'
import type { Files, OpenFile } from '../../base/files.ts'
import { decodeRecord, encodeRecord, RECORD_HEADER_BYTES, type SpoolRecord } from './spool-record.ts'

/** One file of the spool. */
interface Segment {
  path: string
  /** The run that wrote it. */
  epoch: string
  /** Number of its first line. */
  first: number
  bytes: number
}

const NAME = /^(\d{16})-([\da-f]{16})\.log$/
const READ_BYTES = 512 * 1_024

/** Lines that follow on each other. */
export interface StoredLines {
  epoch: string
  first: number
  lines: string[]
}

/**
 * The spool's files: appended to at one end, read and removed at the other. Lines of one run that follow on each other in
 * number may still lie in several files.
 */
export class SpoolSegments {
  readonly #files: Files
  readonly #directory: string
  readonly #epoch: string
  /** In the order of their numbers; the last one is written to while `#current` is open. */
  #segments: Segment[] = []
  #current: OpenFile | undefined
  /** Where the next read begins, so that a segment is not read from its start each time. */
  #readAt: { segment: Segment; offset: number; first: number } | undefined

  constructor(files: Files, directory: string, epoch: string) {
    this.#files = files
    this.#directory = directory
    this.#epoch = epoch
  }

  get bytes(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.bytes, 0)
  }

  /** Number of the first line there is. */
  get first(): number | undefined {
    return this.#segments[0]?.first
  }

  get currentBytes(): number {
    return this.#current ? (this.#segments.at(-1)?.bytes ?? 0) : 0
  }

  /** Finds what earlier runs left. @returns the number of the last line, 0 when there is none */
  async open(): Promise<number> {
    await this.#files.makeDirectory(this.#directory)
    for (const name of await this.#files.list(this.#directory)) {
      const [, first, epoch] = NAME.exec(name) ?? []
      if (first === undefined || epoch === undefined) continue
      const path = join(this.#directory, name)
      const facts = await this.#files.facts(path)
      if (facts) this.#segments.push({ path, epoch, first: Number(first), bytes: facts.sizeBytes })
    }
    this.#segments.sort((a, b) => a.first - b.first)
    let number = 0
    for (let last = this.#segments.at(-1); last; last = this.#segments.at(-1)) {
      number = Math.max(number, await this.#lastLineOf(last))
      if (number >= last.first) break
      // The power failed during its first record. The next file begins with the same number, and must be the only one that does.
      this.#segments.pop()
      await this.#files.remove(last.path).catch(() => {})
    }
    return number
  }

  /** Appends one record, beginning a new file where none is open. A failure leaves at most a torn record behind. */
  async append(first: number, lines: readonly string[]): Promise<void> {
    const file = (this.#current ??= await this.#begin(first))
    const segment = this.#segments.at(-1) as Segment
    const record = encodeRecord(first, lines)
    await file.write(segment.bytes, record)
    segment.bytes += record.byteLength
  }

  async sync(): Promise<void> {
    await this.#current?.sync()
  }

  /** The next line begins a new file. */
  async endCurrent(): Promise<void> {
    const file = this.#current
    this.#current = undefined
    await file?.close()
  }

  /** Removes the files whose lines all have numbers up to `seq`; the open one only when `last` is its last line. */
  async removeUpTo(seq: number, last: number): Promise<void> {
    while (this.#segments.length > 0) {
      const next = this.#segments[1]
      const segmentLast = next ? next.first - 1 : last
      if (segmentLast > seq) return
      if (!next && this.#current) return
      await this.#removeFirst()
    }
  }

  /** Makes room: the oldest file goes, whatever is in it. @returns whether there was one that is not written to */
  async dropOldest(): Promise<boolean> {
    if (this.#segments.length - (this.#current ? 1 : 0) < 1) return false
    await this.#removeFirst()
    return true
  }

  /**
   * The next lines at or after number `from`, as many as follow on each other within the bounds.
   * @returns undefined when there are none
   */
  async read(from: number, { linesMax, charactersMax }: BatchLimits): Promise<StoredLines | undefined> {
    for (let index = this.#indexOf(from); index >= 0 && index < this.#segments.length; index++) {
      const segment = this.#segments[index] as Segment
      const found = await this.#readSegment(segment, from, { linesMax, charactersMax })
      if (found) return found
    }
    return undefined
  }

  /** The last segment that may hold `from`, or the first one after it. */
  #indexOf(from: number): number {
    const after = this.#segments.findIndex((segment) => segment.first > from)
    if (after === 0) return 0
    return after < 0 ? this.#segments.length - 1 : after - 1
  }

  async #readSegment(segment: Segment, from: number, limits: BatchLimits): Promise<StoredLines | undefined> {
    const known = this.#readAt
    // Lines that were not acknowledged are read once more.
    const resumed = known?.segment === segment && from >= known.first ? known.offset : 0
    const found: StoredLines = { epoch: segment.epoch, first: 0, lines: [] }
    let characters = 0
    for await (const { record, offset } of this.#records(segment, resumed)) {
      if (record.first + record.lines.length <= from) continue
      if (found.lines.length === 0) found.first = Math.max(from, record.first)
      else if (record.first !== found.first + found.lines.length) return found
      this.#readAt = { segment, offset, first: record.first }
      for (const line of record.lines.slice(Math.max(0, from - record.first))) {
        characters += line.length
        const isFull = found.lines.length >= limits.linesMax || characters > limits.charactersMax
        if (isFull && found.lines.length > 0) return found
        found.lines.push(line)
      }
    }
    return found.lines.length > 0 ? found : undefined
  }

  /** The sound records from `offset` on. */
  async *#records(segment: Segment, offset: number): AsyncGenerator<{ record: SpoolRecord; offset: number }> {
    const file = await this.#files.open(segment.path, 'r')
    try {
      // What is appended meanwhile is read another time.
      const end = segment.bytes
      let at = offset
      let length = READ_BYTES
      while (at + RECORD_HEADER_BYTES <= end) {
        const bytes = await file.read(at, Math.min(length, end - at))
        let used = 0
        for (;;) {
          const record = decodeRecord(bytes, used)
          if (!record) return
          if ('needsBytes' in record) {
            // A record that would end behind the file was torn.
            if (at + used + record.needsBytes > end) return
            length = Math.max(READ_BYTES, record.needsBytes)
            break
          }
          yield { record, offset: at + used }
          used += record.bytes
        }
        at += used
      }
    } finally {
      await file.close()
    }
  }

  async #lastLineOf(segment: Segment): Promise<number> {
    let last = segment.first - 1
    for await (const { record } of this.#records(segment, 0)) last = record.first + record.lines.length - 1
    return last
  }

  async #begin(first: number): Promise<OpenFile> {
    const path = join(this.#directory, `${String(first).padStart(16, '0')}-${this.#epoch}.log`)
    const file = await this.#files.open(path, 'rw')
    // After a failed append to a new file the same number begins again.
    await file.truncate(0)
    if (this.#segments.at(-1)?.path === path) this.#segments.pop()
    this.#segments.push({ path, epoch: this.#epoch, first, bytes: 0 })
    return file
  }

  async #removeFirst(): Promise<void> {
    const segment = this.#segments.shift() as Segment
    if (this.#readAt?.segment === segment) this.#readAt = undefined
    // One that cannot be removed now is found again at the next start.
    await this.#files.remove(segment.path).catch(() => {})
  }
}

export interface BatchLimits {
  linesMax: number
  charactersMax: number
}
