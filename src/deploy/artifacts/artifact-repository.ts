import type { ArtifactUploads, StoredArtifact, UploadStatus } from '../../base/artifact-uploads.ts'
import type { Component } from '../../base/component.ts'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { readBundle } from '../bundle/read-bundle.ts'
import { type SignedBundle, signBundle } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { NodeSigner } from '../node-signature.ts'
import type { ArtifactFacts } from './artifact-facts.ts'
import type { ArtifactStore } from './artifact-store.ts'
import type { ArtifactWriter } from './artifact-writer.ts'
import { eachUntilAborted } from './until-aborted.ts'

/** The bundles of the cluster, on a coordinator. */
export interface ArtifactRepository extends ArtifactUploads {
  /** Removes all others but those of the last hour. */
  keepOnly(digests: ReadonlySet<ArtifactDigest>): Promise<void>
  /** For nodes that fetch it: signed at this moment, with the certificate of now. Undefined: it is not here. */
  sign(digest: ArtifactDigest): SignedBundle | undefined
}

export interface ArtifactRepositoryNeeds {
  store: ArtifactStore
  signer: NodeSigner
  clock: Clock
  log: Logger
}

export interface ArtifactRepositoryOptions {
  cluster: string
}

/** Each has an open file. */
const UPLOADS_MAX = 16
const IDLE_MS_MAX = 60 * 60 * 1_000

export function createArtifactRepository(
  needs: ArtifactRepositoryNeeds,
  options: ArtifactRepositoryOptions,
): ArtifactRepository & Component {
  return new UploadingArtifactRepository(needs, options)
}

interface Upload {
  writer: ArtifactWriter
  /** A part is coming in, or the whole is being checked. */
  isBusy: boolean
  expiry: Timer
}

class UploadingArtifactRepository implements ArtifactRepository, Component {
  readonly name = 'artifact repository'
  readonly #store: ArtifactStore
  readonly #signer: NodeSigner
  readonly #clock: Clock
  readonly #log: Logger
  readonly #cluster: string
  readonly #uploads = new Map<ArtifactDigest, Upload>()
  /** Uploads whose files are just being opened. */
  #beginning = 0
  readonly #stopped = new AbortController()
  /** Beginnings, parts and checks under way. */
  readonly #running = new Set<Promise<unknown>>()

  constructor({ store, signer, clock, log }: ArtifactRepositoryNeeds, { cluster }: ArtifactRepositoryOptions) {
    this.#store = store
    this.#signer = signer
    this.#clock = clock
    this.#log = log
    this.#cluster = cluster
  }

  async start(): Promise<void> {}

  /** What came so far stays for the next start. */
  async stop(): Promise<void> {
    this.#stopped.abort(
      new DeployError('P2P_ARTIFACT_UNAVAILABLE', 'The node is stopping; go on with the upload later'),
    )
    await Promise.allSettled(this.#running)
    for (const { writer, expiry } of this.#uploads.values()) {
      expiry.cancel()
      await writer.close()
    }
    this.#uploads.clear()
  }

  async list(): Promise<StoredArtifact[]> {
    return this.#store.list().map(entryOf).reverse()
  }

  async status(digest: ArtifactDigest): Promise<UploadStatus | undefined> {
    const stored = this.#store.get(digest)
    if (stored) return { digest, sizeBytes: stored.sizeBytes, offset: stored.sizeBytes, artifact: entryOf(stored) }
    const upload = this.#uploads.get(digest)
    return upload && { digest, sizeBytes: upload.writer.sizeBytes, offset: upload.writer.offset }
  }

  async begin({ digest, sizeBytes }: { digest: ArtifactDigest; sizeBytes: number }): Promise<UploadStatus> {
    const there = await this.status(digest)
    if (there && !there.artifact && there.sizeBytes !== sizeBytes) {
      throw new DeployError(
        'P2P_ARTIFACT_OFFSET_MISMATCH',
        `The upload of ${digest} has begun with ${there.sizeBytes} bytes, not ${sizeBytes}; go on with that`,
        { ...there },
      )
    }
    return there ?? this.#run(() => this.#begin(digest, sizeBytes))
  }

