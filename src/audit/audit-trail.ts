import { fromBase64Url, toBase64Url, utf8 } from '../base/bytes.ts'
import type {
  AuditAct,
  AuditFeed,
  AuditOutcome,
  AuditQuery,
  AuditReader,
  AuditRecord,
  AuditTrail,
  AuditVerdict,
} from '../base/audit.ts'
import type { Component } from '../base/component.ts'
import { type ControlStore, getJson, jsonValue } from '../base/control-store.ts'
import { messageOf, StorageError } from '../base/errors.ts'
import type { Files, OpenFile } from '../base/files.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock, Timer } from '../base/time.ts'
import { type AuditFile, auditFile, listAuditFiles, readLines } from './audit-files.ts'
import { decodeLine, encodeLine, FIRST_MAC } from './audit-line.ts'
import { RefusalBudget } from './refusal-budget.ts'

export interface AuditNeeds {
  files: Files
  /** Keeps the key of the trail, and how far it went. */
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
}

export interface AuditOptions {
  directory: string
  /** A file that has grown to this is followed by the next one; default 8 MiB. */
  fileBytesMax?: number
  /** Files kept; default 128, which is 1 GiB. The oldest gives way, and the trail says so. */
  filesMax?: number
}

const KEY_ENTRY = 'audit/key'
const HEAD_ENTRY = 'audit/head'
const KEY_BYTES = 32
const FILE_BYTES_MAX = 8 * 1_024 * 1_024
const FILES_MAX = 128
/** Records that wait for the disk. */
const WAITING_MAX = 4_096
/** How far the trail went is written to the vault this long after a record: what is cut off later than that is noticed. */
const HEAD_DELAY_MS = 1_000
const MINUTE_MS = 60_000
const NEW_FILE = { phase: 'notice', act: 'audit', who: 'system', detail: 'A new file begins' } as const

interface Head {
  seq: number
  mac: string
}

interface OpenAuditFile {
  facts: AuditFile
  open: OpenFile
  /** Behind the last durable record. */
  end: number
}

interface Waiting {
  record: Omit<AuditRecord, 'seq' | 'time'>
  resolve: (seq: number) => void
  reject: (error: unknown) => void
}

/**
 * The audit trail of a node: lines in files of its own, each chained to the one before with a key that is in the vault. Records that come
 * while the disk is busy share one sync.
 */
export function createAuditTrail(
  needs: AuditNeeds,
  options: AuditOptions,
): AuditTrail & AuditReader & AuditFeed & Component {
  return new ChainedAuditTrail(needs, options)
}

class ChainedAuditTrail implements AuditTrail, AuditReader, AuditFeed, Component {
  readonly name = 'audit'
  readonly #needs: AuditNeeds
  readonly #options: Required<AuditOptions>
  readonly #log: Logger
  #key: Uint8Array = new Uint8Array()
  #head: Head = { seq: 0, mac: FIRST_MAC }
  #file: OpenAuditFile | undefined
  #waiting: Waiting[] = []
  #writing: Promise<void> | undefined
  #headTimer: Timer | undefined
  #headWriting: Promise<void> = Promise.resolve()
  #ended: StorageError | undefined = closed()
  readonly #listeners = new Set<(record: AuditRecord) => void>()
  readonly #refusals = new RefusalBudget()
  #minute: Timer | undefined

  constructor(needs: AuditNeeds, options: AuditOptions) {
    this.#needs = needs
    this.#log = needs.log.child('Audit')
    this.#options = { fileBytesMax: FILE_BYTES_MAX, filesMax: FILES_MAX, ...options }
  }

