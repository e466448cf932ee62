import { DatabaseSync, type StatementSync } from 'node:sqlite'
import type { NodeId } from '../../../base/identity.ts'
import type { CommitJob, LineCounts, LineRow, StoreState } from './messages.ts'
import { LINES_SCHEMA, SCHEMA_VERSION } from './schema.ts'

/** What a row costs besides its texts: numbers, page and index entries. */
const ROW_BYTES = 96
/** Runs of a node whose numbers are remembered: one that is left is never gone back to. */
const EPOCHS_MAX = 16
/** Names of loggers remembered of each node; they come from other machines. */
const LOGGERS_MAX = 1_000
/** Lines removed at once: what is written meanwhile waits so long. */
const REMOVE_LINES = 2_000
/** The same where somebody waits for it. */
const CLEAR_LINES = 10_000
/** For the moments in which SQLite's own upkeep has the file to itself. */
const BUSY_MS = 5_000
const MINUTE_MS = 60_000

interface NodeState {
  id: number
  name: NodeId
  lines: number
  bytes: number
  loggers: Set<string>
}

/**
 * The file of the lines: one transaction a batch, on disk when `commit` returns. When the file is larger than it may be, the
 * node with the most text in it loses its oldest lines: whoever writes little keeps what it wrote.
 */
export class LineWriter {
  readonly #db: DatabaseSync
  readonly #bytesMax: number
  readonly #nodes = new Map<NodeId, NodeState>()
  readonly #insertLine: StatementSync
  readonly #insertNode: StatementSync
  readonly #updateNode: StatementSync
  readonly #putEpoch: StatementSync
  readonly #dropEpochs: StatementSync
  readonly #putLogger: StatementSync
  readonly #putMinute: StatementSync

