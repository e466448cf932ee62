import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus } from '../../base/member.ts'

/** Members are spread over at most `2 ** BUCKET_BITS_MAX` buckets. */
export const BUCKET_BITS_MAX = 10
/** 64 bits of a bucket. */
export const BUCKET_HASH_BYTES = 8

/** A hash of what is known of a member, in two unsigned halves. */
export interface ClaimHash {
  /** The finest bucket that the member belongs to, whatever is known of it. */
  bucket: number
  high: number
  low: number
}

/** What two nodes must hold alike of a member for their views to be equal. A suspicion passes: it counts as alive. */
export function claimHash(
  nodeId: NodeId,
  { incarnation, status }: { incarnation: number; status: MemberStatus },
  recordVersion: number,
): ClaimHash {
  const claim = hashOf(`${nodeId} ${incarnation} ${status === 'suspect' ? 'alive' : status} ${recordVersion}`)
  return { bucket: bucketOf(nodeId), high: claim.readUInt32BE(0), low: claim.readUInt32BE(4) }
}

/** The finest bucket; the coarser ones of smaller views are its first bits. */
export function bucketOf(nodeId: NodeId): number {
  return hashOf(nodeId).readUInt32BE(0) >>> (32 - BUCKET_BITS_MAX)
}

/** How many bits of bucket number leave about 16 to 32 members in each; none for what fits one message anyway. */
export function bucketBits(members: number): number {
  return members <= 64 ? 0 : Math.min(BUCKET_BITS_MAX, Math.ceil(Math.log2(members / 32)))
}

/**
 * A hash of a whole view that is kept up to date member by member, in any order: the exclusive or of the hashes of all
 * claims, in buckets. It finds differences between honest nodes; it proves nothing, and nothing rests on it.
 */
export class ViewHash {
  readonly #high = new Uint32Array(2 ** BUCKET_BITS_MAX)
  readonly #low = new Uint32Array(2 ** BUCKET_BITS_MAX)

  /** Puts a claim in, or takes out one that is in. */
  toggle({ bucket, high, low }: ClaimHash): void {
    this.#high[bucket] = (this.#high[bucket] as number) ^ high
    this.#low[bucket] = (this.#low[bucket] as number) ^ low
  }

  /** 16 hexadecimal digits. */
  whole(): string {
    return this.buckets(0).toString('hex')
  }

  /** The hashes of `2 ** bits` buckets, {@link BUCKET_HASH_BYTES} each. */
  buckets(bits: number): Buffer {
    const bytes = Buffer.alloc(BUCKET_HASH_BYTES * 2 ** bits)
    const span = 2 ** (BUCKET_BITS_MAX - bits)
    for (let bucket = 0; bucket < 2 ** bits; bucket++) {
      let high = 0
      let low = 0
      for (let fine = bucket * span; fine < (bucket + 1) * span; fine++) {
        high ^= this.#high[fine] as number
        low ^= this.#low[fine] as number
      }
      bytes.writeUInt32BE(high >>> 0, bucket * BUCKET_HASH_BYTES)
      bytes.writeUInt32BE(low >>> 0, bucket * BUCKET_HASH_BYTES + 4)
    }
    return bytes
  }

  /** The buckets that are not as in another view, as {@link buckets} of `bits` describes it. */
  differing(bits: number, theirs: Uint8Array): number[] {
    const own = this.buckets(bits)
    const differing: number[] = []
    for (let bucket = 0; bucket < 2 ** bits; bucket++) {
      const start = bucket * BUCKET_HASH_BYTES
      const end = start + BUCKET_HASH_BYTES
      if (own.compare(theirs, start, end, start, end) !== 0) differing.push(bucket)
    }
    return differing
  }
}

function hashOf(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
