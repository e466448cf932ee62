import { randomBytes } from 'node:crypto'
import type { Random } from '../base/random.ts'

/** The system's generator: `bytes` from node:crypto, `float` from V8's fast generator (never for secrets). */
export const systemRandom: Random = {
  bytes: (length) => randomBytes(length),
  float: () => Math.random(),
}
