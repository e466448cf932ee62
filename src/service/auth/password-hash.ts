import * as crypto from 'node:crypto'
import { promisify } from 'node:util'
import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'

/**
 * A password as it is stored: a PHC string such as `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`. The parameters are in it,
 * so that stronger ones can come later.
 */
export type PasswordHash = string

const SALT_BYTES = 16
const HASH_BYTES = 32

/** 19 MiB, two passes: the least memory that OWASP's password storage guide names for argon2id; some 25 ms. */
const ARGON2 = { memory: 19_456, passes: 2, parallelism: 1 } as const
/** For a Node without argon2: 32 MiB and three lanes, which the same guide holds to be as strong. */
const SCRYPT = { ln: 15, r: 8, p: 3 } as const

const ARGON2_FORM = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/
const SCRYPT_FORM = /^\$scrypt\$ln=(\d+),r=(\d+),p=(\d+)\$([\w+/]+)\$([\w+/]+)$/

// Asked for by name, because a Node before 24.7 has none, and a missing named import would keep the program from starting.
const hasArgon2 = typeof crypto.argon2 === 'function'
const scrypt = promisify<crypto.BinaryLike, crypto.BinaryLike, number, crypto.ScryptOptions, Buffer>(crypto.scrypt)

/** The hash of a password under a salt of its own. Runs on the thread pool, never on the event loop. */
export async function hashPassword(password: string, random: Random): Promise<PasswordHash> {
  const salt = random.bytes(SALT_BYTES)
  const text = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64').replace(/=+$/, '')
  if (hasArgon2) {
    const { memory: m, passes: t, parallelism: p } = ARGON2
    return `$argon2id$v=19$m=${m},t=${t},p=${p}$${text(salt)}$${text(await argon2(password, salt, ARGON2))}`
  }
  const { ln, r, p } = SCRYPT
  return `$scrypt$ln=${ln},r=${r},p=${p}$${text(salt)}$${text(await scryptOf(password, salt, SCRYPT))}`
}

/** Whether the password is the one that was hashed; compared in constant time. */
export async function matchesPassword(password: string, stored: PasswordHash): Promise<boolean> {
  const [, first, second, third, salt = '', hash = ''] = ARGON2_FORM.exec(stored) ?? SCRYPT_FORM.exec(stored) ?? []
  const [a, b, c] = [Number(first), Number(second), Number(third)] as [number, number, number]
  const expected = Buffer.from(hash, 'base64')
  const saltBytes = Buffer.from(salt, 'base64')
  const isArgon2 = stored.startsWith('$argon2id$')
  if (isArgon2 && !hasArgon2) {
    throw new RpcError(
      'P2P_RPC_INTERNAL',
      'The password was hashed by argon2, which this Node does not have; use 24.7 or later',
    )
  }
  const actual = await (isArgon2
    ? argon2(password, saltBytes, { memory: a, passes: b, parallelism: c })
    : scryptOf(password, saltBytes, { ln: a, r: b, p: c }))
  return expected.length === actual.length && crypto.timingSafeEqual(expected, actual)
}

/** The same password typed on another keyboard is the same password (RFC 8265 section 4.2: NFC). */
function bytesOf(password: string): Buffer {
  return Buffer.from(password.normalize('NFC'), 'utf8')
}

function argon2(password: string, nonce: Uint8Array, parameters: Readonly<Record<keyof typeof ARGON2, number>>) {
  return new Promise<Buffer>((resolve, reject) => {
    const message = bytesOf(password)
    crypto.argon2('argon2id', { message, nonce, tagLength: HASH_BYTES, ...parameters }, (error, key) => {
      message.fill(0)
      if (error) reject(error)
      else resolve(key)
    })
  })
}

async function scryptOf(
  password: string,
  salt: Uint8Array,
  { ln, r, p }: Readonly<Record<keyof typeof SCRYPT, number>>,
) {
  const N = 2 ** ln
  return scrypt(bytesOf(password), salt, HASH_BYTES, { N, r, p, maxmem: 256 * N * r })
}
