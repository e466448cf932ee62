import { join } from 'node:path'
import type { Component } from '../../base/component.ts'
import { messageOf } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { KeptHistories, RestoreRow } from './kept-histories.ts'
import type { LastingRing } from './metric-history.ts'
import { encodeRows, type NamedRow, readRows, RECORD_ROWS_MAX } from './metric-record.ts'

export interface MetricFilesNeeds {
  clock: Clock
  files: Files
  log: Logger
  histories: Pick<KeptHistories<unknown>, 'kind' | 'all' | 'restoreWith' | 'restored' | 'onClear'>
}

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000
const WRITE_EVERY_MS = MINUTE_MS

/**
 * Rows of one kind lie in files of equal spans of time, of which the newest are kept: a span more than is shown. Of 1,000 nodes
 * the minutes take 75 MB at most, the hours 36.
 */
const KINDS: readonly { ring: LastingRing; rowMs: number; spanMs: number; filesMax: number }[] = [
  { ring: 'hours', rowMs: HOUR_MS, spanMs: 5 * 24 * HOUR_MS, filesMax: 7 },
  { ring: 'minutes', rowMs: MINUTE_MS, spanMs: 6 * HOUR_MS, filesMax: 5 },
]

/**
 * Keeps the histories of a coordinator on disk: each minute the rows that are complete are appended. After a start they are
 * read again when somebody asks for one, or before the first is written. Nothing is synced: what a power cut costs is a few
 * points of a graph. A disk that fails is said once, and what could not be written is written when it works.
 * @param directory made where it is not there
 */
export function createMetricFiles(needs: MetricFilesNeeds, options: { directory: string }): Component {
  return new MetricFiles(needs, options)
}

class MetricFiles implements Component {
  readonly name = 'metric-files'
  readonly #needs: MetricFilesNeeds
  readonly #directory: string
  readonly #log: Logger
  /** Rows that begin before this moment are written. */
  readonly #writtenToMs = new Map<LastingRing, number>()
  /** Bytes of the file that is written to, by its path. */
  readonly #sizes = new Map<string, number>()
  #timer: Timer | undefined
  #hasRead = false
  #writing: Promise<void> | undefined
  #isFailing = false
  /** What was cleared is in the files still: they are written anew, of what is in memory. */
  #isOutdated = false
  #unlisten = (): void => {}

