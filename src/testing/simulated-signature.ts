import { createHash } from 'node:crypto'
import { formatSpiffeId, type NodeIdentity, parseSpiffeId } from '../base/identity.ts'
import type { RecordSigner, RecordVerifier } from '../network/index.ts'

/** Base64 characters of a real certificate. */
const CERTIFICATE_CHARS = 800

/** Signs as fast as a hash: proves nothing outside a simulation, where nobody lies about who he is. */
export function simulatedSigner(identity: NodeIdentity): RecordSigner {
  const spiffeId = formatSpiffeId(identity)
  return {
    sign: (bytes) => digest(spiffeId, bytes),
    // As large and as hard to compress as a leaf and the issuing CA that all nodes share.
    certificateChainPem: `${spiffeId}\n${noise(spiffeId)}\n${noise(identity.cluster)}`,
  }
}

export const simulatedVerifier: RecordVerifier = {
  verify: (bytes, signature, certificateChainPem) => {
    const spiffeId = certificateChainPem.split('\n', 1)[0] as string
    return digest(spiffeId, bytes).equals(signature) ? parseSpiffeId(spiffeId) : undefined
  },
}

function digest(spiffeId: string, bytes: Uint8Array): Buffer {
  return createHash('sha512').update(spiffeId).update(bytes).digest()
}

function noise(seed: string): string {
  let text = ''
  for (let i = 0; text.length < CERTIFICATE_CHARS; i++)
    text += createHash('sha256').update(`${seed}${i}`).digest('base64')
  return text.slice(0, CERTIFICATE_CHARS)
}
