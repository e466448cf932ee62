import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'

/** Hash of the parts one after the other; a text stands for the bytes of its characters (Latin-1). */
export function digest(algorithm: string, ...parts: (string | Uint8Array)[]): Buffer {
  const hash = createHash(algorithm)
  for (const part of parts) hash.update(typeof part === 'string' ? Buffer.from(part, 'latin1') : part)
  return hash.digest()
}