  async start(): Promise<void> {
    const { files, store } = this.#needs
    await files.makeDirectory(this.#options.directory)
    this.#key = await this.#loadKey()
    const known = await getJson<Head>(store, HEAD_ENTRY)
    const found = await this.#findEnd()
    this.#ended = undefined
    this.#head = found.head
    if (known && known.seq > found.head.seq) {
      this.#head = { seq: known.seq, mac: found.head.mac }
      await this.#notice(`The records ${found.head.seq + 1} to ${known.seq} are missing from the files of the trail`)
    } else if (known && known.seq === found.head.seq && known.mac !== found.head.mac) {
      await this.#notice(`The record ${known.seq} is not the one that was written`)
    }
    if (found.problem !== undefined) await this.#notice(found.problem)
  }

  async stop(): Promise<void> {
    if (this.#ended) return
    this.#endMinute()
    await this.#writing
    this.#ended = closed()
    this.#headTimer?.cancel()
    await this.#writeHead()
    await this.#file?.open.close()
    this.#file = undefined
  }

  async begin(act: AuditAct): Promise<(outcome: AuditOutcome, detail?: string) => void> {
    const intent = await this.#append({ ...act, phase: 'intent' })
    let isEnded = false
    return (outcome, detail) => {
      if (isEnded) return
      isEnded = true
      this.#write({ ...act, phase: 'outcome', intent, outcome, detail })
    }
  }

  refused(act: AuditAct, detail: string, outcome: 'refused' | 'failed' = 'refused'): void {
    if (this.#takeRefusal(act)) this.#write({ ...act, phase: 'outcome', outcome, detail })
  }

  onRecord(listener: (record: AuditRecord) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async query(query: AuditQuery): Promise<AuditRecord[]> {
    const matches = matcher(query)
    const found: AuditRecord[] = []
    const all = await listAuditFiles(this.#needs.files, this.#options.directory)
    for (const { path } of all.reverse()) {
      if (query.before !== undefined && (await this.#firstSeq(path)) >= query.before) continue
      const here: AuditRecord[] = []
      for await (const { text } of readLines(this.#needs.files, path)) {
        const record = decodeLine(text, '', this.#key)?.record
        if (!record || !matches(record)) continue
        here.push(record)
        if (here.length > query.limit) here.shift()
      }
      found.push(...here.reverse())
      if (found.length >= query.limit) break
    }
    return found.slice(0, query.limit)
  }

  /** Number of the first record of a file; 0 when it has none that can be read. */
  async #firstSeq(path: string): Promise<number> {
    for await (const { text } of readLines(this.#needs.files, path))
      return decodeLine(text, '', this.#key)?.record.seq ?? 0
    return 0
  }

  async verify(signal?: AbortSignal): Promise<AuditVerdict> {
    await this.#writing
    const head = this.#head
    const verdict: AuditVerdict = { records: 0, firstSeq: undefined, lastSeq: undefined, problems: [] }
    let mac: string | undefined
    for (const { path } of await listAuditFiles(this.#needs.files, this.#options.directory)) {
      let line = 0
      for await (const { text, isWhole } of readLines(this.#needs.files, path)) {
        signal?.throwIfAborted()
        // Being written at this moment.
        if (!isWhole && path === this.#file?.facts.path) break
        line++
        const decoded = isWhole
          ? decodeLine(text, line === 1 || mac === undefined ? FIRST_MAC : mac, this.#key)
          : undefined
        const problem = decoded ? problemOf(decoded, line, mac, verdict.lastSeq) : 'this is no record'
        if (problem !== undefined) verdict.problems.push({ file: path, line, problem })
        if (!decoded) continue
        const { seq } = decoded.record
        verdict.firstSeq ??= seq
        verdict.lastSeq = seq
        verdict.records++
        mac = decoded.mac
      }
    }
    if ((verdict.lastSeq ?? 0) < head.seq) {
      const file = this.#options.directory
      verdict.problems.push({ file, line: 0, problem: `the records up to ${head.seq} are missing` })
    }
    return verdict
  }

  /** Appends without anybody waiting. */
  #write(record: Waiting['record']): void {
    this.#append(record).catch((error: unknown) => {
      this.#log.error('An outcome could not be recorded', {
        act: record.act,
        who: record.who,
        reason: messageOf(error),
      })
    })
  }

  #append(record: Waiting['record']): Promise<number> {
    if (this.#ended) return Promise.reject(this.#ended)
    if (this.#waiting.length >= WAITING_MAX) {
      return Promise.reject(new StorageError('P2P_STORAGE_OVERLOADED', 'The audit trail has too much to write'))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ record, resolve, reject })
      this.#writing ??= this.#drain().finally(() => (this.#writing = undefined))
    })
  }

  async #drain(): Promise<void> {
    // A turn later, so that what is recorded in one tick shares one sync.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const group = this.#waiting
      this.#waiting = []
      try {
        await this.#appendGroup(group.map(({ record }) => record))
        const first = this.#head.seq - group.length + 1
        for (const [index, { resolve }] of group.entries()) resolve(first + index)
      } catch (error) {
        for (const { reject } of group) reject(error)
      }
    }
  }

  async #appendGroup(records: readonly Waiting['record'][]): Promise<void> {
    if (this.#ended) throw this.#ended
    const file = await this.#currentFile()
    const time = new Date(this.#needs.clock.wallMs()).toISOString()
    let { seq, mac } = this.#head
    let text = ''
    const add = (record: Waiting['record'], previousMac: string): void => {
      const line = encodeLine({ seq: ++seq, time, ...record }, previousMac, this.#key)
      text += line.text
      mac = line.mac
    }
    if (file.end === 0) add({ ...NEW_FILE, previous: mac }, FIRST_MAC)
    for (const record of records) add(record, mac)
    const firstSeq = seq - records.length + 1
    const bytes = utf8(text)
    try {
      await file.open.write(file.end, bytes)
    } catch (error) {
      // What was written of it is cut off again; the next append is another chance.
      await file.open.truncate(file.end).catch(() => {})
      throw new StorageError(
        'P2P_STORAGE_FULL',
        `The audit trail ${file.facts.path} cannot be written: ${messageOf(error)}. Nothing privileged is done until it can: free some space`,
        {},
        { cause: error },
      )
    }
    try {
      await file.open.sync()
    } catch (error) {
      // After a failed sync nobody knows what is on the disk (and asking again may lie): no privileged act from now on.
      this.#ended = new StorageError(
        'P2P_STORAGE_FAILED',
        `The audit trail ${file.facts.path} could not be made durable: ${messageOf(error)}`,
        {},
        { cause: error },
      )
      this.#log.critical('The disk of the audit trail failed; nothing privileged is done any more', { error })
      throw this.#ended
    }
    file.end += bytes.length
    this.#head = { seq, mac }
    this.#headTimer ??= this.#needs.clock.after(HEAD_DELAY_MS, () => {
      this.#headTimer = undefined
      this.#headWriting = this.#writeHead()
    })
    for (const [index, record] of records.entries()) {
      for (const listener of this.#listeners) listener({ seq: firstSeq + index, time, ...record })
    }
  }

  async #currentFile(): Promise<OpenAuditFile> {
    const { files } = this.#needs
    const { directory, fileBytesMax } = this.#options
    if (this.#file && this.#file.end < fileBytesMax) return this.#file
    const next = auditFile(directory, (this.#file?.facts.number ?? 0) + 1)
    await this.#file?.open.close()
    this.#file = { facts: next, open: await files.open(next.path, 'wx'), end: 0 }
    await files.syncDirectory(directory)
    await this.#dropOldest()
    return this.#file
  }

  async #dropOldest(): Promise<void> {
    const { files } = this.#needs
    const all = await listAuditFiles(files, this.#options.directory)
    for (const { path } of all.slice(0, Math.max(0, all.length - this.#options.filesMax))) {
      await files.remove(path)
      this.#write({ phase: 'notice', act: 'audit', who: 'system', detail: `The oldest records were removed: ${path}` })
    }
  }

  /** Where the trail goes on. What a crash left unfinished is cut off; what does not verify is left as it is, and a new file begun. */
  async #findEnd(): Promise<{ head: Head; problem: string | undefined }> {
    const { files } = this.#needs
    const all = await listAuditFiles(files, this.#options.directory)
    const last = all.at(-1)
    if (!last) return { head: { seq: 0, mac: FIRST_MAC }, problem: undefined }
    let head: Head = { seq: 0, mac: FIRST_MAC }
    let end = 0
    let problem: string | undefined
    for await (const { text, end: lineEnd, isWhole } of readLines(files, last.path)) {
      if (!isWhole) break
      const decoded = decodeLine(text, end === 0 ? FIRST_MAC : head.mac, this.#key)
      if (!decoded?.isChained) problem ??= `${last.path} was changed: what follows record ${head.seq} does not verify`
      if (!decoded) break
      head = { seq: decoded.record.seq, mac: decoded.mac }
      end = lineEnd
    }
    // An empty file was made just before a crash: the end is in the one before it.
    if (end === 0 && all.length > 1 && problem === undefined) {
      await files.remove(last.path)
      return this.#findEnd()
    }
    const facts = problem === undefined ? last : auditFile(this.#options.directory, last.number + 1)
    const open = await files.open(facts.path, 'rw')
    if (problem === undefined) await open.truncate(end)
    this.#file = { facts, open, end: problem === undefined ? end : 0 }
    return { head, problem }
  }

  async #loadKey(): Promise<Uint8Array> {
    const { store, random } = this.#needs
    const known = await getJson<string>(store, KEY_ENTRY)
    if (known !== undefined) return fromBase64Url(known)
    const key = random.bytes(KEY_BYTES)
    await store.transact({ operations: [{ type: 'put', key: KEY_ENTRY, value: jsonValue(toBase64Url(key)) }] })
    return key
  }

  async #writeHead(): Promise<void> {
    await this.#headWriting
    try {
      await this.#needs.store.transact({
        operations: [{ type: 'put', key: HEAD_ENTRY, value: jsonValue(this.#head) }],
      })
    } catch (error) {
      this.#log.warning('How far the audit trail went could not be noted in the vault', { reason: messageOf(error) })
    }
  }

  async #notice(detail: string): Promise<void> {
    this.#log.critical('The audit trail is not as it was left', { detail })
    await this.#append({ phase: 'notice', act: 'audit', who: 'system', detail })
  }

  /** @returns false: it is counted, and told with the others at the end of the minute */
  #takeRefusal(act: AuditAct): boolean {
    if (this.#ended) return false
    this.#minute ??= this.#needs.clock.after(MINUTE_MS, () => this.#endMinute())
    return this.#refusals.take(originOf(act))
  }

  #endMinute(): void {
    this.#minute?.cancel()
    this.#minute = undefined
    for (const detail of this.#refusals.end()) this.#write({ phase: 'notice', act: 'audit', who: 'system', detail })
  }
}

/** Who floods does so from somewhere under one name, or under none. */
function originOf({ who, from = '' }: AuditAct): string {
  return `${who} ${from}`
}

/** What is wrong with a record where it stands; undefined: nothing. */
function problemOf(
  { record, isChained }: { record: AuditRecord; isChained: boolean },
  line: number,
  previousMac: string | undefined,
  lastSeq: number | undefined,
): string | undefined {
  const { seq, previous } = record
  if (!isChained) return `record ${seq} was changed, or does not follow the one before`
  if (line === 1 && previousMac !== undefined && previous !== previousMac)
    return `what came before record ${seq} was changed`
  if (lastSeq !== undefined && seq !== lastSeq + 1) return `record ${seq} comes where ${lastSeq + 1} should`
  return undefined
}

function matcher({ sinceMs, untilMs, who, act, before }: AuditQuery): (record: AuditRecord) => boolean {
  const [whoPart, actPart] = [who?.toLowerCase(), act?.toLowerCase()]
  return (record) => {
    if (before !== undefined && record.seq >= before) return false
    const timeMs = Date.parse(record.time)
    if (sinceMs !== undefined && timeMs < sinceMs) return false
    if (untilMs !== undefined && timeMs > untilMs) return false
    if (whoPart !== undefined && !record.who.toLowerCase().includes(whoPart)) return false
    return actPart === undefined || record.act.toLowerCase().includes(actPart)
  }
}

function closed(): StorageError {
  return new StorageError('P2P_STORAGE_CLOSED', 'The audit trail is not open')
}
