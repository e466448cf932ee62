import { formatBytes } from '../../base/bytes.ts'
import { codeOf, messageOf } from '../../base/errors.ts'
import type { Clock } from '../../base/time.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { type ArtifactSource, CHUNK_BYTES_MAX } from './artifact-source.ts'
import { eachUntilAborted } from './until-aborted.ts'

/** A source that gives less than this in {@link SourceReaderOptions.stallMs} is left: some 4 KiB a second. */
const STALL_BYTES = 64 * 1_024

/** Why a source was left. */
export class SourceFailure extends Error {
  override readonly name = 'SourceFailure'
  /** It need not be asked again. */
  readonly isFinal: boolean

  constructor(message: string, isFinal: boolean, options?: { cause?: unknown }) {
    super(message, options)
    this.isFinal = isFinal
  }
}

export interface SourceReaderOptions {
  clock: Clock
  stallMs: number
  digest: ArtifactDigest
  sizeBytes: number
  offset: number
  signal: AbortSignal
}

/**
 * What one source gives from `offset` on, as long as it gives what it should. A source that hangs is left without waiting for it.
 * @throws {SourceFailure} it failed, is too slow, gave too much or stopped before the end; the signal's reason
 */
export async function* readSource(
  source: ArtifactSource,
  { clock, stallMs, digest, sizeBytes, offset, signal }: SourceReaderOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  const left = new AbortController()
  const ended = AbortSignal.any([signal, left.signal])
  let at = offset
  let windowStart = offset
  const watch = clock.every(stallMs, () => {
    if (at - windowStart < STALL_BYTES) {
      left.abort(new Error(`it gave ${formatBytes(at - windowStart)} in ${stallMs / 1_000} s`))
    }
    windowStart = at
  })
  try {
    for await (const chunk of eachUntilAborted(source.read(digest, offset, ended), ended)) {
      // A node elsewhere may answer anything.
      if (!(chunk instanceof Uint8Array)) throw new SourceFailure('it gave something else than bytes', true)
      if (chunk.byteLength > Math.min(CHUNK_BYTES_MAX, sizeBytes - at)) {
        throw new SourceFailure('it gave more than was asked for', true)
      }
      at += chunk.byteLength
      yield chunk
      if (at === sizeBytes) return
    }
    throw new SourceFailure(`it stopped at ${at} of ${sizeBytes} bytes`, false)
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof SourceFailure) throw error
    throw new SourceFailure(messageOf(error), codeOf(error) === 'P2P_ARTIFACT_UNKNOWN', { cause: error })
  } finally {
    watch.cancel()
    left.abort(new Error('Nothing more is read.'))
  }
}
