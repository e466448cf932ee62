import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { DeployError, messageOf } from '../../base/errors.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'

const OUTPUT_CHUNK_BYTES = 64 * 1_024

/**
 * The unpacked bytes of a gzip stream (RFC 1952), which must be whole and have nothing behind it. They are made as they are taken:
 * memory does not grow with what comes in or would come out.
 * @param digest what all of the compressed bytes must have; undefined: not asked
 * @throws {DeployError} P2P_BUNDLE_DAMAGED, P2P_BUNDLE_TOO_LARGE, P2P_ARTIFACT_DIGEST_MISMATCH; what the source throws
 */
export async function* inflate(
  source: AsyncIterable<Uint8Array>,
  digest: ArtifactDigest | undefined,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array, void, undefined> {
  const input = new MeasuredSource(source)
  const gunzip = createGunzip({ chunkSize: OUTPUT_CHUNK_BYTES })
  const fed = pipeline(Readable.from(input, { objectMode: true, highWaterMark: 1 }), gunzip, { signal })
  // The loop below ends with the same failure; when it ends well, all that counts is whether everything was needed for that.
  fed.catch(() => {})
  try {
    yield* gunzip as AsyncIterable<Uint8Array>
  } catch (error) {
    signal.throwIfAborted()
    if (input.failure !== undefined) throw input.failure
    throw inflateError(error)
  } finally {
    gunzip.destroy()
    await input.closed()
  }
  if (!input.isAtEnd || gunzip.bytesWritten !== input.sizeBytes) {
    throw bundleError(
      'P2P_BUNDLE_DAMAGED',
      'trailing-garbage',
      undefined,
      'goes on after its end. Fetch or pack it again.',
    )
  }
  if (digest !== undefined && input.digest() !== digest) {
    throw new DeployError(
      'P2P_ARTIFACT_DIGEST_MISMATCH',
      `The bundle's bytes do not have the digest ${digest}: they were changed on the way or on the disk.`,
      { digest },
    )
  }
}

/** Counts and hashes what passes, and keeps what the source threw: zlib would tell it as its own. */
class MeasuredSource implements AsyncIterable<Uint8Array> {
  failure: unknown
  isAtEnd = false
  sizeBytes = 0
  readonly #source: AsyncIterable<Uint8Array>
  readonly #hash = createHash('sha256')
  readonly #closed = Promise.withResolvers<void>()
  #isOpen = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source
  }

  digest(): ArtifactDigest {
    return this.#hash.digest('hex')
  }

  /** The source has let go of what it holds. */
  async closed(): Promise<void> {
    if (this.#isOpen) await this.#closed.promise
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Uint8Array, void, undefined> {
    this.#isOpen = true
    try {
      for await (const chunk of this.#source) {
        this.sizeBytes += chunk.byteLength
        if (this.sizeBytes > BUNDLE_LIMITS.bundleBytesMax) {
          const sentence = `has more than ${BUNDLE_LIMITS.bundleBytesMax} bytes. Leave out what the service does not need.`
          throw bundleError('P2P_BUNDLE_TOO_LARGE', 'bundle-too-large', undefined, sentence)
        }
        this.#hash.update(chunk)
        yield chunk
      }
      this.isAtEnd = true
    } catch (error) {
      this.failure = error
      throw error
    } finally {
      this.#closed.resolve()
    }
  }
}

function inflateError(error: unknown): unknown {
  if (error instanceof DeployError || !(error instanceof Error)) return error
  const isTruncated = 'code' in error && error.code === 'Z_BUF_ERROR'
  const sentence = `is no whole gzip stream (${messageOf(error)}). Fetch or pack it again.`
  return bundleError('P2P_BUNDLE_DAMAGED', isTruncated ? 'truncated' : 'not-gzip', undefined, sentence, {
    cause: error,
  })
}
