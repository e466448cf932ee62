import { Buffer } from 'node:buffer'

/** Tags of the DER types used here (X.690 section 8). */
export const DER = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
  context0: 0xa0,
  context3: 0xa3,
} as const

/** One DER element: tag, definite length, contents (X.690 section 10.1). */
export function der(tag: number, ...contents: Uint8Array[]): Uint8Array {
  const body = Buffer.concat(contents)
  return Buffer.concat([Buffer.from([tag]), derLength(body.length), body])
}

/** A non-negative INTEGER of at most 53 bits. */
export function derInteger(value: number): Uint8Array {
  const hex = value.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  const isNegative = ((bytes[0] as number) & 0x80) !== 0
  return der(DER.integer, isNegative ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

function derLength(length: number): Uint8Array {
  if (length < 0x80) return Buffer.of(length)
  const hex = length.toString(16)
  const bytes = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex')
  return Buffer.concat([Buffer.of(0x80 | bytes.length), bytes])
}

/** An element as it was read. */
export interface DerElement {
  tag: number
  contents: Uint8Array
  /** All of it, with tag and length. */
  encoded: Uint8Array
}

/**
 * The elements that the bytes are, one after the other and nothing else. What is in them is not looked at.
 * @throws {RangeError} they are not: cut, too long, a tag or length that DER has not (X.690 section 10.1)
 */
export function readDer(bytes: Uint8Array): DerElement[] {
  const elements: DerElement[] = []
  for (let at = 0; at < bytes.length; ) {
    const element = readElement(bytes, at)
    elements.push(element)
    at += element.encoded.length
  }
  return elements
}

function readElement(bytes: Uint8Array, start: number): DerElement {
  const [tag, first] = [bytes[start], bytes[start + 1]]
  if (tag === undefined || first === undefined || (tag & 0x1f) === 0x1f) throw new RangeError('it is not DER')
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f
  // Two are enough for everything that is read here.
  if (first === 0x80 || lengthBytes > 2) throw new RangeError('a length in it is not DER, or too long')
  let length = lengthBytes === 0 ? first : 0
  for (let i = 0; i < lengthBytes; i++) length = length * 256 + (bytes[start + 2 + i] ?? 0)
  if (lengthBytes > 0 && length < (lengthBytes === 1 ? 0x80 : 0x100)) throw new RangeError('a length in it is not DER')
  const contentsAt = start + 2 + lengthBytes
  const end = contentsAt + length
  if (end > bytes.length) throw new RangeError('it is cut')
  return { tag, contents: bytes.subarray(contentsAt, end), encoded: bytes.subarray(start, end) }
}