  constructor(needs: MetricFilesNeeds, { directory }: { directory: string }) {
    this.#needs = needs
    this.#directory = directory
    this.#log = needs.log.child('Metrics')
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { clock, histories } = this.#needs
    for (const { ring, rowMs } of KINDS) this.#writtenToMs.set(ring, periodOf(clock.wallMs(), rowMs))
    histories.restoreWith((restore) => this.#readAll(restore))
    this.#unlisten = histories.onClear(() => {
      this.#isOutdated = true
      void this.#write()
    })
    this.#timer = clock.every(WRITE_EVERY_MS, () => void this.#write())
  }

  async stop(): Promise<void> {
    if (!this.#timer) return
    this.#timer.cancel()
    this.#timer = undefined
    this.#unlisten()
    await this.#writing
    // A run so short has no row: nothing is read for its sake.
    if (this.#hasRead) await this.#write({ isLast: true })
  }

  /** Never rejects: graphs that cannot be read are not there. */
  async #readAll(restore: RestoreRow): Promise<void> {
    this.#hasRead = true
    try {
      await this.#needs.files.makeDirectory(this.#directory)
      // Hours first: the minutes fill up those that were not complete when the node stopped.
      for (const kind of KINDS) await this.#read(kind, restore)
    } catch (error) {
      this.#report(error)
    }
  }

  async #read({ ring, spanMs, filesMax }: (typeof KINDS)[number], restore: RestoreRow): Promise<void> {
    const { clock, files, histories } = this.#needs
    const nowMs = clock.wallMs()
    const spans = await this.#spansOf(ring)
    // Those of a clock that was ahead would be the newest for ever.
    const kept = spans.filter((span) => span * spanMs <= nowMs).slice(-filesMax)
    for (const span of spans) {
      const path = this.#pathOf(ring, span)
      if (!kept.includes(span)) {
        await files.remove(path)
        continue
      }
      const file = await files.open(path, 'r')
      try {
        const bytes = await readRows(file, histories.kind.fields, (row) => {
          if (row.timeMs <= nowMs) restore(ring, row)
        })
        this.#sizes.set(path, bytes)
      } finally {
        await file.close()
      }
    }
  }

  /** One at a time. Never rejects. */
  #write({ isLast = false } = {}): Promise<void> {
    this.#writing ??= this.#writeRows(isLast).finally(() => (this.#writing = undefined))
    return this.#writing
  }

  async #writeRows(isLast: boolean): Promise<void> {
    await this.#needs.histories.restored()
    const nowMs = this.#needs.clock.wallMs()
    try {
      if (this.#isOutdated) await this.#removeAll()
      for (const kind of KINDS) {
        // The minute that a stop breaks off is written as far as it came; of the hours it is what they are made of.
        const toMs = isLast && kind.ring === 'minutes' ? nowMs : periodOf(nowMs, kind.rowMs)
        await this.#writeKind(kind, toMs)
      }
      if (this.#isFailing) this.#log.info('Histories of metrics are written to disk again')
      this.#isFailing = false
    } catch (error) {
      this.#report(error)
    }
  }

  async #writeKind({ ring, spanMs, filesMax }: (typeof KINDS)[number], toMs: number): Promise<void> {
    // A clock that was set back begins again where it is now.
    const fromMs = Math.min(this.#writtenToMs.get(ring) ?? toMs, toMs)
    const path = this.#pathOf(ring, Math.floor(toMs / spanMs))
    const isNew = !this.#sizes.has(path)
    const rows: NamedRow[] = []
    for (const [name, history] of this.#needs.histories.all()) {
      for (const row of history.rows(ring, fromMs)) if (row.timeMs < toMs) rows.push({ name, ...row })
      while (rows.length >= RECORD_ROWS_MAX) await this.#append(path, rows.splice(0, RECORD_ROWS_MAX))
    }
    if (rows.length > 0) await this.#append(path, rows)
    this.#writtenToMs.set(ring, toMs)
    if (isNew && this.#sizes.has(path)) await this.#removeOld(ring, filesMax)
  }

  async #removeAll(): Promise<void> {
    for (const { ring } of KINDS) {
      await this.#removeOld(ring, 0)
      this.#writtenToMs.set(ring, 0)
    }
    this.#isOutdated = false
  }

  async #append(path: string, rows: readonly NamedRow[]): Promise<void> {
    const { files, histories } = this.#needs
    const file = await files.open(path, 'rw')
    try {
      const size = this.#sizes.get(path) ?? (await readRows(file, histories.kind.fields, () => {}))
      // What a power cut or a full disk left unfinished behind the last sound record.
      if ((await file.size()) > size) await file.truncate(size)
      const record = encodeRows(rows)
      await file.write(size, record)
      this.#sizes.set(path, size + record.byteLength)
    } finally {
      await file.close()
    }
  }

  async #removeOld(ring: LastingRing, filesMax: number): Promise<void> {
    const spans = await this.#spansOf(ring)
    for (const span of spans.slice(0, Math.max(0, spans.length - filesMax))) {
      const path = this.#pathOf(ring, span)
      this.#sizes.delete(path)
      await this.#needs.files.remove(path)
    }
  }

  /** Numbers of the spans there are files of, the oldest first. */
  async #spansOf(ring: LastingRing): Promise<number[]> {
    const names = await this.#needs.files.list(this.#directory)
    const spans = names.flatMap((name) => {
      const [, kind, span] = NAME.exec(name) ?? []
      return kind === ring ? [Number(span)] : []
    })
    return spans.sort((a, b) => a - b)
  }

  #pathOf(ring: LastingRing, span: number): string {
    return join(this.#directory, `${ring}-${span}.rows`)
  }

  #report(error: unknown): void {
    if (this.#isFailing) return
    this.#isFailing = true
    this.#log.error('Histories of metrics cannot be kept on disk; they are in memory until it works', {
      directory: this.#directory,
      why: messageOf(error),
    })
  }
}

const NAME = /^(minutes|hours)-(\d{1,12})\.rows$/

function periodOf(timeMs: number, periodMs: number): number {
  return Math.floor(timeMs / periodMs) * periodMs
}
