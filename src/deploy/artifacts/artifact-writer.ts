import { createHash, type Hash } from 'node:crypto'
import { formatBytes } from '../../base/bytes.ts'
import { DeployError } from '../../base/errors.ts'
import type { OpenFile } from '../../base/files.ts'
import type { BundleManifest } from '../bundle/bundle-manifest.ts'
import { asNoRoom } from '../bundle/no-room.ts'
import type { SignedBundle } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { ArtifactFacts } from './artifact-facts.ts'
import { CHUNK_BYTES_MAX } from './artifact-source.ts'

/** Writes one artifact, in order. One call at a time. Ended by `commit`, `close` or `discard`, or a failure of `append`. */
export interface ArtifactWriter {
  readonly digest: ArtifactDigest
  readonly sizeBytes: number
  /** Bytes that are here: where the next chunk goes. */
  readonly offset: number
  /**
   * Resolves when the next chunk may come.
   * @throws {DeployError} P2P_ARTIFACT_TOO_LARGE: more than was announced; nothing of the chunk is taken. P2P_ARTIFACT_NO_ROOM and
   *   errors of the disk: everything is discarded
   */
  append(chunk: Uint8Array): Promise<void>
  /** What is here, from the beginning. */
  content(): AsyncIterable<Uint8Array>
  /** Not ended yet. */
  readonly isOpen: boolean
  /** Every byte is here, and together they have the digest. */
  readonly isWhole: boolean
  /**
   * Makes it an artifact of the store, durably. What does not hold is discarded.
   * @param bundle what the bundle says of itself
   * @throws {DeployError} P2P_ARTIFACT_DIGEST_MISMATCH: it is not whole; as `append`
   */
  commit(bundle: BundleManifest, signed: SignedBundle): Promise<ArtifactFacts>
  /** Keeps what is here for a later writer. Idempotent. */
  close(): Promise<void>
  /** Throws away what is here. Idempotent. */
  discard(): Promise<void>
}

/** What a writer asks of its store once it ends. */
export interface WriterOwner {
  /** The file is closed and whole. */
  publish(bundle: BundleManifest, signed: SignedBundle): Promise<ArtifactFacts>
  /** The file is closed; `keptBytes` of it stay. */
  release(keptBytes: number): Promise<void>
}

/** A part of an artifact in a file: hashed while it is written, and once when it is found. */
export class PartialArtifact implements ArtifactWriter {
  readonly digest: ArtifactDigest
  readonly sizeBytes: number
  readonly #path: string
  readonly #file: OpenFile
  readonly #owner: WriterOwner
  readonly #hash: Hash = createHash('sha256')
  #offset = 0
  #isOpen = true

  /** @param path of the file, for errors */
  constructor(digest: ArtifactDigest, sizeBytes: number, path: string, file: OpenFile, owner: WriterOwner) {
    this.digest = digest
    this.sizeBytes = sizeBytes
    this.#path = path
    this.#file = file
    this.#owner = owner
  }

  get offset(): number {
    return this.#offset
  }

  /** Goes on after what an earlier writer left; if that cannot be a beginning of the artifact, from the start. */
  async resume(signal: AbortSignal): Promise<void> {
    const foundBytes = await this.#file.size()
    if (foundBytes > this.sizeBytes) await this.#file.truncate(0)
    else this.#offset = foundBytes
    for await (const chunk of this.content()) {
      signal.throwIfAborted()
      this.#hash.update(chunk)
    }
  }

  async append(chunk: Uint8Array): Promise<void> {
    if (this.#offset + chunk.byteLength > this.sizeBytes) {
      throw new DeployError(
        'P2P_ARTIFACT_TOO_LARGE',
        `Artifact ${this.digest} was announced with ${formatBytes(this.sizeBytes)}, and more came`,
        { digest: this.digest, sizeBytes: this.sizeBytes },
      )
    }
    await this.#orDiscard(() => this.#file.write(this.#offset, chunk))
    this.#hash.update(chunk)
    this.#offset += chunk.byteLength
  }

  async *content(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let offset = 0; offset < this.#offset; ) {
      const chunk = await this.#file.read(offset, Math.min(CHUNK_BYTES_MAX, this.#offset - offset))
      if (chunk.byteLength === 0) return
      offset += chunk.byteLength
      yield chunk
    }
  }

  get isOpen(): boolean {
    return this.#isOpen
  }

  get isWhole(): boolean {
    return this.#offset === this.sizeBytes && this.#hash.copy().digest('hex') === this.digest
  }

  async commit(bundle: BundleManifest, signed: SignedBundle): Promise<ArtifactFacts> {
    return this.#orDiscard(async () => {
      if (!this.isWhole) throw this.#mismatch()
      await this.#file.sync()
      await this.#end()
      return this.#owner.publish(bundle, signed)
    })
  }

  async close(): Promise<void> {
    if (!this.#isOpen) return
    await this.#end()
    await this.#owner.release(this.#offset)
  }

  async discard(): Promise<void> {
    if (!this.#isOpen) return
    await this.#end()
    await this.#owner.release(0)
  }

  async #end(): Promise<void> {
    this.#isOpen = false
    await this.#file.close()
  }

  async #orDiscard<T>(action: () => Promise<T>): Promise<T> {
    try {
      return await action()
    } catch (error) {
      if (this.#isOpen) await this.discard()
      else await this.#owner.release(0)
      throw asNoRoom(error, this.#path)
    }
  }

  #mismatch(): DeployError {
    return new DeployError(
      'P2P_ARTIFACT_DIGEST_MISMATCH',
      `The ${this.#offset} bytes that came are not the artifact ${this.digest}: they were changed on the way`,
      { digest: this.digest },
    )
  }
}
