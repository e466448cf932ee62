import { Buffer } from 'node:buffer'
import { createCipheriv, createDecipheriv, createHash, hkdfSync } from 'node:crypto'
import { assert } from '../../base/assert.ts'
import { beginFrame, FRAME_CONTEXT_BYTES, FRAME_HEADER_BYTES, type FrameHeader, finishFrame } from './frame.ts'
import type { RecordKind } from './records.ts'

export const SEGMENT_ID_BYTES = 32
const TAG_BYTES = 16

/** Where in the file's chain of records the next one goes. */
export interface ChainPosition {
  /** Number of the next record. */
  seq: number
  /** What the next record's additional data begins with: the tag of the record before, or the header's HMAC. */
  link: Uint8Array
}

/** What all segments of a vault share. */
export interface SegmentKeys {
  masterKey: Uint8Array
  storageId: Uint8Array
}

/**
 * Encrypts the records of one segment: AES-256-GCM in the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár
 * 2015; as in age), under a key of the segment's own, so that a nonce, which is a counter, can never come twice. A
 * sealer is made by the process that appends, with a fresh random id; after a failed append a new one is made, for
 * the bytes of the failed one may have reached the disk.
 */
export class SegmentSealer {
  readonly #segmentId: Uint8Array
  readonly #key: Uint8Array
  #position: ChainPosition
  #isFirst = true
  #isSealed = false

  constructor(keys: SegmentKeys, segmentId: Uint8Array, position: ChainPosition) {
    this.#segmentId = segmentId
    this.#key = segmentKey(keys, segmentId)
    this.#position = position
  }

  /** Where the record after the last sealed one goes. */
  get position(): ChainPosition {
    return this.#position
  }

  /** @returns the whole frame, to be appended where the last one ended */
  seal(kind: RecordKind, plaintext: Uint8Array, isLast = false): Uint8Array {
    assert(!this.#isSealed, 'nothing follows the last record of a segment')
    const { seq, link } = this.#position
    const isFirst = this.#isFirst
    const idBytes = isFirst ? SEGMENT_ID_BYTES : 0
    const bodyBytes = idBytes + plaintext.byteLength + TAG_BYTES
    const frame = beginFrame({ kind, isFirst, isLast, bodyBytes, seq })
    if (isFirst) frame.set(this.#segmentId, FRAME_HEADER_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(seq, isLast)).setAAD(context(frame, link))
    frame.set(cipher.update(plaintext), FRAME_HEADER_BYTES + idBytes)
    cipher.final()
    const tag = new Uint8Array(cipher.getAuthTag())
    frame.set(tag, frame.length - TAG_BYTES)
    finishFrame(frame)
    this.#position = { seq: seq + 1, link: tag }
    this.#isFirst = false
    this.#isSealed = isLast
    return frame
  }
}

/** Decrypts the records of a file in order, whatever segments they are in. */
export class SegmentOpener {
  readonly #keys: SegmentKeys
  #key: Uint8Array | undefined
  #position: ChainPosition
  #segmentCount = 0

  constructor(keys: SegmentKeys, link: Uint8Array) {
    this.#keys = keys
    this.#position = { seq: 1, link }
  }

  get position(): ChainPosition {
    return this.#position
  }

  get segmentCount(): number {
    return this.#segmentCount
  }

  /**
   * @param frame the whole frame that `header` was decoded from, its checksum already compared
   * @throws {RangeError} not the record that belongs here: changed, moved, left out or made without the key
   */
  open(header: FrameHeader, frame: Uint8Array): Uint8Array {
    const { seq, link } = this.#position
    if (header.seq !== seq) throw new RangeError(`record ${header.seq} where ${seq} belongs`)
    const bodyStart = FRAME_HEADER_BYTES + (header.isFirst ? SEGMENT_ID_BYTES : 0)
    if (frame.length < bodyStart + TAG_BYTES) throw new RangeError('a record too short for its tag')
    if (header.isFirst) {
      this.#key = segmentKey(this.#keys, frame.subarray(FRAME_HEADER_BYTES, bodyStart))
      this.#segmentCount++
    }
    if (!this.#key) throw new RangeError('a record outside of any segment')
    const tag = new Uint8Array(frame.subarray(frame.length - TAG_BYTES))
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonceOf(seq, header.isLast), {
      authTagLength: TAG_BYTES,
    })
    decipher.setAAD(context(frame, link)).setAuthTag(tag)
    const plaintext = decipher.update(frame.subarray(bodyStart, frame.length - TAG_BYTES))
    try {
      decipher.final()
    } catch (cause) {
      throw new RangeError('a record that was not written here with this key', { cause })
    }
    if (header.isLast) this.#key = undefined
    this.#position = { seq: seq + 1, link: tag }
    return plaintext
  }
}

/** Counter in eleven bytes, last flag in one. The file's record number serves as counter: it rises within a segment. */
function nonceOf(seq: number, isLast: boolean): Uint8Array {
  const nonce = Buffer.alloc(12)
  nonce.writeBigUInt64BE(BigInt(seq), 3)
  nonce.writeUInt8(isLast ? 1 : 0, 11)
  return nonce
}

function context(frame: Uint8Array, link: Uint8Array): Uint8Array {
  return Buffer.concat([frame.subarray(0, FRAME_CONTEXT_BYTES), link])
}

function segmentKey({ masterKey, storageId }: SegmentKeys, segmentId: Uint8Array): Uint8Array {
  const salt = createHash('sha256').update(storageId).update(segmentId).digest()
  return new Uint8Array(hkdfSync('sha256', masterKey, salt, 'p2p-core/vault/v1/segment', 32))
}
