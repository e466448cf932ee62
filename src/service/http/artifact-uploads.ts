/** A bundle that is kept whole. */
export interface ArtifactFacts {
  /** SHA-256 of the bundle's bytes, lower-case hex. */
  digest: string
  sizeBytes: number
  /** Of the service in it, as its manifest says. */
  service: string
  version: string
  /** Unix milliseconds. */
  storedAtMs: number
}

/** How far an upload is; `artifact` once it is whole and checked. */
export interface UploadStatus {
  digest: string
  sizeBytes: number
  /** Bytes that are here: where the next part begins. */
  offset: number
  artifact?: ArtifactFacts
}

/**
 * Takes bundles in parts, in order, and goes on where it was cut. All methods throw DeployError with the code that names the
 * refusal.
 */
export interface ArtifactUploads {
  list(): Promise<ArtifactFacts[]>
  /** Undefined: there is none, and none is on its way. */
  status(digest: string): Promise<UploadStatus | undefined>
  /** Begins an upload, or goes on with it, or finds that it is not needed. */
  begin(upload: { digest: string; sizeBytes: number }): Promise<UploadStatus>
  /**
   * Adds what `source` gives, up to the announced size, and keeps what came when it breaks off.
   * @param offset must be where the upload is
   */
  append(digest: string, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadStatus>
  /** Checks what is whole: digest, signature, content. What does not hold is thrown away. */
  commit(digest: string): Promise<UploadStatus>
}
