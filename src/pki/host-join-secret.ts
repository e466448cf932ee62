import { Buffer } from 'node:buffer'
import { toHex } from '../base/bytes.ts'
import { PkiError } from '../base/errors.ts'

/** What a coordinator leaves in a file of mode 0600 for workers of the same user on the same host. */
export interface HostJoinSecret {
  /** CA fingerprint, lower-case hex: which coordinator the secret is for. */
  fingerprint: string
  /** 32 bytes: the key of the `host` proof. */
  key: Uint8Array
}

/** The file's text: `P2P1-HOST-<64 hex digits>-<64 hex digits>` and a newline. */
export function formatHostJoinSecret(secret: HostJoinSecret): string {
  return `P2P1-HOST-${secret.fingerprint}-${toHex(secret.key)}\n`
}

/** @throws {PkiError} P2P_PKI_TOKEN_INVALID */
export function parseHostJoinSecret(text: string): HostJoinSecret {
  const match = /^P2P1-HOST-([0-9a-f]{64})-([0-9a-f]{64})$/.exec(text.trim())
  if (!match) {
    throw new PkiError(
      'P2P_PKI_TOKEN_INVALID',
      'The join secret of this host is damaged: restart the coordinator, which writes it anew',
    )
  }
  return { fingerprint: match[1] as string, key: new Uint8Array(Buffer.from(match[2] as string, 'hex')) }
}
