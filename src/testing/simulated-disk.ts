import type { FileFacts, Files, OpenFile, OpenMode } from '../base/files.ts'
import { type Random, randomInt } from '../base/random.ts'

type PendingWrite = { type: 'write'; offset: number; bytes: Uint8Array } | { type: 'truncate'; length: number }

/** A file apart from its names. `bytes` is what programs see, `durable` what a power loss leaves for certain. */
interface Inode {
  bytes: Uint8Array
  durable: Uint8Array
  pending: PendingWrite[]
  mode: number
  modifiedMs: number
}

type EntryChange =
  | { type: 'create'; path: string; inode: Inode }
  | { type: 'rename'; path: string; to: string }
  | { type: 'remove'; path: string }

/** A sector is written whole or not at all. */
const SECTOR_BYTES = 512

/**
 * A disk in memory that does what real ones may do at the worst moment. What was written and not synced survives a
 * power loss wholly, partly or not at all, independent of the order it was written in; creations, renames and
 * removals survive in order, up to some point, unless their directory was synced.
 *
 * Faults are set on its fields; {@link cutPowerAfter} stops it in the middle of any operation, {@link restart} brings
 * back what survived. Everything is a function of the random numbers it is given.
 */
export class SimulatedDisk implements Files {
  /** Bytes all files may have together; a write beyond stores what fits, then fails with ENOSPC. */
  capacityBytes = Infinity
  /** Every `sync` of a file fails with EIO. */
  failsSync = false
  /** When what is written now was written: Unix milliseconds. */
  wallMs = 0
  /** Operations that change something, counted since the disk was made. */
  operationCount = 0

  readonly #random: Random
  readonly #locks = new Set<string>()
  #entries = new Map<string, Inode>()
  #durableEntries = new Map<string, Inode>()
  #pendingEntries: EntryChange[] = []
  #operationsLeft = Infinity
  /** Rises with every restart: what was opened before is dead. */
  #session = 0

  constructor(random: Random) {
    this.#random = random
  }

  /** Whether the power is off: every operation fails until {@link restart}. */
  get isOff(): boolean {
    return this.#operationsLeft <= 0
  }

  /** The power fails during the `operations`-th changing operation from now: it fails, and so do all later ones. */
  cutPowerAfter(operations: number): void {
    this.#operationsLeft = operations
  }

  /** The process dies and the machine lives on: all that was written is there, and as little synced as before. */
  killProcess(): void {
    this.#session++
    this.#locks.clear()
    this.#operationsLeft = Infinity
  }