  /** @throws what SQLite says; the file must exist */
  constructor(path: string, bytesMax: number) {
    this.#bytesMax = bytesMax
    this.#db = new DatabaseSync(path, { timeout: BUSY_MS })
    // WAL with FULL: a commit is one append and one sync. The log file is cut back after it has grown.
    this.#db.exec(`
      PRAGMA page_size = 8192; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -4096;
      PRAGMA wal_autocheckpoint = 2000; PRAGMA journal_size_limit = 33554432; PRAGMA temp_store = MEMORY;
    `)
    if (this.#number('PRAGMA user_version') === 0) this.#db.exec(`BEGIN; ${LINES_SCHEMA} COMMIT`)
    const version = this.#number('PRAGMA user_version')
    if (version !== SCHEMA_VERSION) throw new Error(`file is not a database of version ${SCHEMA_VERSION}`)
    this.#insertLine = this.#db.prepare('INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    this.#insertNode = this.#db.prepare('INSERT INTO nodes (name, lines, bytes) VALUES (?, 0, 0) RETURNING id')
    this.#updateNode = this.#db.prepare('UPDATE nodes SET lines = ?, bytes = ? WHERE id = ?')
    this.#putEpoch = this.#db.prepare(
      'INSERT INTO epochs VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last, used = excluded.used',
    )
    this.#dropEpochs = this.#db.prepare(
      'DELETE FROM epochs WHERE node = ?1 AND used < (SELECT used FROM epochs WHERE node = ?1 ORDER BY used DESC LIMIT 1 OFFSET ?2)',
    )
    this.#putLogger = this.#db.prepare('INSERT OR IGNORE INTO loggers VALUES (?, ?)')
    this.#putMinute = this.#db.prepare(
      'INSERT INTO minutes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET first = min(first, excluded.first), last = max(last, excluded.last)',
    )
    this.#load()
  }

  state(): StoreState {
    const epochs = this.#db
      .prepare('SELECT name AS nodeId, epoch, last FROM epochs JOIN nodes ON nodes.id = node ORDER BY used')
      .all() as unknown as StoreState['epochs']
    const latest = Math.max(
      this.#number('SELECT coalesce(max(id), 0) FROM lines'),
      // Lines that were removed leave their places empty: a reader goes on after the last one it saw.
      this.#number('SELECT coalesce(max(used), 0) FROM epochs'),
    )
    const nodes = [...this.#nodes.values()].map(({ name, lines }) => ({ nodeId: name, lines }))
    return { latest, nodes, epochs: epochs.map((row) => ({ ...row })) }
  }

  /** Stores all lines or none. */
  commit(jobs: readonly CommitJob[]): LineCounts {
    this.#transaction(() => {
      for (const job of jobs) this.#store(job)
    })
    return { removed: this.#removeExcess(jobs.reduce((sum, { rows }) => sum + rows.length, 0)) }
  }

  /** Removes lines from the oldest on, as long as they were received before that moment, at most so many at once. */
  expire(beforeMs: number): LineCounts & { isDone: boolean } {
    const boundary = this.#db
      .prepare(
        `SELECT max(id) AS id, count(*) AS lines FROM (SELECT id, received FROM lines ORDER BY id LIMIT ${REMOVE_LINES}) WHERE received < ?`,
      )
      .get(beforeMs) as { id: number | null; lines: number }
    if (boundary.id === null) return { removed: [], isDone: true }
    const removed = this.#remove('id <= ?1 AND received < ?2', boundary.id, beforeMs)
    return { removed, isDone: boundary.lines < REMOVE_LINES }
  }

  /**
   * Removes lines of a node, or of all, up to a cursor, a part at a time. What each node has sent is remembered: it does not
   * come back.
   */
  clear(nodeId: NodeId | undefined, upTo: number): LineCounts & { isDone: boolean } {
    const nodes = [...this.#nodes.values()].filter((node) => nodeId === undefined || node.name === nodeId)
    for (const node of nodes) {
      const removed = this.#removeOldestOf(node, CLEAR_LINES, upTo)
      if (removed > 0) return { removed: [[node.name, removed]], isDone: false }
    }
    return { removed: [], isDone: true }
  }

  close(): void {
    this.#db.close()
  }

  #store({ nodeId, epoch, last, rows }: CommitJob): void {
    const node = this.#nodeOf(nodeId)
    const minutes = new Map<number, { first: number; last: number }>()
    let cursor = 0
    for (const row of rows) {
      cursor = row[0]
      this.#insertRow(node, row)
      const minute = Math.floor(row[3] / MINUTE_MS)
      const span = minutes.get(minute)
      if (span) span.last = cursor
      else minutes.set(minute, { first: cursor, last: cursor })
    }
    for (const [minute, span] of minutes) this.#putMinute.run(minute, span.first, span.last)
    this.#updateNode.run(node.lines, node.bytes, node.id)
    this.#putEpoch.run(node.id, epoch, last, cursor)
    this.#dropEpochs.run(node.id, EPOCHS_MAX - 1)
  }

  #insertRow(node: NodeState, row: LineRow): void {
    const [cursor, , seq, time, received, offset, rank, logger, message, fields, trace] = row
    this.#insertLine.run(cursor, node.id, seq, time, received, offset, rank, logger, message, fields, trace)
    node.lines++
    node.bytes += ROW_BYTES + message.length + fields.length
    if (node.loggers.has(logger) || node.loggers.size >= LOGGERS_MAX) return
    node.loggers.add(logger)
    this.#putLogger.run(node.id, logger)
  }

  #nodeOf(name: NodeId): NodeState {
    const known = this.#nodes.get(name)
    if (known) return known
    const { id } = this.#insertNode.get(name) as { id: number }
    const node: NodeState = { id, name, lines: 0, bytes: 0, loggers: new Set() }
    this.#nodes.set(name, node)
    return node
  }

  /** Removes as much as is over, at most about twice what has just been added: the next batch waits. */
  #removeExcess(added: number): [NodeId, number][] {
    const removed: [NodeId, number][] = []
    let lines = 0
    while (lines <= added && this.#usedBytes() > this.#bytesMax) {
      const largest = [...this.#nodes.values()].reduce((a, b) => (b.bytes > a.bytes ? b : a))
      const part = Math.min(REMOVE_LINES, Math.ceil(largest.lines / 10))
      const count = this.#transaction(() => this.#removeOldestOf(largest, part))
      if (count === 0) break
      removed.push([largest.name, count])
      lines += count
    }
    return removed
  }

  #usedBytes(): number {
    const pages = this.#number('PRAGMA page_count') - this.#number('PRAGMA freelist_count')
    return pages * this.#number('PRAGMA page_size')
  }

  #removeOldestOf(node: NodeState, count: number, upTo = Number.MAX_SAFE_INTEGER): number {
    const { last } = this.#db
      .prepare('SELECT max(id) AS last FROM (SELECT id FROM lines WHERE node = ? AND id <= ? ORDER BY id LIMIT ?)')
      .get(node.id, upTo, count) as { last: number | null }
    if (last === null) return 0
    const removed = this.#remove('node = ?1 AND id <= ?2', node.id, last)
    return removed[0]?.[1] ?? 0
  }

  /** Removes the lines that `condition` names, and counts them off their nodes. */
  #remove(condition: string, ...values: number[]): [NodeId, number][] {
    const sums = this.#db
      .prepare(
        `SELECT nodes.name AS name, count(*) AS lines, sum(${ROW_BYTES} + length(message) + length(fields)) AS bytes
         FROM lines JOIN nodes ON nodes.id = lines.node WHERE ${condition.replaceAll(/\b(id|node|received)\b/g, 'lines.$1')} GROUP BY lines.node`,
      )
      .all(...values) as { name: NodeId; lines: number; bytes: number }[]
    this.#transaction(() => {
      this.#db.prepare(`DELETE FROM lines WHERE ${condition}`).run(...values)
      this.#db.exec('DELETE FROM minutes WHERE last < (SELECT min(id) FROM lines)')
      for (const { name, lines, bytes } of sums) {
        const node = this.#nodeOf(name)
        node.lines -= lines
        node.bytes = node.lines > 0 ? Math.max(0, node.bytes - bytes) : 0
        this.#updateNode.run(node.lines, node.bytes, node.id)
      }
    })
    return sums.map(({ name, lines }) => [name, lines])
  }

  /** Also inside another one. After a failure what is remembered of the nodes is read again. */
  #transaction<T>(work: () => T): T {
    if (this.#db.isTransaction) return work()
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      const result = work()
      this.#db.exec('COMMIT')
      return result
    } catch (error) {
      // SQLite itself has rolled back after some failures.
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      this.#load()
      throw error
    }
  }

  #load(): void {
    this.#nodes.clear()
    const nodes = this.#db.prepare('SELECT id, name, lines, bytes FROM nodes').all() as unknown as NodeState[]
    for (const node of nodes) this.#nodes.set(node.name, { ...node, loggers: new Set() })
    const byId = new Map([...this.#nodes.values()].map((node) => [node.id, node]))
    for (const { node, name } of this.#db.prepare('SELECT node, name FROM loggers').all() as {
      node: number
      name: string
    }[]) {
      byId.get(node)?.loggers.add(name)
    }
  }

  #number(sql: string): number {
    return Object.values(this.#db.prepare(sql).get() as Record<string, number>)[0] as number
  }
}
