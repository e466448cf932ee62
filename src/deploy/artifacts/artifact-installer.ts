import { codeOf, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Manifest, ServiceKind } from '../../service/index.ts'
import { bundleError } from '../bundle/bundle-error.ts'
import type { BundleFolders, UnpackedBundle } from '../bundle/bundle-folders.ts'
import type { SignedBundle } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { FetchProgress } from './artifact-download.ts'
import type { ArtifactFetcher } from './artifact-fetcher.ts'
import type { ArtifactSource } from './artifact-source.ts'
import type { ArtifactStore } from './artifact-store.ts'

export interface InstalledArtifact {
  folder: string
  manifest: Manifest
  kind: ServiceKind
}

/** Brings artifacts to this node, as folders that services are run from. */
export interface ArtifactInstaller {
  has(digest: ArtifactDigest): boolean
  /**
   * Fetches, checks and unpacks what is not here yet.
   * @throws {DeployError} as {@link ArtifactFetcher} and {@link BundleFolders}; P2P_BUNDLE_INVALID: it is no service
   */
  ensure(
    digest: ArtifactDigest,
    signal: AbortSignal,
    onProgress?: (progress: FetchProgress) => void,
  ): Promise<InstalledArtifact>
  /**
   * The same for a bundle that may be no service.
   * @throws {DeployError} as above
   */
  unpacked(digest: ArtifactDigest, signal: AbortSignal): Promise<UnpackedBundle>
  /** Removes all others. @param wanted asked before each removal: what is wanted meanwhile stays */
  keepOnly(wanted: () => ReadonlySet<ArtifactDigest>): Promise<void>
}

export interface ArtifactInstallerNeeds {
  store: ArtifactStore
  folders: BundleFolders
  fetcher: ArtifactFetcher
  /** Who may have it now. */
  sourcesOf(digest: ArtifactDigest): readonly ArtifactSource[]
  /** What a coordinator signed of it: asked of one, or of a neighbour while none is there. */
  signatureOf(digest: ArtifactDigest, signal: AbortSignal): Promise<SignedBundle>
  log: Logger
}

export interface ArtifactInstallerOptions {
  /** On a coordinator the bundles are those of the whole cluster: there {@link ArtifactInstaller.keepOnly} leaves them. */
  ownsStore: boolean
}

export function createArtifactInstaller(
  needs: ArtifactInstallerNeeds,
  options: ArtifactInstallerOptions,
): ArtifactInstaller {
  const { store, folders, fetcher, log } = needs

  const fetchAndUnpack = async (
    signed: SignedBundle,
    digest: ArtifactDigest,
    signal: AbortSignal,
    onProgress: ((progress: FetchProgress) => void) | undefined,
  ): Promise<UnpackedBundle> => {
    await fetcher.fetch(signed, needs.sourcesOf(digest), { signal, ...(onProgress && { onProgress }) })
    return folders.unpack(signed, store.read(digest, 0, signal), signal)
  }

  const ensureUnpacked = async (
    digest: ArtifactDigest,
    signal: AbortSignal,
    onProgress?: (progress: FetchProgress) => void,
  ): Promise<UnpackedBundle> => {
    const there = await folders.get(digest)
    if (there) return there
    const signed = await needs.signatureOf(digest, signal)
    try {
      return await fetchAndUnpack(signed, digest, signal, onProgress)
    } catch (error) {
      // It was right when it was stored: the disk has changed it, and another copy is right still.
      if (!isDamage(error) || !(await store.remove(digest))) throw error
      log.warning('An artifact was damaged on the disk and is fetched anew', { digest, reason: messageOf(error) })
      return fetchAndUnpack(signed, digest, signal, onProgress)
    }
  }

  return {
    has: (digest) => folders.has(digest),
    ensure: async (digest, signal, onProgress) => installed(await ensureUnpacked(digest, signal, onProgress)),
    unpacked: (digest, signal) => ensureUnpacked(digest, signal),
    async keepOnly(wanted) {
      for (const digest of folders.list()) if (!wanted().has(digest)) await folders.remove(digest)
      if (options.ownsStore) await store.collect(wanted(), 0)
    },
  }
}

function installed({ folder, manifest }: UnpackedBundle): InstalledArtifact {
  const { kind, service, version } = manifest
  if (kind === 'program') {
    const sentence = `holds ${service} ${version}, the program of the nodes, which is no service: use p2p upgrade.`
    throw bundleError('P2P_BUNDLE_INVALID', 'not-a-service', undefined, sentence)
  }
  return { folder, manifest: manifest.manifest, kind }
}

function isDamage(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'P2P_ARTIFACT_DIGEST_MISMATCH' || code === 'P2P_BUNDLE_DAMAGED'
}