  /** Power loss and restart: keeps what was synced and a random part of the rest; open files and locks are gone. */
  restart(): void {
    this.killProcess()
    const kept = randomInt(this.#random, this.#pendingEntries.length + 1)
    for (const change of this.#pendingEntries.splice(0).slice(0, kept)) applyChange(this.#durableEntries, change)
    this.#entries = new Map(this.#durableEntries)
    for (const inode of new Set(this.#entries.values())) this.#lose(inode)
  }

  /** What programs read in the file now. @throws ENOENT */
  contentOf(path: string): Uint8Array {
    return this.#inode(path).bytes.slice()
  }

  /** Replaces the file's content, durably: damage done behind everybody's back. Creates the file if need be. */
  overwrite(path: string, bytes: Uint8Array): void {
    const inode: Inode = {
      bytes: bytes.slice(),
      durable: bytes.slice(),
      pending: [],
      mode: 0o600,
      modifiedMs: this.wallMs,
    }
    this.#entries.set(path, inode)
    this.#durableEntries.set(path, inode)
  }

  chmod(path: string, mode: number): void {
    this.#inode(path).mode = mode
  }

  async open(path: string, mode: OpenMode): Promise<OpenFile> {
    this.#checkPower()
    const exists = this.#entries.has(path)
    if (mode === 'r' && !exists) throw systemError('ENOENT', path)
    if (mode === 'wx' && exists) throw systemError('EEXIST', path)
    if (!exists) {
      this.#change({
        type: 'create',
        path,
        inode: {
          bytes: new Uint8Array(0),
          durable: new Uint8Array(0),
          pending: [],
          mode: 0o600,
          modifiedMs: this.wallMs,
        },
      })
    }
    return this.#opened(path)
  }

  async readFile(path: string): Promise<Uint8Array> {
    this.#checkPower()
    return this.contentOf(path)
  }

  async facts(path: string): Promise<FileFacts | undefined> {
    this.#checkPower()
    const inode = this.#entries.get(path)
    return inode && { sizeBytes: inode.bytes.byteLength, mode: inode.mode, modifiedMs: inode.modifiedMs }
  }

  async list(directory: string): Promise<string[]> {
    this.#checkPower()
    const paths = [...this.#entries.keys()].filter((path) => isBelow(path, directory))
    return [...new Set(paths.map((path) => path.slice(directory.length + 1).split('/', 1)[0] as string))].sort()
  }

  /** Directories are there by being named in paths. */
  async makeDirectory(): Promise<void> {
    this.#checkPower()
  }

  async rename(from: string, to: string): Promise<void> {
    this.#checkPower()
    if (!this.#isDirectory(from)) this.#inode(from)
    if (this.#isDirectory(to)) throw systemError('ENOTEMPTY', to)
    this.#change({ type: 'rename', path: from, to })
  }

  async remove(path: string): Promise<void> {
    this.#checkPower()
    this.#inode(path)
    this.#change({ type: 'remove', path })
  }

  async removeTree(path: string): Promise<void> {
    this.#checkPower()
    const found = [...this.#entries.keys()].filter((each) => each === path || isBelow(each, path))
    for (const each of found) this.#change({ type: 'remove', path: each })
  }

  async setMode(path: string, mode: number): Promise<void> {
    this.#checkPower()
    this.#inode(path).mode = mode
  }

  async syncDirectory(): Promise<void> {
    this.#checkPower()
    this.#spend('a directory')
    for (const change of this.#pendingEntries.splice(0)) applyChange(this.#durableEntries, change)
  }

  async lock(path: string): Promise<(() => Promise<void>) | undefined> {
    this.#checkPower()
    if (this.#locks.has(path)) return undefined
    this.#locks.add(path)
    const session = this.#session
    return async () => {
      if (session === this.#session) this.#locks.delete(path)
    }
  }

  #opened(path: string): OpenFile {
    const inode = this.#inode(path)
    const session = this.#session
    const check = (): void => {
      this.#checkPower()
      if (session !== this.#session) throw systemError('EBADF', path)
    }
    return {
      read: async (offset, length) => {
        check()
        return inode.bytes.slice(offset, offset + length)
      },
      write: async (offset, bytes) => {
        check()
        await this.#write(inode, path, offset, bytes)
      },
      sync: async () => {
        check()
        if (this.failsSync) throw systemError('EIO', path)
        this.#spend(path)
        inode.durable = inode.bytes.slice()
        inode.pending = []
      },
      truncate: async (length) => {
        check()
        inode.bytes = resized(inode.bytes, length)
        inode.pending.push({ type: 'truncate', length })
        this.#spend(path)
      },
      size: async () => {
        check()
        return inode.bytes.byteLength
      },
      close: async () => {},
    }
  }

  async #write(inode: Inode, path: string, offset: number, bytes: Uint8Array): Promise<void> {
    const used = [...this.#entries.values()].reduce((sum, other) => sum + other.bytes.byteLength, 0)
    const growth = Math.max(0, offset + bytes.byteLength - inode.bytes.byteLength)
    const missing = Math.max(0, used + growth - this.capacityBytes)
    const fitting = bytes.slice(0, Math.max(0, bytes.byteLength - missing))
    inode.bytes = written(inode.bytes, offset, fitting)
    inode.modifiedMs = this.wallMs
    inode.pending.push({ type: 'write', offset, bytes: fitting })
    this.#spend(path)
    if (missing > 0) throw systemError('ENOSPC', path)
  }

  #change(change: EntryChange): void {
    applyChange(this.#entries, change)
    this.#pendingEntries.push(change)
    this.#spend(change.path)
  }

  /** Counts one changing operation. The one that the power fails in has begun, and is not acknowledged. */
  #spend(path: string): void {
    this.operationCount++
    this.#operationsLeft--
    if (this.isOff) throw systemError('EIO', path)
  }

  #checkPower(): void {
    if (this.isOff) throw systemError('EIO', 'the disk')
  }

  #isDirectory(path: string): boolean {
    return [...this.#entries.keys()].some((each) => isBelow(each, path))
  }

  #inode(path: string): Inode {
    const inode = this.#entries.get(path)
    if (!inode) throw systemError('ENOENT', path)
    return inode
  }

  #lose(inode: Inode): void {
    let bytes = inode.durable
    for (const pending of inode.pending) {
      if (this.#random.float() < 0.3) continue
      if (pending.type === 'truncate') bytes = resized(bytes, pending.length)
      else bytes = this.#writePart(bytes, pending.offset, pending.bytes)
    }
    inode.bytes = bytes.slice()
    inode.durable = bytes.slice()
    inode.pending = []
  }

  /** All of a write, a beginning of it, or some of its sectors. */
  #writePart(target: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
    const chance = this.#random.float()
    if (chance < 0.4) return written(target, offset, bytes)
    if (chance < 0.8) return written(target, offset, bytes.slice(0, randomInt(this.#random, bytes.byteLength + 1)))
    let result = target
    for (let start = 0; start < bytes.byteLength; start += SECTOR_BYTES) {
      if (this.#random.float() < 0.5) result = written(result, offset + start, bytes.slice(start, start + SECTOR_BYTES))
    }
    return result
  }
}

function applyChange(entries: Map<string, Inode>, change: EntryChange): void {
  if (change.type === 'create') {
    entries.set(change.path, change.inode)
    return
  }
  const moved = [...entries].filter(([path]) => path === change.path || isBelow(path, change.path))
  for (const [path, inode] of moved) {
    entries.delete(path)
    if (change.type === 'rename') entries.set(change.to + path.slice(change.path.length), inode)
  }
}

function isBelow(path: string, directory: string): boolean {
  return path.startsWith(`${directory}/`)
}

function written(target: Uint8Array, offset: number, bytes: Uint8Array): Uint8Array {
  const result = resized(target, Math.max(target.byteLength, bytes.byteLength === 0 ? 0 : offset + bytes.byteLength))
  result.set(bytes, bytes.byteLength === 0 ? 0 : offset)
  return result
}

/** A copy of the given length; what is new is zero. */
function resized(bytes: Uint8Array, length: number): Uint8Array {
  const result = new Uint8Array(length)
  result.set(bytes.subarray(0, length))
  return result
}

function systemError(code: string, path: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: simulated disk, ${path}`), { code, path })
}
