import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { EVENT_KINDS, type HappenedEvent, type TimelineEvent, type TimelineFilter } from '../../../base/timeline.ts'
import type { EventCalls, EventRow } from './event-messages.ts'

const SCHEMA_VERSION = 1
const SCHEMA = `
CREATE TABLE events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, kind TEXT NOT NULL, severity TEXT NOT NULL,
  node TEXT NOT NULL, service TEXT NOT NULL, title TEXT NOT NULL, detail TEXT NOT NULL, trace TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (time, id);
CREATE INDEX events_of_kind ON events (kind, id);
CREATE TABLE states (key TEXT PRIMARY KEY, state TEXT NOT NULL, used INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = ${SCHEMA_VERSION};
`

/** Events of one kind that are kept: whoever makes most of them pushes out none of another kind. Some 12 MB each at most. */
const EVENTS_PER_KIND_MAX = 20_000
/** Subjects whose last state is remembered. */
const STATES_MAX = 20_000
/** What is over is removed every so many commits. */
const TRIM_EVERY = 64
const BUSY_MS = 5_000

/** The file of the timeline. What `commit` has returned from is on stable storage. */
export class EventTable {
  readonly #db: DatabaseSync
  #commits = 0

  /** @throws what SQLite says */
  constructor(path: string) {
    this.#db = new DatabaseSync(path, { timeout: BUSY_MS })
    this.#db.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -1024; PRAGMA wal_autocheckpoint = 500;
      PRAGMA journal_size_limit = 4194304; PRAGMA temp_store = MEMORY;
    `)
    if (this.#number('PRAGMA user_version') === 0) this.#db.exec(`BEGIN; ${SCHEMA} COMMIT`)
    const version = this.#number('PRAGMA user_version')
    if (version !== SCHEMA_VERSION) throw new Error(`file is not a database of version ${SCHEMA_VERSION}`)
  }

  contents(): EventCalls['open']['answer'] {
    const states = this.#db.prepare('SELECT key, state FROM states ORDER BY used').all() as {
      key: string
      state: string
    }[]
    return { latest: this.#latest(), states: states.map(({ key, state }) => [key, state]) }
  }

  commit({ events, states }: EventCalls['commit']['request']): EventCalls['commit']['answer'] {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const insert = this.#db.prepare(
        'INSERT INTO events (time, kind, severity, node, service, title, detail, trace) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
      )
      for (const event of events) insert.run(...valuesOf(event))
      const latest = this.#latest()
      const remember = this.#db.prepare('INSERT OR REPLACE INTO states VALUES (?, ?, ?)')
      for (const [key, state] of states) remember.run(key, state, latest)
      if (this.#commits++ % TRIM_EVERY === 0) this.#trim()
      this.#db.exec('COMMIT')
      return { latest }
    } catch (error) {
      // SQLite itself has rolled back after some failures.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }

  query({ filter, limit, before }: EventCalls['query']['request']): EventCalls['query']['answer'] {
    const { sql, values } = conditionsOf(filter)
    if (before) {
      sql.push('(time, id) < (?, ?)')
      values.push(before.timeMs, before.id)
    }
    const rows = this.#db
      .prepare(`SELECT * FROM events ${whereOf(sql)} ORDER BY time DESC, id DESC LIMIT ?`)
      .all(...values, limit) as unknown as EventRow[]
    return { events: rows.map(eventOf), latest: this.#latest() }
  }

  after({ filter, after, limit }: EventCalls['after']['request']): EventCalls['after']['answer'] {
    const { sql, values } = conditionsOf(filter)
    const latest = this.#latest()
    const rows = this.#db
      .prepare(`SELECT * FROM events ${whereOf([...sql, 'id > ?'])} ORDER BY id LIMIT ?`)
      .all(...values, after, limit) as unknown as EventRow[]
    const last = rows.at(-1)?.id ?? latest
    return { events: rows.map(eventOf), end: rows.length < limit ? Math.max(latest, last) : last }
  }

  close(): void {
    this.#db.close()
  }

  #trim(): void {
    const remove = this.#db.prepare(
      'DELETE FROM events WHERE kind = ?1 AND id <= (SELECT id FROM events WHERE kind = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)',
    )
    for (const kind of EVENT_KINDS) remove.run(kind, EVENTS_PER_KIND_MAX)
    this.#db
      .prepare('DELETE FROM states WHERE used < (SELECT used FROM states ORDER BY used DESC LIMIT 1 OFFSET ?)')
      .run(STATES_MAX)
  }

  /** Ids are never given twice, also when the newest event was removed. */
  #latest(): number {
    return this.#number("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'")
  }

  #number(sql: string): number {
    return Object.values(this.#db.prepare(sql).get() as Record<string, number>)[0] as number
  }
}

function valuesOf({ timeMs, kind, severity, nodeId, service, title, detail, traceId }: HappenedEvent): SQLInputValue[] {
  return [Math.round(timeMs), kind, severity, nodeId ?? '', service ?? '', title, detail ?? '', traceId ?? '']
}

function eventOf({ id, time, kind, severity, node, service, title, detail, trace }: EventRow): TimelineEvent {
  return {
    id,
    timeMs: time,
    kind,
    severity,
    title,
    ...(node !== '' && { nodeId: node }),
    ...(service !== '' && { service }),
    ...(detail !== '' && { detail }),
    ...(trace !== '' && { traceId: trace }),
  }
}

function conditionsOf({ nodeId, service, kinds, sinceMs, untilMs }: TimelineFilter): {
  sql: string[]
  values: SQLInputValue[]
} {
  const conditions = { sql: [] as string[], values: [] as SQLInputValue[] }
  const add = (sql: string, ...values: SQLInputValue[]): void => {
    conditions.sql.push(sql)
    conditions.values.push(...values)
  }
  if (nodeId !== undefined) add('node = ?', nodeId)
  if (service !== undefined) add('service = ?', service)
  if (kinds) add(`kind IN (${kinds.map(() => '?').join()})`, ...kinds)
  if (sinceMs !== undefined) add('time >= ?', sinceMs)
  if (untilMs !== undefined) add('time <= ?', untilMs)
  return conditions
}

function whereOf(conditions: readonly string[]): string {
  return conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : ''
}
