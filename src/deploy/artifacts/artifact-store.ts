import { join } from 'node:path'
import { assert } from '../../base/assert.ts'
import { formatBytes, utf8 } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { Files, OpenFile } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import { BUNDLE_LIMITS } from '../bundle/bundle-limits.ts'
import type { BundleManifest } from '../bundle/bundle-manifest.ts'
import { asNoRoom } from '../bundle/no-room.ts'
import type { SignedBundle } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { type ArtifactFacts, factsOf } from './artifact-facts.ts'
import { CHUNK_BYTES_MAX } from './artifact-source.ts'
import { type ArtifactWriter, PartialArtifact } from './artifact-writer.ts'

/** Bundles on this node's disk, each under its digest. */
export interface ArtifactStore {
  has(digest: ArtifactDigest): boolean
  get(digest: ArtifactDigest): ArtifactFacts | undefined
  /** Oldest first. */
  list(): ArtifactFacts[]
  /**
   * The bytes from `offset` on, in chunks of at most 256 KiB.
   * @throws {DeployError} P2P_ARTIFACT_UNKNOWN; P2P_ARTIFACT_OFFSET_MISMATCH when `offset` lies behind the end
   */
  read(digest: ArtifactDigest, offset?: number, signal?: AbortSignal): AsyncIterable<Uint8Array>
  /**
   * Begins to write an artifact, or goes on where an earlier writer was closed, also before a restart. One writer an artifact.
   * @throws {DeployError} P2P_ARTIFACT_BUSY; P2P_ARTIFACT_TOO_LARGE; P2P_ARTIFACT_NO_ROOM: the bound of the store would be passed
   */
  write(digest: ArtifactDigest, sizeBytes: number, signal: AbortSignal): Promise<ArtifactWriter>
  /** Of an artifact that is neither read nor written now. @returns whether it was there */
  remove(digest: ArtifactDigest): Promise<boolean>
  /**
   * Removes artifacts that nobody needs, oldest first, until all together have at most `bytesMax`; and parts of artifacts that
   * nobody has gone on with for a day. What came within the last hour stays.
   * @param keep never removed
   */
  collect(keep: ReadonlySet<ArtifactDigest>, bytesMax: number): Promise<ArtifactDigest[]>
}

export interface ArtifactStoreNeeds {
  files: Files
  clock: Clock
  log: Logger
}

export interface ArtifactStoreOptions {
  /** Holds nothing else. */
  directory: string
  /** Of all artifacts together, whole or in part. Default 8 GiB. */
  bytesMax?: number
}

const BYTES_MAX_DEFAULT = 8 * 1_024 ** 3
/** Facts of all of them are held in memory. */
const ARTIFACTS_MAX = 4_096
/** A part that nobody has gone on with for so long is thrown away. */
const PART_LIFE_MS = 24 * 60 * 60 * 1_000

/** Nothing younger is collected: whoever has just uploaded it is about to deploy it. */
const YOUNG_MS = 60 * 60 * 1_000

const DIGEST = /^[0-9a-f]{64}$/
const NAME = /^([0-9a-f]{64})\.(bundle|json|part)$/

export function createArtifactStore(
  needs: ArtifactStoreNeeds,
  options: ArtifactStoreOptions,
): ArtifactStore & Component {
  return new DiskArtifactStore(needs, options)
}

class DiskArtifactStore implements ArtifactStore, Component {
  readonly name = 'artifact store'
  readonly #files: Files
  readonly #clock: Clock
  readonly #log: Logger
  readonly #directory: string
  readonly #bytesMax: number
  readonly #artifacts = new Map<ArtifactDigest, ArtifactFacts>()
  /** Parts that nobody writes now, and the bytes they have. */
  readonly #parts = new Map<ArtifactDigest, number>()
  /** What is being written, and the bytes it will have. */
  readonly #writing = new Map<ArtifactDigest, number>()
  /** How many read it now. */
  readonly #reading = new Map<ArtifactDigest, number>()

  constructor({ files, clock, log }: ArtifactStoreNeeds, { directory, bytesMax }: ArtifactStoreOptions) {
    this.#files = files
    this.#clock = clock
    this.#log = log
    this.#directory = directory
    this.#bytesMax = bytesMax ?? BYTES_MAX_DEFAULT
  }

