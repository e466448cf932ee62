import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import type { NodeId } from '../../../base/identity.ts'
import { type LogFilter, type LogPageRequest, type LogSources, LOG_TOTAL_MAX } from '../../../base/log-line.ts'
import { LOG_LEVELS } from '../../../base/log.ts'
import { wordsMatcher, wordsQuery } from '../search-words.ts'
import type { LineRow } from './messages.ts'
import { SERIOUS_RANK, WORDS_SCHEMA, WORDS_VERSION } from './schema.ts'

/** Lines whose words are added, or looked at to be removed, in one step: a question waits so long. */
const STEP_LINES = 500
/** A page of lines must fit into one message between nodes (8 MiB) and into a reader's memory. */
const PAGE_CHARACTERS_MAX = 4 * 1_024 * 1_024
const MINUTE_MS = 60_000
/** Names of loggers in one answer: they come from other machines, and are for people to choose from. */
const SOURCES_MAX = 2_000
const COLUMNS = [
  'l.id AS id',
  'n.name AS node',
  ...['seq', 'time', 'received', 'clock_offset', 'level', 'logger', 'message', 'fields', 'trace'].map(
    (name) => `l.${name} AS ${name}`,
  ),
].join()
/** For the moments in which SQLite's own upkeep has a file to itself. */
const BUSY_MS = 5_000

/** SQL conditions on a line `l`, with their values. */
interface Conditions {
  sql: string[]
  values: SQLInputValue[]
}

/** Some of the lines that match. */
interface Part {
  newestFirst(): Iterable<StoredLine>
  /** How many they are, counted up to `max`. */
  count(max: number): number
}

interface StoredLine {
  id: number
  node: NodeId
  seq: number
  time: number
  received: number
  clock_offset: number
  level: number
  logger: string
  message: string
  fields: string
  trace: string
}

/**
 * Answers questions about the lines, beside the thread that writes them, and keeps the index of their words. Lines that are
 * not in the index yet are read when words are searched for, so that nothing is missing in an answer.
 */
export class LineReader {
  readonly #db: DatabaseSync

  /** @param path the file of the lines, made by its writer */
  constructor(path: string, wordsPath: string) {
    this.#db = new DatabaseSync(wordsPath, { timeout: BUSY_MS })
    this.#db.exec(
      'PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; PRAGMA temp_store = MEMORY;',
    )
    if (this.#number('PRAGMA user_version') !== WORDS_VERSION) this.#db.exec(`BEGIN; ${WORDS_SCHEMA} COMMIT`)
    this.#db.prepare('ATTACH ? AS store').run(path)
    this.#forgetUnknown()
  }

  query(filter: LogFilter, page: LogPageRequest): { rows: LineRow[]; total: number; latest: number } {
    const latest = this.#number('SELECT coalesce(max(id), 0) FROM store.lines')
    const conditions = this.#conditions(filter)
    if (!conditions) return { rows: [], total: 0, latest }
    if (page.before !== undefined) add(conditions, 'l.id < ?', page.before)
    const { offset = 0, limit } = page
    const rows: LineRow[] = []
    let characters = 0
    let total = 0
    for (const part of this.#parts(filter, conditions)) {
      let passed = 0
      for (const line of part.newestFirst()) {
        if (rows.length >= limit || characters >= PAGE_CHARACTERS_MAX) {
          passed = part.count(LOG_TOTAL_MAX - total)
          break
        }
        passed++
        if (total + passed <= offset) continue
        characters += line.message.length + line.fields.length
        rows.push(rowOf(line))
      }
      total += passed
      if (total >= LOG_TOTAL_MAX && rows.length >= limit) break
    }
    return { rows, total: Math.min(total, LOG_TOTAL_MAX), latest }
  }

  after(filter: LogFilter, after: number, limit: number): { rows: LineRow[]; end: number } {
    const latest = this.#number('SELECT coalesce(max(id), 0) FROM store.lines')
    const conditions = this.#conditions(filter)
    if (!conditions) return { rows: [], end: Math.max(after, latest) }
    add(conditions, 'l.id > ?', after)
    add(conditions, 'l.id <= ?', latest)
    const hasWords = wordsMatcher(filter.search)
    const rows: LineRow[] = []
    let characters = 0
    for (const line of this.#lines(conditions, 'ASC')) {
      if (!hasWords(line.message, line.fields)) continue
      rows.push(rowOf(line))
      characters += line.message.length + line.fields.length
      if (rows.length >= limit || characters >= PAGE_CHARACTERS_MAX) return { rows, end: line.id }
    }
    return { rows, end: Math.max(after, latest) }
  }

