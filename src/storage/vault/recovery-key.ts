import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { StorageError } from '../../base/errors.ts'

/** 160 bits: beyond guessing, so that no slow derivation is needed. */
export const RECOVERY_KEY_BYTES = 20
const PREFIX = 'P2PR'
const GROUP_CHARACTERS = 4
const CHECK_CHARACTERS = 4
/** Crockford's base32: no I, L, O or U, so that it can be read aloud and typed from paper. */
const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

/** `P2PR-` and nine groups of four: 160 random bits and 20 check bits that catch a typo before anything is tried. */
export function formatRecoveryKey(bytes: Uint8Array): string {
  const text = encode(bytes) + checkOf(bytes)
  const groups = text.match(new RegExp(`.{${GROUP_CHARACTERS}}`, 'g')) ?? []
  return [PREFIX, ...groups].join('-')
}

/**
 * The bytes of a recovery key as a person typed it: case, spaces and dashes do not matter, and O, I and L are taken
 * for the digits they look like.
 * @throws {StorageError} P2P_STORAGE_PASSWORD_INVALID: not a recovery key, or mistyped
 */
export function parseRecoveryKey(text: string): Uint8Array {
  const normal = text.toUpperCase().replace(/[\s-]/g, '')
  const body = normal.startsWith(PREFIX) ? normal.slice(PREFIX.length).replace(/O/g, '0').replace(/[IL]/g, '1') : ''
  const bytes = decode(body.slice(0, -CHECK_CHARACTERS))
  if (bytes?.length !== RECOVERY_KEY_BYTES || checkOf(bytes) !== body.slice(-CHECK_CHARACTERS)) {
    const message = `This is not a recovery key, or it is mistyped: it begins with ${PREFIX}- and has nine groups of four characters`
    throw new StorageError('P2P_STORAGE_PASSWORD_INVALID', message)
  }
  return bytes
}

function checkOf(bytes: Uint8Array): string {
  return encode(createHash('sha256').update('p2p-core/recovery-key/v1').update(bytes).digest().subarray(0, 5)).slice(
    0,
    CHECK_CHARACTERS,
  )
}

/** Whole groups of five bits only: the lengths used here have no rest. */
function encode(bytes: Uint8Array): string {
  let bits = BigInt(`0x${Buffer.from(bytes).toString('hex')}`)
  let text = ''
  for (let count = (bytes.length * 8) / 5; count > 0; count--) {
    text = ALPHABET.charAt(Number(bits & 31n)) + text
    bits >>= 5n
  }
  return text
}

function decode(text: string): Uint8Array | undefined {
  if (text.length !== (RECOVERY_KEY_BYTES * 8) / 5) return undefined
  let bits = 0n
  for (const character of text) {
    const value = ALPHABET.indexOf(character)
    if (value < 0) return undefined
    bits = (bits << 5n) | BigInt(value)
  }
  return new Uint8Array(Buffer.from(bits.toString(16).padStart(RECOVERY_KEY_BYTES * 2, '0'), 'hex'))
}
