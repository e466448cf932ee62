import type { OpenFile } from '../base/files.ts'
import type { Random } from '../base/random.ts'
import { isDiskFull } from '../base/system-failure.ts'
import { diskFull, failed, syncOrFail } from './vault-file.ts'
import { type Commit, encodeCommits } from './vault/records.ts'
import { type ChainPosition, SEGMENT_ID_BYTES, type SegmentKeys, SegmentSealer } from './vault/segment.ts'

/** Where the journal goes on. */
export interface JournalPlace {
  path: string
  file: OpenFile
  /** End of the last durable record. */
  end: number
  position: ChainPosition
}

/** Appends commits to the open vault file, one durable record a group. Calls must not overlap. */
export class Journal {
  readonly #random: Random
  readonly #keys: SegmentKeys
  readonly #path: string
  readonly #file: OpenFile
  #end: number
  #position: ChainPosition
  /** Made with the first append: a file that is only read gets no new segment. */
  #sealer: SegmentSealer | undefined

  constructor(random: Random, keys: SegmentKeys, place: JournalPlace) {
    this.#random = random
    this.#keys = keys
    this.#path = place.path
    this.#file = place.file
    this.#end = place.end
    this.#position = place.position
  }

  /** Bytes of the file up to the last durable record. */
  get end(): number {
    return this.#end
  }

  /** Number of durable records. */
  get recordCount(): number {
    return this.#position.seq - 1
  }

  /**
   * Resolves once the commits are on stable storage.
   * @throws {StorageError} P2P_STORAGE_FULL: nothing of it is in the file, and a later append may succeed;
   *   P2P_STORAGE_FAILED: what is in the file is unknown, nothing may be appended any more
   */
  async append(commits: readonly Commit[]): Promise<void> {
    this.#sealer ??= new SegmentSealer(this.#keys, this.#random.bytes(SEGMENT_ID_BYTES), this.#position)
    const frame = this.#sealer.seal('commits', encodeCommits(commits))
    await this.#write(frame)
    await syncOrFail(this.#file, this.#path)
    this.#end += frame.byteLength
    this.#position = this.#sealer.position
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  async #write(frame: Uint8Array): Promise<void> {
    try {
      await this.#file.write(this.#end, frame)
    } catch (error) {
      if (!isDiskFull(error)) throw failed(this.#path, 'Cannot write to', error)
      await this.#rollBack()
      throw diskFull(this.#path, error)
    }
  }

  /**
   * Takes a partial append off the file. Part of it may have reached the disk, so its nonce is spent: the next append
   * begins a new segment. The cut is synced, so that a crash never finds two broken appends in one file.
   */
  async #rollBack(): Promise<void> {
    this.#sealer = undefined
    try {
      await this.#file.truncate(this.#end)
    } catch (error) {
      throw failed(this.#path, 'Cannot take back a partial write to', error)
    }
    await syncOrFail(this.#file, this.#path)
  }
}
