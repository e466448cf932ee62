import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { messageOf, P2PError } from '../../base/errors.ts'
import type { Session } from './connect.ts'
import type { UploadView } from './deployments.ts'

/** Parts grow and shrink between these so that each takes about a second: progress is seen, and none outlasts a request's 60 s. */
const PART_BYTES_MIN = 64 * 1024
const PART_BYTES_MAX = 4 * 1024 * 1024
const PART_BYTES_FIRST = 512 * 1024
const PART_MS_SHORT = 1_000
const PART_MS_LONG = 5_000

const FAILURES_MAX = 5
const RETRY_MS = 2_000

export interface BundleUpload {
  file: string
  digest: string
  sizeBytes: number
  /** Ends the upload; what is there stays, and the next one goes on with it. */
  signal: AbortSignal
  pause: (durationMs: number, signal: AbortSignal) => Promise<void>
  wallMs: () => number
  onProgress: (sentBytes: number) => void
  /** A part failed and is sent again. */
  onLost: (why: string) => void
}

/**
 * Brings a bundle to the coordinator, from where an earlier try ended; a part that fails for a while is sent again.
 * @returns false when it was there already
 * @throws {P2PError} what the coordinator refuses, or what kept failing; the signal's reason
 */
export async function uploadBundle(session: Session, upload: BundleUpload): Promise<boolean> {
  const begun = await begin(session, upload)
  if (begun.artifact) return false
  await using file = await open(upload.file, 'r')
  await sendFrom(session, file, upload, begun)
  return true
}

/** Also tells where an upload that has begun is, even after a restart of the coordinator. */
function begin(session: Session, { digest, sizeBytes, signal }: BundleUpload): Promise<UploadView> {
  const body = { digest, size_bytes: sizeBytes }
  return session.call<UploadView>({ method: 'POST', path: '/api/artifacts', body, signal })
}

async function sendFrom(session: Session, file: FileHandle, upload: BundleUpload, begun: UploadView): Promise<void> {
  const { signal, wallMs } = upload
  let partBytes = PART_BYTES_FIRST
  let failures = 0
  let status: UploadView | undefined = begun
  for (;;) {
    try {
      status ??= await begin(session, upload)
      upload.onProgress(status.offset)
      if (status.artifact) return
      const startedMs = wallMs()
      status = await sendPart(session, file, upload, { offset: status.offset, partBytes })
      failures = 0
      partBytes = nextPartBytes(partBytes, wallMs() - startedMs)
    } catch (error) {
      if (signal.aborted || !mayMend(error) || ++failures >= FAILURES_MAX) throw error
      upload.onLost(messageOf(error))
      await upload.pause(RETRY_MS, signal)
      partBytes = PART_BYTES_MIN
      // Some of the part may have come.
      status = undefined
    }
  }
}

async function sendPart(
  session: Session,
  file: FileHandle,
  { digest, signal }: BundleUpload,
  { offset, partBytes }: { offset: number; partBytes: number },
): Promise<UploadView> {
  const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(partBytes), position: offset })
  const path = `/api/artifacts/${digest}?offset=${offset}`
  return session.call<UploadView>({ method: 'PUT', path, bytes: buffer.subarray(0, bytesRead), signal })
}

/** A part whose connection broke may still have been coming in while the offset was asked for. */
function mayMend(error: unknown): boolean {
  return error instanceof P2PError && (error.facts.retryable || error.code === 'P2P_ARTIFACT_OFFSET_MISMATCH')
}

function nextPartBytes(partBytes: number, tookMs: number): number {
  if (tookMs < PART_MS_SHORT) return Math.min(PART_BYTES_MAX, partBytes * 2)
  if (tookMs > PART_MS_LONG) return Math.max(PART_BYTES_MIN, Math.floor(partBytes / 2))
  return partBytes
}
