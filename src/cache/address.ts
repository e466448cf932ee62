import { createHash } from 'node:crypto'

/** What every address begins with. */
export const ADDRESS_PREFIX = 'p2p:cache:'

const SCOPE_CHARACTERS_MAX = 128
const KEY_CHARACTERS_MAX = 512

/**
 * Where an entry is kept: `p2p:cache:<scope>:<key>`, both percent-encoded (RFC 3986). What is longer than 128 (scope)
 * or 512 (key) characters is replaced by `#` and its SHA-256, which no encoded text can look like.
 */
export function addressOf(scope: string, key: string): string {
  return scopePrefix(scope) + encode(key, KEY_CHARACTERS_MAX)
}

/** What the addresses of all entries of a scope, and of no other, begin with. Holds no glob character. */
export function scopePrefix(scope: string): string {
  return `${ADDRESS_PREFIX}${encode(scope, SCOPE_CHARACTERS_MAX)}:`
}

function encode(text: string, charactersMax: number): string {
  if (text.length <= charactersMax && text.isWellFormed()) {
    const encoded = encodeURIComponent(text).replaceAll('*', '%2A')
    if (encoded.length <= charactersMax) return encoded
  }
  return `#${createHash('sha256').update(text, 'utf16le').digest('base64url')}`
}
