import { z } from 'zod'
import { fromBase64Url, toBase64Url, utf8 } from '../../base/bytes.ts'
import { DeployError } from '../../base/errors.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { NodeSigner, NodeVerifier } from '../node-signature.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'

/** What a coordinator says of a bundle it has accepted. */
export interface BundleStatement {
  cluster: string
  digest: ArtifactDigest
  sizeBytes: number
  service: string
  version: string
}

/** A statement as it travels and is kept, beside the bundle: the very text that was signed. */
export interface SignedBundle {
  /** JSON of a {@link BundleStatement}. */
  statement: string
  /** base64url. */
  signature: string
  /** Certificate chain of the coordinator that signed, PEM, leaf first, root left out. */
  chain: string
}

const SIGNED_BUNDLE = z.strictObject({
  statement: z.string().max(4_096),
  signature: z.string().max(1_024),
  chain: z.string().max(65_536),
})

const STATEMENT = z.strictObject({
  cluster: z.string(),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  sizeBytes: z.int().min(1).max(BUNDLE_LIMITS.bundleBytesMax),
  service: z.string(),
  version: z.string(),
})

/** The same key signs other things too: what is signed says that it is a bundle. */
const CONTEXT = 'p2p-core bundle 1\n'

export function signBundle(signer: NodeSigner, statement: BundleStatement): SignedBundle {
  const text = JSON.stringify(statement)
  return {
    statement: text,
    signature: toBase64Url(signer.sign(utf8(CONTEXT + text))),
    chain: signer.certificateChainPem,
  }
}

/**
 * What was signed, if a coordinator of this cluster did. A signature holds as long as the certificate it was made with: the
 * coordinator signs anew for whoever needs a newer one.
 * @throws {DeployError} P2P_BUNDLE_SIGNATURE_INVALID
 */
export function verifiedStatement(verifier: NodeVerifier, signed: SignedBundle, cluster: string): BundleStatement {
  // It comes from other nodes, as does the bundle.
  if (!SIGNED_BUNDLE.safeParse(signed).success) throw unsigned('form', 'what should be its signature is none')
  const bytes = utf8(CONTEXT + signed.statement)
  const signer = verifier.verify(bytes, fromBase64Url(signed.signature), signed.chain)
  if (!signer)
    throw unsigned('signature', 'its signature does not verify, or its certificate has expired or was revoked')
  if (signer.role !== 'coordinator') throw unsigned('signer', `${signer.nodeId} signed it, which is no coordinator`)
  const statement = STATEMENT.safeParse(JSON.parse(signed.statement))
  if (!statement.success)
    throw unsigned('statement', `what was signed cannot be: ${statement.error.issues[0]?.message}`)
  if (signer.cluster !== cluster || statement.data.cluster !== cluster)
    throw unsigned('cluster', 'it is of another cluster')
  return statement.data
}

function unsigned(reason: string, why: string): DeployError {
  return new DeployError(
    'P2P_BUNDLE_SIGNATURE_INVALID',
    `The bundle is not taken: ${why}. Deploy it again; the coordinator then signs it anew.`,
    { reason },
  )
}
