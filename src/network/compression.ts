import { Buffer } from 'node:buffer'
import { compressSync, uncompressSync } from 'lz4-napi'
import { LIMITS } from './swim/limits.ts'

/** lz4-napi puts the uncompressed length before the block, 32 bits little-endian. */
const LENGTH_BYTES = 4

/** An LZ4 block of `body` with its length in front; undefined when it would not be smaller. */
export function compress(body: Uint8Array): Uint8Array | undefined {
  const compressed = compressSync(asBuffer(body))
  return compressed.length < body.length ? compressed : undefined
}

/** The body of a compressed block; undefined when it is damaged or claims more than a frame may hold or LZ4 can pack. */
export function decompress(block: Uint8Array): Uint8Array | undefined {
  if (block.length < LENGTH_BYTES) return undefined
  // Checked before anything is allocated: the length is a claim.
  const claimedBytes = asBuffer(block).readUInt32LE(0)
  if (claimedBytes > LIMITS.frameBytesMax || claimedBytes > block.length * LIMITS.compressionRatioMax) return undefined
  try {
    return uncompressSync(block)
  } catch {
    return undefined
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
