import { join } from 'node:path'
import type { Component } from '../../base/component.ts'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { NodeVerifier } from '../node-signature.ts'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_MANIFEST_NAME, type BundleManifest, decodeBundleManifest } from './bundle-manifest.ts'
import { FolderWriter } from './folder-writer.ts'
import { asNoRoom } from './no-room.ts'
import { readBundle } from './read-bundle.ts'
import { type BundleStatement, type SignedBundle, verifiedStatement } from './signed-bundle.ts'

/** A bundle on the disk as a folder of files: checked, complete, never written to. */
export interface UnpackedBundle {
  folder: string
  manifest: BundleManifest
}

/** Unpacked bundles, each in a folder named by its digest: what is there is complete. */
export interface BundleFolders {
  has(digest: ArtifactDigest): boolean
  list(): ArtifactDigest[]
  /** @returns undefined when there is none, or it was damaged: it is then removed */
  get(digest: ArtifactDigest): Promise<UnpackedBundle | undefined>
  /**
   * Checks and unpacks a bundle that a coordinator of the cluster signed: beside, and then into its place at once. One that is
   * there already is used as it is, and `source` is not read.
   * @throws {DeployError} P2P_BUNDLE_SIGNATURE_INVALID; P2P_BUNDLE_INVALID, P2P_BUNDLE_DAMAGED, P2P_BUNDLE_TOO_LARGE,
   *   P2P_BUNDLE_ENTRY_FORBIDDEN, P2P_ARTIFACT_DIGEST_MISMATCH; P2P_ARTIFACT_NO_ROOM. Nothing is left of it then
   */
  unpack(signed: SignedBundle, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UnpackedBundle>
  remove(digest: ArtifactDigest): Promise<void>
}

export interface BundleFoldersNeeds {
  files: Files
  verifier: NodeVerifier
  log: Logger
}

export interface BundleFoldersOptions {
  /** Holds nothing else. */
  directory: string
  cluster: string
}

const DIGEST = /^[0-9a-f]{64}$/
/** Of a folder that is being unpacked. */
const UNFINISHED = '.new'

export function createBundleFolders(
  needs: BundleFoldersNeeds,
  options: BundleFoldersOptions,
): BundleFolders & Component {
  return new DiskBundleFolders(needs, options)
}

class DiskBundleFolders implements BundleFolders, Component {
  readonly name = 'bundle folders'
  readonly #files: Files
  readonly #verifier: NodeVerifier
  readonly #log: Logger
  readonly #directory: string
  readonly #cluster: string
  readonly #present = new Set<ArtifactDigest>()
  /** The last thing that is done with a digest's folder: what comes next waits for it. */
  readonly #busy = new Map<ArtifactDigest, Promise<unknown>>()

  constructor({ files, verifier, log }: BundleFoldersNeeds, { directory, cluster }: BundleFoldersOptions) {
    this.#files = files
    this.#verifier = verifier
    this.#log = log
    this.#directory = directory
    this.#cluster = cluster
  }

  /** Finds what is there, and removes what a crash left half done. */
  async start(): Promise<void> {
    await this.#files.makeDirectory(this.#directory)
    for (const name of await this.#files.list(this.#directory)) {
      if (DIGEST.test(name)) this.#present.add(name)
      else await this.#files.removeTree(join(this.#directory, name))
    }
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#busy.values())
  }

  has(digest: ArtifactDigest): boolean {
    return this.#present.has(digest)
  }

  list(): ArtifactDigest[] {
    return [...this.#present]
  }

  get(digest: ArtifactDigest): Promise<UnpackedBundle | undefined> {
    return this.#inTurn(digest, () => this.#get(digest))
  }

  async unpack(signed: SignedBundle, source: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<UnpackedBundle> {
    const statement = verifiedStatement(this.#verifier, signed, this.#cluster)
    return this.#inTurn(statement.digest, async () => {
      return (await this.#get(statement.digest)) ?? (await this.#unpack(statement, source, signal))
    })
  }

  remove(digest: ArtifactDigest): Promise<void> {
    return this.#inTurn(digest, () => this.#remove(digest))
  }

  async #get(digest: ArtifactDigest): Promise<UnpackedBundle | undefined> {
    if (!this.#present.has(digest)) return undefined
    const folder = join(this.#directory, digest)
    try {
      const bytes = await this.#files.readFile(join(folder, BUNDLE_MANIFEST_NAME))
      return { folder, manifest: decodeBundleManifest(bytes) }
    } catch (error) {
      if (!isDamage(error)) throw error
      this.#log.warning('An unpacked bundle was damaged and is removed', { folder, reason: messageOf(error) })
      await this.#remove(digest)
      return undefined
    }
  }

  async #unpack(
    statement: BundleStatement,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<UnpackedBundle> {
    const { digest, sizeBytes } = statement
    const folder = join(this.#directory, digest)
    const unfinished = folder + UNFINISHED
    const writer = new FolderWriter(this.#files, unfinished)
    try {
      await this.#files.removeTree(unfinished)
      const manifest = await readBundle(source, {
        digest,
        sizeBytes,
        signal,
        onManifest: async (head, bytes) => {
          checkStatement(head, statement)
          await writer.makeFolders(head.files.map(({ path }) => path))
          await writer.write(BUNDLE_MANIFEST_NAME, only(bytes), false)
        },
        onFile: (file, content) => writer.write(file.path, content, file.isExecutable),
      })
      await writer.finish()
      await this.#files.rename(unfinished, folder)
      await this.#files.syncDirectory(this.#directory)
      this.#present.add(digest)
      return { folder, manifest }
    } catch (error) {
      await this.#discard(writer, unfinished)
      throw asNoRoom(error, this.#directory)
    }
  }

  async #discard(writer: FolderWriter, unfinished: string): Promise<void> {
    try {
      await writer.discard()
    } catch (error) {
      this.#log.warning('What was unpacked in part could not be removed; the next start does', {
        folder: unfinished,
        reason: messageOf(error),
      })
    }
  }

  /** First out of its name, so that a crash in the middle leaves no part of it in its place. */
  async #remove(digest: ArtifactDigest): Promise<void> {
    if (!this.#present.delete(digest)) return
    const folder = join(this.#directory, digest)
    await this.#files.removeTree(folder + UNFINISHED)
    await this.#files.rename(folder, folder + UNFINISHED).catch((error: unknown) => {
      if (!isMissing(error)) throw error
    })
    await this.#files.removeTree(folder + UNFINISHED)
  }

  async #inTurn<T>(digest: ArtifactDigest, action: () => Promise<T>): Promise<T> {
    const before = this.#busy.get(digest) ?? Promise.resolve()
    const mine = before.then(action, action)
    this.#busy.set(digest, mine)
    try {
      return await mine
    } finally {
      if (this.#busy.get(digest) === mine) this.#busy.delete(digest)
    }
  }
}

/** Not of the disk at this moment: of what is on it. */
function isDamage(error: unknown): boolean {
  return error instanceof DeployError || isMissing(error)
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT'
}

/** What was signed is what is in it: nobody can pass one service off as another, or an old version as a new one. */
function checkStatement(manifest: BundleManifest, { service, version }: BundleStatement): void {
  if (manifest.service === service && manifest.version === version) return
  throw bundleError(
    'P2P_BUNDLE_INVALID',
    'statement-mismatch',
    undefined,
    `holds ${manifest.service} ${manifest.version}, and ${service} ${version} was signed.`,
  )
}

async function* only(bytes: Uint8Array): AsyncGenerator<Uint8Array, void, undefined> {
  yield bytes
}
