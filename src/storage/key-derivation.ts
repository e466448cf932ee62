import { hkdfSync, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { assertNever } from '../base/assert.ts'
import { toHex, utf8 } from '../base/bytes.ts'
import { StorageError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import {
  HINT_BYTES,
  type KeySlot,
  PASSWORD_ITERATIONS_MIN,
  SALT_BYTES,
  type SlotKind,
  unwrapMasterKey,
  wrapMasterKey,
} from './vault/header.ts'
import { legacyPlotKeyMaterial } from './vault/legacy-plot.ts'
import { checkPlot, findPattern } from './vault/plot.ts'
import { plotKeyMaterial } from './vault/plot-layers.ts'
import { parseRecoveryKey } from './vault/recovery-key.ts'

/**
 * What opens a vault. `secret` is the plot's password ({@link plotPassword}), a person's password of 8 to 100
 * characters, or the recovery key.
 */
export interface UnlockKey {
  kind: SlotKind
  secret: string
}

const PASSWORD_CHARACTERS_MIN = 8
const PASSWORD_CHARACTERS_MAX = 100
/** The Python program's "500,000 or more" rounds of PBKDF2-HMAC-SHA512. */
const PLOT_ITERATIONS = 600_000
const PLOT_PASSWORD_CHARACTERS = 100
/** One block of SHA-512: asking PBKDF2 for more would cost its owner twice, and an attacker nothing. */
const PLOT_KEY_BYTES = 64
/** Four of ten bytes are drawn again; that 100 characters need more than these has a probability below 2^-300. */
const PASSWORD_STREAM_BYTES = 1024
/** The alphabet of the Python program's passwords: 91 characters. */
const PASSWORD_ALPHABET = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*()_+-=[]{}|;:,.<>?/~`'

// On libuv's thread pool: the event loop stays free.
const pbkdf2Async = promisify(pbkdf2)

/**
 * The 100-character password of a plot: seven layers, PBKDF2-HMAC-SHA512, about 0.3 s on the thread pool.
 * @throws {StorageError} P2P_STORAGE_PLOT_INVALID
 * @see docs/protocol/plot.md for the construction and test vectors
 */
export async function plotPassword(text: string): Promise<string> {
  const { material, salt } = plotKeyMaterial(text, patternOf(text))
  const key = await pbkdf2Async(material, salt, PLOT_ITERATIONS, PLOT_KEY_BYTES, 'sha512')
  return unbiasedText(hkdf('sha512', key, 'p2p-core/plot/v2/password', PASSWORD_STREAM_BYTES))
}

/**
 * The password that the Python program (2.3) derived, for opening its archives.
 * @param fileName the plot's name at that time: the program mixed it in
 * @throws {StorageError} P2P_STORAGE_PLOT_INVALID
 */
export async function legacyPlotPassword(text: string, fileName = 'plot'): Promise<string> {
  const { material, salt, iterations } = legacyPlotKeyMaterial(text, patternOf(text), fileName)
  const bytes = await pbkdf2Async(material, salt, iterations, PLOT_PASSWORD_CHARACTERS, 'sha512')
  return [...bytes].map((byte) => PASSWORD_ALPHABET.charAt(byte % PASSWORD_ALPHABET.length)).join('')
}

/**
 * The key by which nodes with the same plot know each other when joining: 32 bytes. It is of no use for opening a
 * vault, whose key is derived under another label.
 */
export function plotJoinKey(password: string): Uint8Array {
  return hkdf('sha256', utf8(password), 'p2p-core/plot/v2/join', 32)
}

/** Sixteen hex digits in four groups by which people compare plots; safe to show. */
export function plotFingerprint(password: string): string {
  return formatFingerprint(plotHint(password))
}

/** @throws {StorageError} P2P_STORAGE_PASSWORD_INVALID */
export function checkPassword(password: string): void {
  const { length } = Array.from(password)
  if (length >= PASSWORD_CHARACTERS_MIN && length <= PASSWORD_CHARACTERS_MAX) return
  const message = `A password has ${PASSWORD_CHARACTERS_MIN} to ${PASSWORD_CHARACTERS_MAX} characters; this one has ${length}`
  throw new StorageError('P2P_STORAGE_PASSWORD_INVALID', message)
}

/**
 * A slot that the secret opens.
 * @throws {StorageError} P2P_STORAGE_PASSWORD_INVALID
 */
export async function makeSlot(
  random: Random,
  unlock: UnlockKey,
  storageId: Uint8Array,
  masterKey: Uint8Array,
): Promise<KeySlot> {
  const slot = {
    kind: unlock.kind,
    iterations: unlock.kind === 'password' ? PASSWORD_ITERATIONS_MIN : 0,
    salt: random.bytes(SALT_BYTES),
    hint: unlock.kind === 'plot' ? plotHint(unlock.secret) : new Uint8Array(HINT_BYTES),
  }
  return wrapMasterKey(slot, await slotKey(unlock, slot), storageId, masterKey)
}

/**
 * The master key, by the slot of the secret's kind.
 * @throws {StorageError} P2P_STORAGE_UNLOCK_FAILED: no such slot or the wrong secret; P2P_STORAGE_PASSWORD_INVALID
 */
export async function openSlot(
  path: string,
  slots: readonly KeySlot[],
  storageId: Uint8Array,
  unlock: UnlockKey,
): Promise<Uint8Array> {
  const slot = slots.find(({ kind }) => kind === unlock.kind)
  if (!slot) {
    const kinds = slots.map(({ kind }) => SECRET_NAMES[kind]).join(' or ')
    throw unlockFailed(`${path} cannot be opened by ${SECRET_NAMES[unlock.kind]}, only by ${kinds}`, path)
  }
  const masterKey = unwrapMasterKey(slot, await slotKey(unlock, slot), storageId)
  if (!masterKey) throw unlockFailed(wrongSecret(path, slot, unlock), path)
  return masterKey
}

const SECRET_NAMES: Record<SlotKind, string> = { plot: 'a plot', password: 'a password', recovery: 'the recovery key' }

function wrongSecret(path: string, slot: KeySlot, unlock: UnlockKey): string {
  if (unlock.kind === 'password') return `Wrong password for ${path}. The recovery key opens it too`
  if (unlock.kind === 'recovery') return `This recovery key belongs to another vault than ${path}, or was replaced`
  return (
    `Wrong plot for ${path}: it was made with the plot ${formatFingerprint(slot.hint)}, ` +
    `this one is ${plotFingerprint(unlock.secret)}. Put back that plot, or use the recovery key`
  )
}

function unlockFailed(message: string, path: string): StorageError {
  return new StorageError('P2P_STORAGE_UNLOCK_FAILED', message, { path })
}

/**
 * Only a person's password needs stretching. A recovery key has 160 random bits, and the plot's password was
 * stretched when it was made: PBKDF2 a second time would protect nothing more.
 */
async function slotKey(unlock: UnlockKey, slot: Omit<KeySlot, 'wrappedKey'>): Promise<Uint8Array> {
  switch (unlock.kind) {
    case 'password': {
      // The same password typed on another system may be composed of other code points.
      const password = unlock.secret.normalize('NFC')
      checkPassword(password)
      return pbkdf2Async(utf8(password), slot.salt, slot.iterations, 32, 'sha256')
    }
    case 'plot':
      return hkdf('sha256', utf8(unlock.secret), 'p2p-core/vault/v1/slot/plot', 32, slot.salt)
    case 'recovery':
      return hkdf('sha256', parseRecoveryKey(unlock.secret), 'p2p-core/vault/v1/slot/recovery', 32, slot.salt)
    default:
      return assertNever(unlock.kind)
  }
}

function patternOf(text: string): string {
  checkPlot(text, 'The text')
  return findPattern(text) as string
}

function plotHint(password: string): Uint8Array {
  return hkdf('sha256', utf8(password), 'p2p-core/plot/v2/fingerprint', HINT_BYTES)
}

function formatFingerprint(hint: Uint8Array): string {
  return (toHex(hint).match(/.{4}/g) ?? []).join('-')
}

function hkdf(
  hash: string,
  key: Uint8Array,
  label: string,
  length: number,
  salt: Uint8Array = new Uint8Array(0),
): Uint8Array {
  return new Uint8Array(hkdfSync(hash, key, salt, label, length))
}

/** Bytes from 182 up would make the first characters likelier and are left out. */
function unbiasedText(stream: Uint8Array): string {
  const usable = 256 - (256 % PASSWORD_ALPHABET.length)
  const characters = [...stream].filter((byte) => byte < usable).slice(0, PLOT_PASSWORD_CHARACTERS)
  return characters.map((byte) => PASSWORD_ALPHABET.charAt(byte % PASSWORD_ALPHABET.length)).join('')
}
