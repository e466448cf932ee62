import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { StorageError } from '../../base/errors.ts'
import { ByteReader } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { damaged } from './damage.ts'

/** What a slot is opened with; a vault has at most one slot of each kind. */
export type SlotKind = 'plot' | 'password' | 'recovery'

/** The master key, wrapped with a key derived from one secret (as in LUKS). */
export interface KeySlot {
  kind: SlotKind
  /** PBKDF2 rounds for a password; 0 where the secret is strong by itself. */
  iterations: number
  salt: Uint8Array
  /** Plot slot: the plot's fingerprint, so that a wrong plot can be told by name; otherwise zeros. */
  hint: Uint8Array
  wrappedKey: Uint8Array
}

export interface VaultHeader {
  /** Rises by one with every snapshot. */
  generation: number
  /** Made once, with the vault. */
  storageId: Uint8Array
  slots: KeySlot[]
}

/** The header with the bytes it came from. */
export interface ReadHeader extends VaultHeader {
  path: string
  bytes: Uint8Array
}

export const MASTER_KEY_BYTES = 32
export const SALT_BYTES = 32
export const HINT_BYTES = 8
export const STORAGE_ID_BYTES = 16
/** OWASP Password Storage Cheat Sheet: PBKDF2-HMAC-SHA256 with 600,000 rounds or more. */
export const PASSWORD_ITERATIONS_MIN = 600_000
/** About two seconds of work: more in a file is an attack on whoever opens it. */
export const PASSWORD_ITERATIONS_MAX = 10_000_000

const MAGIC = 'P2PVAULT'
const VERSION = 1
const SLOT_KINDS: readonly SlotKind[] = ['plot', 'password', 'recovery']
const WRAPPED_KEY_BYTES = MASTER_KEY_BYTES + 16
const SLOT_BYTES = 1 + 4 + SALT_BYTES + HINT_BYTES + WRAPPED_KEY_BYTES
const MAC_BYTES = 32
const CRC_BYTES = 4
/** Magic, version, slot count, generation, storage id. */
const FIXED_BYTES = 8 + 2 + 1 + 8 + STORAGE_ID_BYTES
export const HEADER_BYTES_MAX = FIXED_BYTES + SLOT_KINDS.length * SLOT_BYTES + MAC_BYTES + CRC_BYTES
/** Every slot has its own random salt and therefore its own key, which encrypts once: a constant nonce is safe. */
const WRAP_NONCE = new Uint8Array(12)

/** `magic | version | slot count | generation | storage id | slots | HMAC | CRC`, see docs/protocol/vault.md. */
export function encodeHeader(header: VaultHeader, masterKey: Uint8Array): Uint8Array {
  const writer = new ByteWriter().raw(new TextEncoder().encode(MAGIC)).u16(VERSION).u8(header.slots.length)
  writer.u64(header.generation).raw(header.storageId)
  for (const slot of header.slots) writer.raw(slotBytes(slot)).raw(slot.wrappedKey)
  writer.raw(headerMac(writer.take(), header.storageId, masterKey))
  return writer.u32(crc32(writer.take())).take()
}

/**
 * Reads the header at the start of `bytes`. It is trusted only after {@link verifyHeader}; before that every number
 * in it has been checked against its bounds.
 * @throws {StorageError} P2P_STORAGE_DAMAGED; P2P_STORAGE_UNSUPPORTED: not a vault, or of a later version
 */
export function decodeHeader(path: string, bytes: Uint8Array): ReadHeader {
  const magic = new TextDecoder('latin1').decode(bytes.subarray(0, MAGIC.length))
  if (bytes.length < FIXED_BYTES) throw damaged({ path, offset: 0 }, 'the file ends inside its header')
  if (magic !== MAGIC) throw notAVault(path)
  const reader = new ByteReader(bytes.subarray(MAGIC.length))
  const version = reader.u16()
  const slotCount = reader.u8()
  const length = FIXED_BYTES + slotCount * SLOT_BYTES + MAC_BYTES + CRC_BYTES
  if (version === VERSION && (slotCount === 0 || slotCount > SLOT_KINDS.length || length > bytes.length)) {
    throw damaged(
      { path, offset: MAGIC.length + 2 },
      'the header names an impossible number of key slots or is cut off',
    )
  }
  if (version !== VERSION) throw unsupported(path, version)
  const whole = new Uint8Array(bytes.subarray(0, length))
  const checksum = new ByteReader(whole.subarray(length - CRC_BYTES)).u32()
  if (crc32(whole.subarray(0, length - CRC_BYTES)) !== checksum) {
    throw damaged({ path, offset: 0 }, 'the checksum of the header does not match')
  }
  try {
    const generation = reader.u64()
    const storageId = reader.raw(STORAGE_ID_BYTES)
    const slots = Array.from({ length: slotCount }, () => readSlot(reader))
    return { path, bytes: whole, generation, storageId, slots }
  } catch (cause) {
    throw damaged({ path, offset: 0 }, 'the header holds a number out of its bounds', undefined, cause)
  }
}

