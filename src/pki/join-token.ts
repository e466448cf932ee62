import { Buffer } from 'node:buffer'
import { hkdfSync } from 'node:crypto'
import { toHex } from '../base/bytes.ts'
import { PkiError } from '../base/errors.ts'

/** Bytes of a join token's secret: 128 bits. */
export const TOKEN_SECRET_BYTES = 16

/** What a join token says. */
export interface JoinToken {
  /** Which CA the coordinator must show; lower-case hex. */
  caFingerprint: string
  secret: Uint8Array
}

/** `P2P1-<64 hex digits: CA fingerprint>-<32 hex digits: secret>`: one word, safe to copy, to read out and to put into a shell. */
export function formatJoinToken(token: JoinToken): string {
  return `P2P1-${token.caFingerprint}-${toHex(token.secret)}`
}

/**
 * @param text as copied: blanks around it and upper case do not matter
 * @throws {PkiError} P2P_PKI_TOKEN_INVALID
 */
export function parseJoinToken(text: string): JoinToken {
  const match = /^p2p1-([0-9a-f]{64})-([0-9a-f]{32})$/.exec(text.trim().toLowerCase())
  if (!match) {
    const expected = 'P2P1-<64 hex digits>-<32 hex digits>'
    throw new PkiError(
      'P2P_PKI_TOKEN_INVALID',
      `The join token is not of the form ${expected}: copy the whole line again`,
    )
  }
  return { caFingerprint: match[1] as string, secret: Buffer.from(match[2] as string, 'hex') }
}

/** The name by which the coordinator finds a token; tells nothing about the secret. */
export function tokenId(secret: Uint8Array): string {
  return toHex(derive(secret, 'p2p-core join token id v1', 8))
}

/** The MAC key of a token's proofs: all that the coordinator keeps of the secret. */
export function tokenKey(secret: Uint8Array): Uint8Array {
  return derive(secret, 'p2p-core join token key v1', 32)
}

/** The line that joins a machine, to be run there as it is. */
export function formatJoinLine(join: { address: string; token: string; configFile?: string }): string {
  return `p2p --config ${join.configFile ?? 'worker.yaml'} --coord ${join.address} --join ${join.token}`
}

function derive(secret: Uint8Array, label: string, length: number): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(), label, length))
}
