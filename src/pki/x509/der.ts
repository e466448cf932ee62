import { Buffer } from 'node:buffer'

/** Tags of the DER types used here (X.690 section 8). */
export const DER = {
  integer: 0x02,
  bitString: 0x03,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  context0: 0xa0,
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
