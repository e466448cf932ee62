import { crc32 } from 'node:zlib'
import type { ChangeEvent } from '../../base/control-store.ts'
import type { StorageError } from '../../base/errors.ts'
import { damaged } from './damage.ts'
import { containsFrame, decodeFrameHeader, FRAME_BYTES_MAX, FRAME_HEADER_BYTES, type FrameHeader } from './frame.ts'
import { chainStart, type ReadHeader } from './header.ts'
import { decodeCommits, decodeEntries, decodeSnapshotHead } from './records.ts'
import { type ChainPosition, SegmentOpener } from './segment.ts'
import { VaultState } from './state.ts'

/**
 * What one look at the bytes gave: a record was taken in, more bytes must be shown first, the file ends here, or the
 * last append was cut short by a crash (`bytes` are what is left of it).
 */
export type LoadStep =
  | { type: 'record'; bytes: number }
  | { type: 'need'; bytes: number }
  | { type: 'end' }
  | { type: 'torn'; bytes: number }

/** Told of every commit replayed from the journal, in order. */
export type ReplayListener = (revision: number, events: ChangeEvent[]) => void

/**
 * Rebuilds the state from the records of a vault file, and decides what a broken record means:
 * - An append is one frame, and the next is written only after it was synced. So at most the last frame can be torn
 *   by a crash, and only after the snapshot, which was verified before the file got its name.
 * - Whatever else is wrong is damage (checksum) or tampering (authentication): refused, with the offset.
 */
export class VaultLoader {
  readonly state = new VaultState()
  readonly #path: string
  readonly #opener: SegmentOpener
  readonly #onReplay: ReplayListener
  #offset: number
  #snapshotEntries = 0
  #isSnapshotComplete = false
  #snapshotEnd = 0

  constructor(header: ReadHeader, masterKey: Uint8Array, onReplay: ReplayListener = () => {}) {
    this.#path = header.path
    this.#offset = header.bytes.length
    this.#opener = new SegmentOpener({ masterKey, storageId: header.storageId }, chainStart(header.bytes))
    this.#onReplay = onReplay
  }

  /** Where the next record begins: bytes from the start of the file. */
  get offset(): number {
    return this.#offset
  }

  get position(): ChainPosition {
    return this.#opener.position
  }

  get segmentCount(): number {
    return this.#opener.segmentCount
  }

  /** Where the snapshot ends and the journal begins. */
  get snapshotEnd(): number {
    return this.#snapshotEnd
  }

  /** True once the whole snapshot was read: before that there is no commit point. */
  get isSnapshotComplete(): boolean {
    return this.#isSnapshotComplete
  }

  /**
   * Takes in the record at `offset`.
   * @param window the bytes from `offset` on, as far as they were read
   * @param fileBytes length of the whole file
   * @throws {StorageError} P2P_STORAGE_DAMAGED
   */
  step(window: Uint8Array, fileBytes: number): LoadStep {
    const remaining = fileBytes - this.#offset
    if (remaining === 0) return this.#end()
    if (window.length < Math.min(FRAME_HEADER_BYTES, remaining)) return { type: 'need', bytes: FRAME_HEADER_BYTES }
    const header = decodeFrameHeader(window)
    if (!header) return this.#judgeRest(window, remaining)
    const frameBytes = FRAME_HEADER_BYTES + header.bodyBytes
    if (frameBytes > remaining) return this.#torn(remaining, 'its last record is cut off')
    if (window.length < frameBytes) return { type: 'need', bytes: frameBytes }
    const frame = window.subarray(0, frameBytes)
    if (crc32(frame.subarray(FRAME_HEADER_BYTES)) !== header.bodyCrc) {
      if (frameBytes === remaining) return this.#torn(remaining, 'the checksum of its last record does not match')
      throw this.#damaged(`the checksum of record ${header.seq} does not match, and records follow it`)
    }
    this.#take(header, frame)
    this.#offset += frameBytes
    return { type: 'record', bytes: frameBytes }
  }

  #end(): LoadStep {
    if (!this.#isSnapshotComplete) throw this.#damaged('the file ends inside its snapshot')
    return { type: 'end' }
  }

  /** There is no frame header here: the rest of a torn append, or a damaged header with records after it. */
  #judgeRest(window: Uint8Array, remaining: number): LoadStep {
    if (remaining > FRAME_BYTES_MAX) throw this.#damaged('no record begins here')
    if (window.length < remaining) return { type: 'need', bytes: remaining }
    if (containsFrame(window.subarray(0, remaining))) throw this.#damaged('no record begins here, but records follow')
    return this.#torn(remaining, 'no record begins here')
  }

  #torn(bytes: number, what: string): LoadStep {
    if (!this.#isSnapshotComplete) throw this.#damaged(`${what}, inside the snapshot`)
    return { type: 'torn', bytes }
  }

  #take(header: FrameHeader, frame: Uint8Array): void {
    try {
      this.#replay(header, this.#opener.open(header, frame))
    } catch (cause) {
      if (cause instanceof RangeError) throw this.#damaged(cause.message, cause)
      throw cause
    }
  }

  #replay(header: FrameHeader, plaintext: Uint8Array): void {
    const isCommits = header.kind === 'commits'
    if (isCommits !== this.#isSnapshotComplete)
      throw new RangeError(`a record of kind ${header.kind} in the wrong place`)
    if (isCommits) {
      for (const commit of decodeCommits(plaintext)) this.#onReplay(commit.revision, this.state.apply(commit))
      return
    }
    const isHead = header.seq === 1
    if (isHead !== (header.kind === 'snapshot')) throw new RangeError('the head of a snapshot in the wrong place')
    if (isHead) this.#beginSnapshot(plaintext)
    else for (const entry of decodeEntries(plaintext)) this.state.restoreEntry(entry)
    if (header.isLast) this.#endSnapshot(frameEnd(this.#offset, header))
  }

  #beginSnapshot(plaintext: Uint8Array): void {
    const head = decodeSnapshotHead(plaintext)
    this.#snapshotEntries = head.entryCount
    this.state.restoreHead(head)
  }

  #endSnapshot(end: number): void {
    if (this.state.size !== this.#snapshotEntries) {
      throw new RangeError(`a snapshot of ${this.#snapshotEntries} entries that holds ${this.state.size}`)
    }
    this.#isSnapshotComplete = true
    this.#snapshotEnd = end
  }

  #damaged(what: string, cause?: unknown): StorageError {
    const lastGood = this.#isSnapshotComplete
      ? { lastGoodSeq: this.position.seq - 1, lastGoodRevision: this.state.revision }
      : undefined
    return damaged({ path: this.#path, offset: this.#offset }, what, lastGood, cause)
  }
}

function frameEnd(offset: number, header: FrameHeader): number {
  return offset + FRAME_HEADER_BYTES + header.bodyBytes
}
