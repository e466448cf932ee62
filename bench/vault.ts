/*
 * Commits per second of the vault beside node:sqlite with the same promise (an answer means: on stable storage), on
 * the same disk, taking turns in the same run.
 *
 *   node --conditions=source bench/vault.ts [--rounds 5] [--seconds 1] [--directory DIR]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseArgs } from 'node:util'
import { silentLogger } from '../src/base/log.ts'
import { systemClock, systemFiles, systemRandom } from '../src/platform/index.ts'
import { createVault } from '../src/storage/index.ts'

export interface VaultBenchOptions {
  rounds: number
  /** Length of one measurement. */
  seconds: number
  /** Where the files go; a disk, not a memory file system. */
  directory: string
}

export interface VaultBenchRow {
  name: string
  /** One figure a round, commits per second. */
  commitsPerSecond: number[]
}

/** About what an issued certificate's record takes. */
const VALUE_BYTES = 200
/** Writers go round these keys, so that the state stays small. */
const KEYS = 1000

/** Measures; each kind once a round, so that a slow moment of the machine falls on all. */
export async function benchVault({ rounds, seconds, directory }: VaultBenchOptions): Promise<VaultBenchRow[]> {
  const folder = await mkdtemp(join(directory, 'p2p-bench-vault-'))
  const vault = createVault(
    { files: systemFiles, clock: systemClock, random: systemRandom, log: silentLogger },
    { path: join(folder, 'vault'), unlock: { kind: 'plot', secret: 'x'.repeat(100) }, createIfMissing: true },
  )
  await vault.start(new AbortController().signal)
  const database = openDatabase(join(folder, 'sqlite'))
  const commit = async (i: number): Promise<void> => {
    await vault.store.transact({ operations: [{ type: 'put', key: `bench/${i % KEYS}`, value: valueOf(i) }] })
  }
  const rows: VaultBenchRow[] = [
    { name: 'vault, 1 writer', commitsPerSecond: [] },
    { name: 'vault, 64 writers', commitsPerSecond: [] },
    { name: 'node:sqlite WAL synchronous=FULL, 1 writer', commitsPerSecond: [] },
  ]
  const measures = [
    () => rateOf(1, seconds, commit),
    () => rateOf(64, seconds, commit),
    () => sqliteRate(database, seconds),
  ]
  try {
    for (let round = 0; round < rounds; round++) {
      for (const [i, measure] of measures.entries()) rows[i]?.commitsPerSecond.push(await measure())
    }
  } finally {
    database.close()
    await vault.stop()
    await rm(folder, { recursive: true })
  }
  return rows
}

/** Never the same twice: SQLite writes nothing where nothing changes. */
function valueOf(count: number): Uint8Array {
  const value = Buffer.alloc(VALUE_BYTES, 'value ')
  value.writeDoubleBE(systemClock.nowMs() + count, 0)
  return value
}

async function rateOf(writers: number, seconds: number, commit: (i: number) => Promise<void>): Promise<number> {
  const startedMs = systemClock.nowMs()
  const endMs = startedMs + seconds * 1000
  let count = 0
  const write = async (): Promise<void> => {
    while (systemClock.nowMs() < endMs) await commit(count++)
  }
  await Promise.all(Array.from({ length: writers }, write))
  return (count * 1000) / (systemClock.nowMs() - startedMs)
}

function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path)
  database.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)',
  )
  return database
}

function sqliteRate(database: DatabaseSync, seconds: number): number {
  const put = database.prepare('INSERT INTO kv VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value')
  const startedMs = systemClock.nowMs()
  const endMs = startedMs + seconds * 1000
  let count = 0
  while (systemClock.nowMs() < endMs) {
    put.run(`bench/${count % KEYS}`, valueOf(count))
    count++
  }
  return (count * 1000) / (systemClock.nowMs() - startedMs)
}

/** `name: median (lowest to highest) commits/s`. */
export function formatRow({ name, commitsPerSecond }: VaultBenchRow): string {
  const sorted = commitsPerSecond.map(Math.round).sort((a, b) => a - b)
  const median = sorted[Math.floor(sorted.length / 2)]
  return `${name}: ${median} (${sorted[0]} to ${sorted.at(-1)}) commits/s, n=${sorted.length}`
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '1' },
      directory: { type: 'string', default: tmpdir() },
    },
  })
  const { rounds, seconds, directory } = values
  const rows = await benchVault({ rounds: Number(rounds), seconds: Number(seconds), directory })
  for (const row of rows) console.log(formatRow(row))
}
