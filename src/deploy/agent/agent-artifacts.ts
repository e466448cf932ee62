import type { Manifest, ServiceKind } from '../../service/index.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** An artifact on this node's disk: checked, unpacked, never written to. */
export interface UnpackedArtifact {
  folder: string
  manifest: Manifest
  kind: ServiceKind
}

/** Brings artifacts to this node and keeps them there. */
export interface AgentArtifacts {
  /** Unpacked here? */
  has(digest: ArtifactDigest): boolean
  /**
   * Fetches what is missing, from neighbours first, checks and unpacks it.
   * @throws {P2PError} why it cannot be had, with the remedy
   */
  ensure(digest: ArtifactDigest, signal: AbortSignal): Promise<UnpackedArtifact>
  /** Removes all others. @param wanted asked before each removal: what a newer plan wants meanwhile stays */
  keepOnly(wanted: () => ReadonlySet<ArtifactDigest>): Promise<void>
}
