import type { Random } from '../../base/random.ts'

const HEX_BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'))

/** 32 hex digits: a trace id (W3C Trace Context section 3.2.2.3). */
export function newTraceId(random: Random): string {
  return hex(random, 32)
}

/** 16 hex digits: a span's id, `parent-id` on the wire (section 3.2.2.4). */
export function newSpanId(random: Random): string {
  return hex(random, 16)
}

/** Bits that need to be unlikely to meet again, not secret: the fast generator, as every call may need some. */
function hex(random: Random, digits: number): string {
  let id = ''
  while (id.length < digits) {
    const bits = random.float() * 2 ** 32
    // Byte by byte from a table: Number's own toString(16) is eight times as slow.
    for (let shift = 0; shift < 32; shift += 8) id += HEX_BYTES[(bits >>> shift) & 0xff]
  }
  return id
}
