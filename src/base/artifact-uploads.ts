import type { ArtifactDigest } from './deployment.ts'

/** A bundle that is kept whole. */
export interface StoredArtifact {
  digest: ArtifactDigest
  sizeBytes: number
  service: string
  version: string
  /** Unix milliseconds. */
  storedAtMs: number
}

/** How far an upload is; `artifact` once it is whole and checked. */
export interface UploadStatus {
  digest: ArtifactDigest
  sizeBytes: number
  /** Bytes that are here: where the next part begins. */
  offset: number
  artifact?: StoredArtifact
}

/**
 * Takes bundles from people in parts, in order, and checks and signs them; on a coordinator. An upload goes on where it was cut, also
 * after a restart; one that nobody goes on with for an hour is thrown away.
 */
export interface ArtifactUploads {
  /** Newest first. */
  list(): Promise<StoredArtifact[]>
  /** Undefined: there is none, and none is on its way. */
  status(digest: ArtifactDigest): Promise<UploadStatus | undefined>
  /**
   * Begins an upload, or goes on with it, or finds that it is not needed.
   * @throws {DeployError} P2P_ARTIFACT_BUSY: too many uploads; P2P_ARTIFACT_TOO_LARGE; P2P_ARTIFACT_NO_ROOM;
   *   P2P_ARTIFACT_OFFSET_MISMATCH: the upload has begun with another size
   */
  begin(upload: { digest: ArtifactDigest; sizeBytes: number }): Promise<UploadStatus>
  /**
   * Adds what `source` gives, and keeps what came when it breaks off.
   * @param offset must be where the upload is
   * @throws {DeployError} P2P_ARTIFACT_UNKNOWN; P2P_ARTIFACT_OFFSET_MISMATCH with `details.offset`; P2P_ARTIFACT_BUSY: another
   *   part is coming in; P2P_ARTIFACT_TOO_LARGE: more than was announced; P2P_ARTIFACT_NO_ROOM: the upload is thrown away; what
   *   `source` throws
   */
  append(digest: ArtifactDigest, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadStatus>
  /**
   * Checks the whole of it, file by file, signs it and keeps it. What does not hold is thrown away.
   * @throws {DeployError} P2P_ARTIFACT_UNKNOWN; P2P_ARTIFACT_OFFSET_MISMATCH: bytes are missing; P2P_ARTIFACT_DIGEST_MISMATCH;
   *   P2P_BUNDLE_INVALID, P2P_BUNDLE_DAMAGED, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN
   */
  commit(digest: ArtifactDigest): Promise<UploadStatus>
}
