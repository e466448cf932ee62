import { z } from 'zod'
import type { CertificateRequest } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import { isNodeId, ROLES } from '../base/identity.ts'
import { CHALLENGE_PATTERN } from './challenge.ts'

const NAMES_MAX = 32
const MAC = z.string().regex(/^[0-9a-fA-F]{64}$/)

/** Sizes and shapes of a certificate request; which names are good is decided when they are proved. */
const schema = z.object({
  node_id: z.string().refine(isNodeId, 'is not a node id: 1 to 63 letters, digits, "-", "_" or "."'),
  role: z.enum(ROLES),
  csr: z.string().max(16 * 1024),
  ip_addresses: z.array(z.string().max(64)).max(NAMES_MAX),
  dns_names: z.array(z.string().max(253)).max(NAMES_MAX),
  challenge: z.string().regex(CHALLENGE_PATTERN),
  // No privileged port: the callback must not be a way to knock at other services.
  challenge_port: z.int().min(1_024).max(65_535),
  nonce: z.string().max(128),
  proof: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('none') }),
    z.object({ kind: z.literal('token'), token_id: z.string().regex(/^[0-9a-f]{16}$/), mac: MAC }),
    z.object({ kind: z.literal('plot'), mac: MAC }),
    z.object({ kind: z.literal('host'), mac: MAC }),
  ]),
})

/** @throws {PkiError} P2P_RPC_INVALID_PARAMS naming the field */
export function checkRequest(request: CertificateRequest): CertificateRequest {
  const result = schema.safeParse(request)
  if (result.success) return result.data
  const issue = result.error.issues[0]
  const field = issue?.path.join('.') ?? ''
  throw new PkiError('P2P_RPC_INVALID_PARAMS', `Certificate request, ${field}: ${issue?.message}`, { field })
}
