import type { Manifest } from '../../service/index.ts'
import type { BundleKind, BundleManifest, BundleMethod } from '../bundle/bundle-manifest.ts'
import type { SignedBundle } from '../bundle/signed-bundle.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** What is known of a bundle without opening it: kept beside it. */
export interface ArtifactFacts {
  digest: ArtifactDigest
  sizeBytes: number
  service: string
  version: string
  kind: BundleKind
  /** Of the service: permissions, secrets and services it asks for. */
  manifest: Manifest
  /** Undefined: only the running service knows them. */
  methods?: readonly BundleMethod[]
  fileCount: number
  /** Of all files together, unpacked. */
  unpackedBytes: number
  /** When it was whole here. Unix milliseconds. */
  storedAtMs: number
  /** Why it was taken: a coordinator of the cluster says it is this service and version. */
  signed: SignedBundle
}

export function factsOf(
  bundle: BundleManifest,
  stored: Pick<ArtifactFacts, 'digest' | 'sizeBytes' | 'storedAtMs' | 'signed'>,
): ArtifactFacts {
  const { service, version, kind, manifest, methods, files } = bundle
  return {
    ...stored,
    service,
    version,
    kind,
    manifest,
    ...(methods && { methods }),
    fileCount: files.length,
    unpackedBytes: files.reduce((sum, file) => sum + file.sizeBytes, 0),
  }
}
