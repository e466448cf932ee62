import { Buffer } from 'node:buffer'
import { z } from 'zod'
import { utf8 } from '../base/bytes.ts'
import { isNodeId, ROLES } from '../base/identity.ts'
import { type NodeRecord, REVOKED_SERIALS_MAX } from '../base/member.ts'
import { canonicalJson } from './canonical-json.ts'
import type { RecordSigner, RecordVerifier } from './record-signature.ts'
import { LIMITS } from './swim/limits.ts'
import type { RecordEnvelope, SignedRecord } from './swim/message.ts'

/** Stands before the signed bytes, so that the signature is good for nothing else. */
const SIGNATURE_CONTEXT = utf8('p2p-core node record v1\0')

const count = z.int().min(0)
const nodeRecord = z.object({
  nodeId: z.string().refine(isNodeId),
  role: z.enum(ROLES),
  cluster: z.string().min(1).max(63),
  recordVersion: count,
  softwareVersion: z.string().max(64),
  addresses: z.array(z.string().max(300)).max(64),
  services: z
    .array(
      z.object({
        name: z.string().max(128),
        version: z.string().max(64),
        description: z.string().max(2_048),
        health: z.enum(['starting', 'healthy', 'failing', 'stopping']),
        methods: z.array(z.string().max(128)).max(512),
        idempotent: z.array(z.string().max(128)).max(512).optional(),
        events: z.array(z.string().max(136)).max(64).optional(),
      }),
    )
    .max(256),
  labels: z.record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$/), z.string().max(256)),
  capacity: z.object({ cpus: z.number().min(0), memoryBytes: z.number().min(0) }),
  certificateSerial: z.string().max(64),
  trustedRoots: z
    .array(z.string().regex(/^[0-9a-f]{64}$/))
    .max(8)
    .optional(),
  issuerId: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  startedAtMs: count,
  tokenKeys: z.string().max(8_192).optional(),
  revokedSerials: z
    .array(z.string().regex(/^[0-9a-f]{1,40}$/))
    .max(REVOKED_SERIALS_MAX)
    .optional(),
}) satisfies z.ZodType<NodeRecord>

/** The bytes of a record that are signed and relayed; undefined when peers would refuse them as too long or malformed. */
export function encodeRecord(record: NodeRecord): Uint8Array | undefined {
  const bytes = utf8(canonicalJson(record))
  return bytes.length <= LIMITS.recordBytesMax && nodeRecord.safeParse(record).success ? bytes : undefined
}

export function sealRecord(bytes: Uint8Array, signer: RecordSigner): RecordEnvelope {
  return {
    bytes,
    signature: signer.sign(signedBytes(bytes)),
    certificateChainPem: signer.certificateChainPem,
  }
}

/**
 * @returns undefined unless the record has its shape, is of this cluster and was signed by the node it describes; nothing
 *   of what is returned points into `envelope`
 */
export function openRecord(
  envelope: RecordEnvelope,
  verifier: RecordVerifier,
  cluster: string,
): SignedRecord | undefined {
  const parsed = nodeRecord.safeParse(parseJson(envelope.bytes))
  if (!parsed.success || parsed.data.cluster !== cluster) return undefined
  const record: NodeRecord = parsed.data
  const signer = verifier.verify(signedBytes(envelope.bytes), envelope.signature, envelope.certificateChainPem)
  const isOwn = signer?.nodeId === record.nodeId && signer.role === record.role && signer.cluster === record.cluster
  if (!isOwn) return undefined
  return { record, envelope: { ...envelope, bytes: envelope.bytes.slice(), signature: envelope.signature.slice() } }
}

function signedBytes(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([SIGNATURE_CONTEXT, bytes])
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('utf8'))
  } catch {
    return undefined
  }
}