  append(digest: ArtifactDigest, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadStatus> {
    return this.#alone(digest, async ({ writer }) => {
      if (offset !== writer.offset) throw misplaced(writer, `The part begins at ${offset}`)
      for await (const chunk of eachUntilAborted(source, this.#stopped.signal)) await writer.append(chunk)
      return { digest, sizeBytes: writer.sizeBytes, offset: writer.offset }
    })
  }

  async commit(digest: ArtifactDigest): Promise<UploadStatus> {
    const there = await this.status(digest)
    if (there?.artifact) return there
    return this.#alone(digest, async ({ writer }) => {
      const { sizeBytes, offset } = writer
      if (offset < sizeBytes) throw misplaced(writer, `${sizeBytes - offset} bytes are missing`)
      try {
        const bundle = await readBundle(writer.content(), { digest, sizeBytes, signal: this.#stopped.signal })
        const { service, version } = bundle
        const signed = signBundle(this.#signer, { cluster: this.#cluster, digest, sizeBytes, service, version })
        const artifact = entryOf(await writer.commit(bundle, signed))
        this.#log.info('A bundle was taken', { service, version, digest, bytes: sizeBytes })
        return { digest, sizeBytes, offset, artifact }
      } catch (error) {
        if (!this.#stopped.signal.aborted) await writer.discard()
        throw error
      }
    })
  }

  async keepOnly(digests: ReadonlySet<ArtifactDigest>): Promise<void> {
    await this.#store.collect(digests, 0)
  }

  sign(digest: ArtifactDigest): SignedBundle | undefined {
    const stored = this.#store.get(digest)
    if (!stored) return undefined
    const { sizeBytes, service, version } = stored
    return signBundle(this.#signer, { cluster: this.#cluster, digest, sizeBytes, service, version })
  }

  async #begin(digest: ArtifactDigest, sizeBytes: number): Promise<UploadStatus> {
    if (this.#uploads.size + this.#beginning >= UPLOADS_MAX) {
      throw new DeployError('P2P_ARTIFACT_BUSY', `${UPLOADS_MAX} uploads are open; wait until one has ended`, {
        digest,
      })
    }
    this.#beginning++
    try {
      const writer = await this.#store.write(digest, sizeBytes, this.#stopped.signal)
      this.#uploads.set(digest, { writer, isBusy: false, expiry: this.#expire(digest) })
      return { digest, sizeBytes, offset: writer.offset }
    } finally {
      this.#beginning--
    }
  }

  /** One thing at a time with an upload; its hour begins anew afterwards. */
  #alone(digest: ArtifactDigest, action: (upload: Upload) => Promise<UploadStatus>): Promise<UploadStatus> {
    return this.#run(async () => {
      const upload = this.#uploads.get(digest)
      if (!upload) throw new DeployError('P2P_ARTIFACT_UNKNOWN', `No upload of ${digest} has begun`, { digest })
      if (upload.isBusy) {
        throw new DeployError('P2P_ARTIFACT_BUSY', `A part of ${digest} is coming in already; wait for its end`, {
          digest,
        })
      }
      upload.isBusy = true
      upload.expiry.cancel()
      try {
        return await action(upload)
      } finally {
        upload.isBusy = false
        if (upload.writer.isOpen) upload.expiry = this.#expire(digest)
        else this.#uploads.delete(digest)
      }
    })
  }

  #expire(digest: ArtifactDigest): Timer {
    return this.#clock.after(IDLE_MS_MAX, () => {
      const upload = this.#uploads.get(digest)
      if (!upload) return
      this.#uploads.delete(digest)
      this.#log.info('An upload that nobody went on with is thrown away', { digest, bytes: upload.writer.offset })
      this.#run(() => upload.writer.discard()).catch((error: unknown) => {
        this.#log.warning('What is left of an upload could not be removed', { digest, reason: messageOf(error) })
      })
    })
  }

  async #run<T>(action: () => Promise<T>): Promise<T> {
    this.#stopped.signal.throwIfAborted()
    const running = action()
    this.#running.add(running)
    try {
      return await running
    } finally {
      this.#running.delete(running)
    }
  }
}

function entryOf({ digest, sizeBytes, service, version, storedAtMs }: ArtifactFacts): StoredArtifact {
  return { digest, sizeBytes, service, version, storedAtMs }
}

function misplaced({ digest, offset, sizeBytes }: ArtifactWriter, what: string): DeployError {
  return new DeployError(
    'P2P_ARTIFACT_OFFSET_MISMATCH',
    `${what}; ${offset} of ${sizeBytes} bytes of ${digest} are here: go on there`,
    { digest, offset, sizeBytes },
  )
}
