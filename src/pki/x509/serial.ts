import { toHex } from '../../base/bytes.ts'

/**
 * A positive serial of exactly 159 bits, 158 of them random: always 20 octets, the most RFC 5280
 * section 4.1.2.2 allows, and never with leading zeros, so that its hex form is unambiguous.
 */
export function serialFrom(bytes: Uint8Array): string {
  const serial = bytes.slice(0, 20)
  serial[0] = ((serial[0] as number) & 0x3f) | 0x40
  return toHex(serial)
}