  /** Finds what is there, and removes what a crash left half done. */
  async start(): Promise<void> {
    await this.#files.makeDirectory(this.#directory)
    const names = new Set((await this.#files.list(this.#directory)).sort())
    for (const name of names) {
      const [, digest, kind] = NAME.exec(name) ?? []
      if (digest === undefined) await this.#files.removeTree(join(this.#directory, name))
      else if (kind === 'bundle') await this.#find(digest)
      else if (kind === 'json' && !names.has(`${digest}.bundle`)) await this.#files.remove(this.#path(digest, 'json'))
      else if (kind === 'part') await this.#findPart(digest)
    }
  }

  async stop(): Promise<void> {}

  has(digest: ArtifactDigest): boolean {
    return this.#artifacts.has(digest)
  }

  get(digest: ArtifactDigest): ArtifactFacts | undefined {
    return this.#artifacts.get(digest)
  }

  list(): ArtifactFacts[] {
    return [...this.#artifacts.values()].sort((a, b) => a.storedAtMs - b.storedAtMs)
  }

  async *read(digest: ArtifactDigest, offset = 0, signal?: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const { sizeBytes } = this.#known(digest)
    if (offset > sizeBytes) {
      throw new DeployError(
        'P2P_ARTIFACT_OFFSET_MISMATCH',
        `Artifact ${digest} ends at ${sizeBytes}; there is nothing at ${offset}`,
        { digest, offset: sizeBytes },
      )
    }
    this.#reading.set(digest, (this.#reading.get(digest) ?? 0) + 1)
    try {
      yield* this.#chunks(digest, offset, sizeBytes, signal)
    } finally {
      const readers = (this.#reading.get(digest) ?? 0) - 1
      if (readers > 0) this.#reading.set(digest, readers)
      else this.#reading.delete(digest)
    }
  }

  async write(digest: ArtifactDigest, sizeBytes: number, signal: AbortSignal): Promise<ArtifactWriter> {
    assert(!this.#artifacts.has(digest), `artifact ${digest} is there`)
    this.#checkRoom(digest, sizeBytes)
    this.#writing.set(digest, sizeBytes)
    const path = this.#path(digest, 'part')
    let file: OpenFile
    try {
      file = await this.#files.open(path, 'rw')
    } catch (error) {
      this.#writing.delete(digest)
      throw asNoRoom(error, path)
    }
    this.#parts.delete(digest)
    const writer = new PartialArtifact(digest, sizeBytes, path, file, {
      publish: (bundle, signed) => this.#publish(digest, sizeBytes, bundle, signed),
      release: (keptBytes) => this.#release(digest, keptBytes),
    })
    try {
      await writer.resume(signal)
    } catch (error) {
      await writer.close()
      throw error
    }
    return writer
  }

  async remove(digest: ArtifactDigest): Promise<boolean> {
    if (this.#reading.has(digest) || !this.#artifacts.delete(digest)) return false
    await this.#files.remove(this.#path(digest, 'bundle'))
    await this.#files.remove(this.#path(digest, 'json'))
    return true
  }

  async collect(keep: ReadonlySet<ArtifactDigest>, bytesMax: number): Promise<ArtifactDigest[]> {
    for (const digest of this.#parts.keys()) await this.#findPart(digest)
    const removed: ArtifactDigest[] = []
    let totalBytes = this.list().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
    const youngMs = this.#clock.wallMs() - YOUNG_MS
    for (const { digest, sizeBytes, storedAtMs } of this.list()) {
      if (totalBytes <= bytesMax || storedAtMs > youngMs) break
      if (keep.has(digest) || !(await this.remove(digest))) continue
      removed.push(digest)
      totalBytes -= sizeBytes
    }
    return removed
  }

  #known(digest: ArtifactDigest): ArtifactFacts {
    const facts = this.#artifacts.get(digest)
    if (facts) return facts
    throw new DeployError('P2P_ARTIFACT_UNKNOWN', `There is no artifact ${digest} here`, { digest })
  }

  async *#chunks(
    digest: ArtifactDigest,
    from: number,
    sizeBytes: number,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<Uint8Array, void, undefined> {
    const file = await this.#files.open(this.#path(digest, 'bundle'), 'r')
    try {
      for (let offset = from; offset < sizeBytes; ) {
        signal?.throwIfAborted()
        const chunk = await file.read(offset, Math.min(CHUNK_BYTES_MAX, sizeBytes - offset))
        if (chunk.byteLength === 0) throw damaged(digest, `ends at ${offset} of ${sizeBytes} bytes`)
        offset += chunk.byteLength
        yield chunk
      }
    } finally {
      await file.close()
    }
  }

  #checkRoom(digest: ArtifactDigest, sizeBytes: number): void {
    if (this.#writing.has(digest)) {
      throw new DeployError(
        'P2P_ARTIFACT_BUSY',
        `Artifact ${digest} is being written by somebody else; wait for that`,
        {
          digest,
        },
      )
    }
    if (sizeBytes > BUNDLE_LIMITS.bundleBytesMax) {
      throw new DeployError(
        'P2P_ARTIFACT_TOO_LARGE',
        `A bundle of ${formatBytes(sizeBytes)} is too large: ${formatBytes(BUNDLE_LIMITS.bundleBytesMax)} are allowed. Leave out what the service does not need: "files" in manifest.json`,
        { digest, sizeBytes, sizeBytesMax: BUNDLE_LIMITS.bundleBytesMax },
      )
    }
    const others = this.#usedBytes() - (this.#parts.get(digest) ?? 0)
    const isFull = this.#artifacts.size + this.#writing.size >= ARTIFACTS_MAX
    if (!isFull && others + sizeBytes <= this.#bytesMax) return
    throw new DeployError(
      'P2P_ARTIFACT_NO_ROOM',
      `No room for ${formatBytes(sizeBytes)} in ${this.#directory}: its ${this.#artifacts.size} artifacts have ${formatBytes(others)}, ${ARTIFACTS_MAX} and ${formatBytes(this.#bytesMax)} are allowed. Remove services or old versions of them`,
      { reason: 'bound', digest, usedBytes: others, bytesMax: this.#bytesMax },
    )
  }

  #usedBytes(): number {
    const sizes = [...this.#artifacts.values()].map(({ sizeBytes }) => sizeBytes)
    return [...sizes, ...this.#parts.values(), ...this.#writing.values()].reduce((sum, each) => sum + each, 0)
  }

  async #publish(
    digest: ArtifactDigest,
    sizeBytes: number,
    bundle: BundleManifest,
    signed: SignedBundle,
  ): Promise<ArtifactFacts> {
    const facts = factsOf(bundle, { digest, sizeBytes, storedAtMs: this.#clock.wallMs(), signed })
    // The facts first: a bundle in its place always has them.
    await this.#writeFacts(facts)
    await this.#files.rename(this.#path(digest, 'part'), this.#path(digest, 'bundle'))
    await this.#files.syncDirectory(this.#directory)
    this.#writing.delete(digest)
    this.#artifacts.set(digest, facts)
    return facts
  }

  async #writeFacts(facts: ArtifactFacts): Promise<void> {
    const path = this.#path(facts.digest, 'json')
    await this.#files.removeTree(`${path}.new`)
    const file = await this.#files.open(`${path}.new`, 'wx')
    try {
      await file.write(0, utf8(JSON.stringify(facts)))
      await file.sync()
    } finally {
      await file.close()
    }
    await this.#files.rename(`${path}.new`, path)
  }

  async #release(digest: ArtifactDigest, keptBytes: number): Promise<void> {
    try {
      if (keptBytes > 0) this.#parts.set(digest, keptBytes)
      else await this.#removeAll(digest)
    } finally {
      this.#writing.delete(digest)
    }
  }

  async #find(digest: ArtifactDigest): Promise<void> {
    const bundle = await this.#files.facts(this.#path(digest, 'bundle'))
    try {
      const bytes = await this.#files.readFile(this.#path(digest, 'json'))
      const facts = JSON.parse(Buffer.from(bytes).toString('utf8')) as ArtifactFacts
      if (facts.digest !== digest || facts.sizeBytes !== bundle?.sizeBytes) throw damaged(digest, 'has another size')
      this.#artifacts.set(digest, facts)
    } catch (error) {
      this.#log.warning('A damaged artifact is removed', { digest, reason: messageOf(error) })
      await this.#removeAll(digest)
    }
  }

  async #findPart(digest: ArtifactDigest): Promise<void> {
    const path = this.#path(digest, 'part')
    const part = await this.#files.facts(path)
    if (part && !this.has(digest) && this.#clock.wallMs() - part.modifiedMs < PART_LIFE_MS) {
      this.#parts.set(digest, part.sizeBytes)
    } else {
      this.#parts.delete(digest)
      await this.#files.removeTree(path)
    }
  }

  async #removeAll(digest: ArtifactDigest): Promise<void> {
    for (const kind of ['part', 'bundle', 'json', 'json.new']) await this.#files.removeTree(this.#path(digest, kind))
  }

  #path(digest: ArtifactDigest, kind: string): string {
    assert(DIGEST.test(digest), 'a digest was checked where it came in')
    return join(this.#directory, `${digest}.${kind}`)
  }
}

function damaged(digest: ArtifactDigest, what: string): DeployError {
  return new DeployError('P2P_ARTIFACT_DIGEST_MISMATCH', `Artifact ${digest} is damaged on this disk: it ${what}`, {
    digest,
  })
}
