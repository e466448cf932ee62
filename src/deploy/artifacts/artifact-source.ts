import type { NodeId } from '../../base/identity.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'

/** A node that may have an artifact. */
export interface ArtifactSource {
  readonly nodeId: NodeId
  /** Asked last: its line is shared by all nodes. */
  readonly isCoordinator: boolean
  /**
   * The artifact's bytes from `offset` to its end, in order. Chunks have at most 256 KiB, and the next one is asked for when
   * the last one was stored.
   * @throws P2P_ARTIFACT_UNKNOWN when the node does not have it
   */
  read(digest: ArtifactDigest, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>
}

/** Longest chunk that is read, sent and taken. */
export const CHUNK_BYTES_MAX = 256 * 1_024