  sources(nodeId: NodeId | undefined): LogSources {
    const nodes = this.#db.prepare('SELECT name FROM store.nodes WHERE lines > 0 ORDER BY name').all() as {
      name: NodeId
    }[]
    const loggers = this.#db
      .prepare(
        'SELECT DISTINCT l.name AS name FROM store.loggers l JOIN store.nodes n ON n.id = l.node WHERE ?1 IS NULL OR n.name = ?1 ORDER BY 1 LIMIT ?2',
      )
      .all(nodeId ?? null, SOURCES_MAX) as { name: string }[]
    return { nodes: nodes.map(({ name }) => name), loggers: loggers.map(({ name }) => name) }
  }

  /** Adds the words of the next lines, or removes some of lines that are gone. @returns whether there is no more to do */
  step(): boolean {
    return this.#addWords() || this.#removeWords()
  }

  close(): void {
    this.#db.close()
  }

  #addWords(): boolean {
    const indexed = this.#number('SELECT indexed FROM progress')
    const { last } = this.#db
      .prepare(`SELECT max(id) AS last FROM (SELECT id FROM store.lines WHERE id > ? ORDER BY id LIMIT ${STEP_LINES})`)
      .get(indexed) as { last: number | null }
    if (last === null) return false
    this.#transaction(() => {
      const { changes } = this.#db
        .prepare(
          'INSERT INTO words (rowid, message, fields, trace) SELECT id, message, fields, trace FROM store.lines WHERE id > ? AND id <= ?',
        )
        .run(indexed, last)
      this.#db.prepare('UPDATE progress SET indexed = ?, words = words + ?').run(last, changes)
    })
    return true
  }

  /** Goes round and round through the index while more than a tenth of it is of lines that are gone. */
  #removeWords(): boolean {
    const words = this.#number('SELECT words FROM progress')
    // All lines are in the index by now.
    const lines = this.#number('SELECT coalesce(sum(lines), 0) FROM store.nodes')
    if (words - lines <= Math.max(STEP_LINES, words / 10)) return false
    const from = this.#number('SELECT purged FROM progress')
    const looked = this.#db
      .prepare(
        'SELECT d.id AS id, l.id IS NULL AS isGone FROM words_docsize d LEFT JOIN store.lines l ON l.id = d.id WHERE d.id > ? ORDER BY d.id LIMIT ?',
      )
      .all(from, STEP_LINES) as { id: number; isGone: number }[]
    this.#transaction(() => {
      const remove = this.#db.prepare('DELETE FROM words WHERE rowid = ?')
      const gone = looked.filter(({ isGone }) => isGone)
      for (const { id } of gone) remove.run(id)
      const next = looked.length < STEP_LINES ? 0 : (looked.at(-1)?.id ?? 0)
      this.#db.prepare('UPDATE progress SET purged = ?, words = words - ?').run(next, gone.length)
    })
    return true
  }

  /** An index that is ahead of the lines is of another file. */
  #forgetUnknown(): void {
    const latest = this.#number('SELECT coalesce(max(used), 0) FROM store.epochs')
    if (this.#number('SELECT indexed FROM progress') <= latest) return
    this.#db.exec(
      "BEGIN; INSERT INTO words(words) VALUES ('delete-all'); UPDATE progress SET indexed = 0, purged = 0, words = 0; COMMIT",
    )
  }

  /** Where the lines that match are, newest first: with words those that are not in the index yet, then those that are. */
  #parts(filter: LogFilter, conditions: Conditions): Part[] {
    const query = wordsQuery(filter)
    if (query === undefined) {
      const from = `store.lines l ${indexHint(filter)}`
      return [this.#part({ from, order: 'l.id DESC', ...conditions })]
    }
    const indexed = this.#number('SELECT indexed FROM progress')
    const found = {
      from: 'words w CROSS JOIN store.lines l ON l.id = w.rowid',
      order: 'w.rowid DESC',
      sql: ['w.words MATCH ?', ...conditions.sql],
      values: [query, ...conditions.values],
    }
    return [this.#freshPart(wordsMatcher(filter.search), conditions, indexed), this.#part(found)]
  }

  #part({ from, order, sql, values }: Conditions & { from: string; order: string }): Part {
    const where = sql.length > 0 ? `WHERE ${sql.join(' AND ')}` : ''
    return {
      newestFirst: () =>
        this.#select(`${from} CROSS JOIN store.nodes n ON n.id = l.node ${where} ORDER BY ${order}`, values),
      count: (max) => {
        const counted = `SELECT count(*) AS lines FROM (SELECT 1 FROM ${from} ${where} LIMIT ?)`
        return (this.#db.prepare(counted).get(...values, max) as { lines: number }).lines
      },
    }
  }

  #freshPart(hasWords: ReturnType<typeof wordsMatcher>, { sql, values }: Conditions, indexed: number): Part {
    const fresh = { sql: [...sql, 'l.id > ?'], values: [...values, indexed] }
    const newestFirst = (): Iterable<StoredLine> =>
      this.#lines(fresh, 'DESC').filter((line) => hasWords(line.message, line.fields))
    return { newestFirst, count: (max) => [...Iterator.from(newestFirst()).take(max)].length }
  }

  #lines({ sql, values }: Conditions, order: 'ASC' | 'DESC'): IteratorObject<StoredLine> {
    const where = sql.length > 0 ? `WHERE ${sql.join(' AND ')}` : ''
    return this.#select(
      `store.lines l CROSS JOIN store.nodes n ON n.id = l.node ${where} ORDER BY l.id ${order}`,
      values,
    )
  }

  #select(from: string, values: readonly SQLInputValue[]): IteratorObject<StoredLine> {
    const rows: unknown = this.#db.prepare(`SELECT ${COLUMNS} FROM ${from}`).iterate(...values)
    return rows as IteratorObject<StoredLine>
  }

  /** All of the filter but the words. @returns undefined when nothing can match */
  #conditions(filter: LogFilter): Conditions | undefined {
    const conditions: Conditions = { sql: [], values: [] }
    const { nodeId, level, logger, traceId, sinceMs, untilMs } = filter
    if (nodeId !== undefined) {
      const node = this.#db.prepare('SELECT id FROM store.nodes WHERE name = ?').get(nodeId) as
        | { id: number }
        | undefined
      if (!node) return undefined
      add(conditions, 'l.node = ?', node.id)
    }
    const rank = level === undefined ? 0 : LOG_LEVELS.indexOf(level)
    // Said in words the planner knows from the index.
    if (rank >= SERIOUS_RANK) conditions.sql.push(`l.level >= ${SERIOUS_RANK}`)
    if (rank > 0) add(conditions, 'l.level >= ?', rank)
    if (logger !== undefined) add(conditions, 'instr(lower(l.logger), lower(?)) > 0', logger)
    if (traceId !== undefined) add(conditions, 'l.trace = ?', traceId)
    if (sinceMs !== undefined) {
      add(conditions, 'l.time >= ?', sinceMs)
      add(
        conditions,
        'l.id >= (SELECT min(first) FROM store.minutes WHERE minute >= ?)',
        Math.floor(sinceMs / MINUTE_MS),
      )
    }
    if (untilMs !== undefined) {
      add(conditions, 'l.time <= ?', untilMs)
      add(
        conditions,
        'l.id <= (SELECT max(last) FROM store.minutes WHERE minute <= ?)',
        Math.floor(untilMs / MINUTE_MS),
      )
    }
    return conditions
  }

  #transaction(work: () => void): void {
    // Not IMMEDIATE: that would keep the lines' own writer out too.
    this.#db.exec('BEGIN')
    try {
      work()
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  #number(sql: string): number {
    return Object.values(this.#db.prepare(sql).get() as Record<string, number>)[0] as number
  }
}

/** The planner cannot know how few the serious lines are. */
function indexHint({ level, nodeId }: LogFilter): string {
  const isSerious = level !== undefined && LOG_LEVELS.indexOf(level) >= SERIOUS_RANK
  return isSerious && nodeId === undefined ? 'INDEXED BY lines_serious' : ''
}

function add({ sql, values }: Conditions, condition: string, value: SQLInputValue): void {
  sql.push(condition)
  values.push(value)
}

function rowOf(line: StoredLine): LineRow {
  const { id, node, seq, time, received, clock_offset: offset, level, logger, message, fields, trace } = line
  return [id, node, seq, time, received, offset, level, logger, message, fields, trace]
}
