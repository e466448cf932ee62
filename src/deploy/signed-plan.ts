import { fromBase64Url, toBase64Url, utf8 } from '../base/bytes.ts'
import type { NodeSigner, NodeVerifier } from './node-signature.ts'
import type { NodePlan } from './model.ts'

/** A node plan as it travels and is kept: the very text that was signed. */
export interface SignedPlan {
  /** JSON of a {@link NodePlan}. */
  plan: string
  /** base64url. */
  signature: string
  /** Certificate chain of the coordinator that signed, PEM, leaf first. */
  chain: string
}

/** More is neither given nor taken. Fits one message between nodes and one value of the vault. */
export const PLAN_BYTES_MAX = 512 * 1_024

/** The same key signs other things too: what is signed says that it is a plan. */
const CONTEXT = 'p2p-core node plan 1\n'

export function signPlan(signer: NodeSigner, plan: NodePlan): SignedPlan {
  const text = JSON.stringify(plan)
  return {
    plan: text,
    signature: toBase64Url(signer.sign(utf8(CONTEXT + text))),
    chain: signer.certificateChainPem,
  }
}

/** @returns the plan, or undefined when it was not signed by a coordinator of `cluster` */
export function verifiedPlan(verifier: NodeVerifier, signed: SignedPlan, cluster: string): NodePlan | undefined {
  const bytes = utf8(CONTEXT + signed.plan)
  const signer = verifier.verify(bytes, fromBase64Url(signed.signature), signed.chain)
  if (signer?.role !== 'coordinator' || signer.cluster !== cluster) return undefined
  return planOf(signed)
}

/** The plan inside: for one that was verified before. */
export function planOf(signed: SignedPlan): NodePlan {
  return JSON.parse(signed.plan) as NodePlan
}
