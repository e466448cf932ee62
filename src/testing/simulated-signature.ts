import { createHash } from 'node:crypto'
import { formatSpiffeId, type NodeId, type NodeIdentity, parseSpiffeId } from '../base/identity.ts'
import type { RecordSigner, RecordVerifier, SignedRecord } from '../network/index.ts'

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

/** One copy of every node's newest record, for all the nodes that hold it: a thousand views then fit one process. */
export function shareRecords(): (opened: SignedRecord) => SignedRecord {
  const newest = new Map<NodeId, SignedRecord>()
  return (opened) => {
    const { nodeId, recordVersion } = opened.record
    const known = newest.get(nodeId)
    if (known && Buffer.compare(known.envelope.signature, opened.envelope.signature) === 0) return known
    if (!known || recordVersion > known.record.recordVersion) newest.set(nodeId, opened)
    return opened
  }
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
