import { createPublicKey, generateKeyPair, type KeyObject, sign } from 'node:crypto'
import { promisify } from 'node:util'
import { utf8 } from '../../base/bytes.ts'
import { DER, der, derInteger } from './der.ts'
import { toPem } from './pem.ts'

/** 2.5.4.3 */
export const COMMON_NAME = Uint8Array.of(0x55, 0x04, 0x03)
/** 1.2.840.10045.4.3.2 */
export const ECDSA_WITH_SHA256 = Uint8Array.of(0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02)

/** A new P-256 private key from the system's generator. */
export async function generateNodeKey(): Promise<KeyObject> {
  return (await promisify(generateKeyPair)('ec', { namedCurve: 'P-256' })).privateKey
}

/**
 * A PKCS#10 request (RFC 2986) for the key, PEM. It carries the key and the proof of its possession;
 * names are the CA's decision and are asked for beside it. Written by hand because the X.509 library
 * would cost every worker 20 MB of memory and 0.1 s for these few lines.
 */
export function createCsr(privateKey: KeyObject, commonName: string): string {
  const attribute = der(DER.sequence, der(DER.oid, COMMON_NAME), der(DER.utf8String, utf8(commonName)))
  const info = der(
    DER.sequence,
    derInteger(0),
    der(DER.sequence, der(DER.set, attribute)),
    createPublicKey(privateKey).export({ type: 'spki', format: 'der' }),
    der(DER.context0),
  )
  const signature = der(DER.bitString, Uint8Array.of(0), sign('sha256', info, privateKey))
  return toPem(
    'CERTIFICATE REQUEST',
    der(DER.sequence, info, der(DER.sequence, der(DER.oid, ECDSA_WITH_SHA256)), signature),
  )
}
