import { createHash, timingSafeEqual } from 'node:crypto'
import { fromBase64Url, toBase64Url } from '../../base/bytes.ts'
import type { Random } from '../../base/random.ts'

const SECRET_BYTES = 32
const FORM = /^P2PO1-[A-Za-z0-9_-]{43}$/

/** A new operator credential: `P2PO1-` and 256 random bits in base64url. */
export function newOperatorCredential(random: Random): string {
  return `P2PO1-${toBase64Url(random.bytes(SECRET_BYTES))}`
}

/** What is stored of a credential. It has 256 bits of its own, so a plain hash keeps it as well as a slow one. */
export function hashOfCredential(credential: string): string {
  return createHash('sha256').update(credential, 'utf8').digest('base64url')
}

/** Whether the credential is the one that was hashed; takes the same time for every wrong one. */
export function matchesCredential(credential: string, storedHash: string): boolean {
  if (!FORM.test(credential)) return false
  return timingSafeEqual(fromBase64Url(hashOfCredential(credential)), fromBase64Url(storedHash))
}
