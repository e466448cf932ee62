import { Buffer } from 'node:buffer'

/** Memory that is written from its beginning to its end, once, by whoever has it. */
export interface Slab {
  readonly bytes: Buffer
  /** Behind what is written. */
  at: number
}

const SLAB_BYTES = 64 * 1024
/** Less is not worth keeping. */
const LEFT_MIN = 4 * 1024

/** What the last batch left over: of all links together, so that links at rest hold no memory. */
let spare: Slab | undefined

/** @returns a slab that is this one's alone until it is taken back */
export function slabFor(bytes: number): Slab {
  const slab = spare
  spare = undefined
  if (slab && slab.bytes.length - slab.at >= bytes) return slab
  return { bytes: Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes)), at: 0 }
}

/** What is written in it stays as it is; the rest is for the next. */
export function takeBack(slab: Slab): void {
  if (slab.bytes.length - slab.at >= LEFT_MIN) spare = slab
}
