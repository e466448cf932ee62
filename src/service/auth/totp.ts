import { createHmac } from 'node:crypto'

/** A code lives so long (RFC 6238 section 5.2). */
const STEP_S = 30
/** Codes of the step before and the step after are taken as well: telephones' clocks are off, and typing takes time. */
const STEPS_ASIDE = 1
const DIGITS = 6

/** What the standard's makers advise: as long as the hash (RFC 4226 section 4, R6). */
export const TOTP_SECRET_BYTES = 20

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** Base32 without padding (RFC 4648 section 6), as authenticator programs take secrets. */
export function toBase32(bytes: Uint8Array): string {
  let [text, held, bits] = ['', 0, 0]
  for (const byte of bytes) {
    held = ((held << 8) | byte) & 0xfff
    for (bits += 8; bits >= 5; bits -= 5) text += ALPHABET[(held >> (bits - 5)) & 31]
  }
  return bits > 0 ? text + ALPHABET[(held << (5 - bits)) & 31] : text
}

/** The time step a moment is in. */
function stepAt(wallMs: number): number {
  return Math.floor(wallMs / 1_000 / STEP_S)
}

/** The code of a time step: HMAC-SHA-1 and dynamic truncation (RFC 4226 section 5.3), the one kind that every authenticator knows. */
export function totpCode(secret: Uint8Array, wallMs: number): string {
  return codeOfStep(secret, stepAt(wallMs))
}

function codeOfStep(secret: Uint8Array, step: number): string {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const number = mac.readUInt32BE((mac[mac.length - 1] as number) & 15) & 0x7fff_ffff
  return String(number % 10 ** DIGITS).padStart(DIGITS, '0')
}

/**
 * Finds the time step a code belongs to.
 * @param after the last step whose code was used: that one and all before it are refused, so that no code works twice
 * @returns the step, to be kept as the next `after`; undefined: the code is wrong, too old, or was used
 */
export function stepOfCode(secret: Uint8Array, code: string, wallMs: number, after: number): number | undefined {
  const now = stepAt(wallMs)
  for (let step = now - STEPS_ASIDE; step <= now + STEPS_ASIDE; step++) {
    if (step > after && codeOfStep(secret, step) === code) return step
  }
  return undefined
}

/** The address that authenticator programs read, from a picture or as a link. */
export function totpAddress(secret: Uint8Array, { issuer, name }: { issuer: string; name: string }): string {
  const label = `${encodeURIComponent(issuer)}:${encodeURIComponent(name)}`
  return `otpauth://totp/${label}?secret=${toBase32(secret)}&issuer=${encodeURIComponent(issuer)}`
}
