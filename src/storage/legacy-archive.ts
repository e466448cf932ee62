import { createDecipheriv, pbkdf2 } from 'node:crypto'
import { promisify } from 'node:util'
import { formatBytes, utf8 } from '../base/bytes.ts'
import type { ControlStore } from '../base/control-store.ts'
import { put } from '../base/control-store.ts'
import { StorageError } from '../base/errors.ts'
import { checkPassword } from './key-derivation.ts'

const SALT_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const ITERATIONS = 480_000
/** Far more than the Python program ever held in one archive. */
export const LEGACY_ARCHIVE_BYTES_MAX = 64 * 1024 * 1024
const FILES_MAX = 10_000

/** Where {@link importLegacyArchive} puts the files: `import/certs/ca_cert.cer` … */
const IMPORT_PREFIX = 'import/'

export interface LegacyFile {
  /** As in the archive: `config/<name>`, `certs/<name>`, `state/<name>` or a free path. */
  path: string
  bytes: Uint8Array
}

const pbkdf2Async = promisify(pbkdf2)

/**
 * Reads an archive of the Python program (2.x): `salt 32 | nonce 12 | AES-256-GCM of a JSON text`, in which every
 * file is encrypted once more with the same key and nonce.
 * @param password a person's, or the one derived from the plot (`legacyPlotPassword`)
 * @throws {StorageError} P2P_STORAGE_UNLOCK_FAILED: wrong password, or damaged (the format cannot tell which);
 *   P2P_STORAGE_UNSUPPORTED: not such an archive; P2P_STORAGE_VALUE_TOO_LARGE; P2P_STORAGE_PASSWORD_INVALID
 */
export async function readLegacyArchive(bytes: Uint8Array, password: string): Promise<LegacyFile[]> {
  checkPassword(password)
  if (bytes.byteLength > LEGACY_ARCHIVE_BYTES_MAX) {
    const message = `The archive has ${formatBytes(bytes.byteLength)}, at most ${formatBytes(LEGACY_ARCHIVE_BYTES_MAX)} are read`
    throw new StorageError('P2P_STORAGE_VALUE_TOO_LARGE', message)
  }
  if (bytes.byteLength < SALT_BYTES + NONCE_BYTES + TAG_BYTES) throw notAnArchive('it is too short')
  const salt = bytes.subarray(0, SALT_BYTES)
  const nonce = bytes.subarray(SALT_BYTES, SALT_BYTES + NONCE_BYTES)
  const key = await pbkdf2Async(utf8(password), salt, ITERATIONS, 32, 'sha256')
  const json = decrypt(key, nonce, bytes.subarray(SALT_BYTES + NONCE_BYTES))
  if (!json) {
    const message =
      'Neither this plot nor this password opens the archive of the Python program, or it is damaged: its format cannot tell. Give the right one: --archive-plot FILE, which must still be called as it was then, or --archive-password'
    throw new StorageError('P2P_STORAGE_UNLOCK_FAILED', message)
  }
  return Object.entries(filesOf(json)).map(([path, file]) => ({ path, bytes: contentOf(key, nonce, path, file) }))
}

/**
 * Puts each file under {@link IMPORT_PREFIX} and its path. Doing it again changes nothing but revisions.
 * @returns the keys written
 * @throws {StorageError} as {@link ControlStore.transact}: P2P_STORAGE_VALUE_TOO_LARGE for a file over 1 MiB
 */
export async function importLegacyArchive(store: ControlStore, files: readonly LegacyFile[]): Promise<string[]> {
  const keys: string[] = []
  for (const { path, bytes } of files) {
    const key = IMPORT_PREFIX + path
    await put(store, key, bytes)
    keys.push(key)
  }
  return keys
}

function filesOf(json: Uint8Array): Record<string, unknown> {
  const parsed = parse(json)
  const files = isRecord(parsed) ? parsed['files'] : undefined
  if (!isRecord(files)) throw notAnArchive('its content has no list of files')
  if (Object.keys(files).length > FILES_MAX) throw notAnArchive(`it holds more than ${FILES_MAX} files`)
  return files
}

function contentOf(key: Uint8Array, nonce: Uint8Array, path: string, file: unknown): Uint8Array {
  const data = isRecord(file) ? file['data'] : undefined
  if (typeof data !== 'string' || !/^(?:[0-9a-f]{2})*$/.test(data))
    throw notAnArchive(`the content of ${path} is not hexadecimal`)
  const content = decrypt(key, nonce, Buffer.from(data, 'hex'))
  if (!content) throw notAnArchive(`the content of ${path} is damaged`)
  return content
}

function decrypt(key: Uint8Array, nonce: Uint8Array, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.byteLength < TAG_BYTES) return undefined
  const decipher = createDecipheriv('aes-256-gcm', key, nonce, { authTagLength: TAG_BYTES })
  decipher.setAuthTag(sealed.subarray(sealed.byteLength - TAG_BYTES))
  const plaintext = decipher.update(sealed.subarray(0, sealed.byteLength - TAG_BYTES))
  try {
    decipher.final()
    return new Uint8Array(plaintext)
  } catch {
    return undefined
  }
}

function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(json))
  } catch {
    throw notAnArchive('its content is not JSON')
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function notAnArchive(what: string): StorageError {
  return new StorageError('P2P_STORAGE_UNSUPPORTED', `This is not an archive of the Python program: ${what}`)
}