/** @throws {StorageError} P2P_STORAGE_DAMAGED: somebody changed the header */
export function verifyHeader(header: ReadHeader, masterKey: Uint8Array): void {
  const end = header.bytes.length - CRC_BYTES - MAC_BYTES
  const expected = headerMac(header.bytes.subarray(0, end), header.storageId, masterKey)
  if (timingSafeEqual(expected, header.bytes.subarray(end, end + MAC_BYTES))) return
  throw damaged({ path: header.path, offset: 0 }, 'the header was changed by someone who does not have the key')
}

/** What the first record of the file is chained to: the header's HMAC. */
export function chainStart(headerBytes: Uint8Array): Uint8Array {
  return new Uint8Array(headerBytes.subarray(-CRC_BYTES - MAC_BYTES, -CRC_BYTES))
}

/** A slot around the master key. `key` must be derived from the secret and this fresh `salt`. */
export function wrapMasterKey(
  slot: Omit<KeySlot, 'wrappedKey'>,
  key: Uint8Array,
  storageId: Uint8Array,
  masterKey: Uint8Array,
): KeySlot {
  const cipher = createCipheriv('aes-256-gcm', key, WRAP_NONCE).setAAD(wrapContext(slot, storageId))
  const wrappedKey = new Uint8Array(MASTER_KEY_BYTES + 16)
  wrappedKey.set(cipher.update(masterKey), 0)
  cipher.final()
  wrappedKey.set(cipher.getAuthTag(), MASTER_KEY_BYTES)
  return { ...slot, wrappedKey }
}

/** @returns undefined when `key` is not the key of this slot */
export function unwrapMasterKey(slot: KeySlot, key: Uint8Array, storageId: Uint8Array): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, WRAP_NONCE).setAAD(wrapContext(slot, storageId))
  decipher.setAuthTag(slot.wrappedKey.subarray(MASTER_KEY_BYTES))
  const masterKey = new Uint8Array(decipher.update(slot.wrappedKey.subarray(0, MASTER_KEY_BYTES)))
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return masterKey
}

function wrapContext(slot: Omit<KeySlot, 'wrappedKey'>, storageId: Uint8Array): Uint8Array {
  return new ByteWriter().raw(storageId).raw(slotBytes(slot)).take()
}

function slotBytes(slot: Omit<KeySlot, 'wrappedKey'>): Uint8Array {
  const writer = new ByteWriter().u8(SLOT_KINDS.indexOf(slot.kind) + 1).u32(slot.iterations)
  return writer.raw(slot.salt).raw(slot.hint).take()
}

function readSlot(reader: ByteReader): KeySlot {
  const kind = SLOT_KINDS[reader.u8() - 1]
  const iterations = reader.u32()
  if (!kind) throw new RangeError('unknown kind of key slot')
  const isInBounds =
    kind === 'password'
      ? iterations >= PASSWORD_ITERATIONS_MIN && iterations <= PASSWORD_ITERATIONS_MAX
      : iterations === 0
  if (!isInBounds) throw new RangeError(`${iterations} rounds for a ${kind} slot`)
  return {
    kind,
    iterations,
    salt: reader.raw(SALT_BYTES),
    hint: reader.raw(HINT_BYTES),
    wrappedKey: reader.raw(WRAPPED_KEY_BYTES),
  }
}

function headerMac(bytes: Uint8Array, storageId: Uint8Array, masterKey: Uint8Array): Uint8Array {
  const key = new Uint8Array(hkdfSync('sha256', masterKey, storageId, 'p2p-core/vault/v1/header', 32))
  return createHmac('sha256', key).update(bytes).digest()
}

function notAVault(path: string): StorageError {
  const message = `${path} is not a vault of P2P Core 3; an archive of the Python program is read with "p2p storage import"`
  return new StorageError('P2P_STORAGE_UNSUPPORTED', message, { path })
}

function unsupported(path: string, version: number): StorageError {
  const message = `${path} has format version ${version}; this program reads version ${VERSION}. Open it with the version that wrote it`
  return new StorageError('P2P_STORAGE_UNSUPPORTED', message, { path, version })
}
