import { X509Certificate } from 'node:crypto'
import { messageOf, PkiError } from '../../base/errors.ts'
import { type CertificateFacts, certificateFacts } from './certificate-facts.ts'

/** The three certificates of every chain of P2P Core, PEM. */
export interface Chain {
  leafPem: string
  issuingPem: string
  rootPem: string
}

/** A leaf that names a node. */
export type VerifiedLeaf = CertificateFacts & { identity: NonNullable<CertificateFacts['identity']> }

/**
 * Checks the signatures, names and CA flags of a chain up to its root; whether the root is the right
 * one, and the time, are the caller's checks.
 * @returns the leaf's facts, its identity among them
 * @throws {PkiError} P2P_PKI_UNTRUSTED_COORDINATOR
 */
function verifyChain(chain: Chain): VerifiedLeaf {
  const [leaf, issuing, root] = [chain.leafPem, chain.issuingPem, chain.rootPem].map(parse) as [
    X509Certificate,
    X509Certificate,
    X509Certificate,
  ]
  demand(root.ca && isIssuedBy(root, root), 'its root certificate is not a self-signed CA')
  demand(issuing.ca && isIssuedBy(issuing, root), 'its issuing certificate is not signed by its root')
  demand(!leaf.ca && isIssuedBy(leaf, issuing), 'its certificate is not signed by its issuing CA')
  const facts = certificateFacts(leaf)
  demand(facts.identity, 'its certificate names no node')
  return { ...facts, identity: facts.identity }
}

/** {@link verifyChain} to whichever of the roots the issuing certificate is under. */
export function verifyChainToOneOf(chain: Omit<Chain, 'rootPem'>, roots: readonly string[]): VerifiedLeaf {
  const rootPem = roots.find((root) => isChainTo(chain.issuingPem, root))
  demand(rootPem, 'its issuing certificate is not signed by its root')
  return verifyChain({ ...chain, rootPem })
}

/** Whether the root signed the issuing certificate; false when either is malformed. */
export function isChainTo(issuingPem: string, rootPem: string): boolean {
  try {
    return isIssuedBy(new X509Certificate(issuingPem), new X509Certificate(rootPem))
  } catch {
    return false
  }
}

/** Whether `certificate` names `issuer` as its issuer and bears its signature. */
export function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (error) {
    throw new PkiError('P2P_PKI_UNTRUSTED_COORDINATOR', `A certificate is malformed: ${messageOf(error)}`, {})
  }
}

function demand(condition: unknown, complaint: string): asserts condition {
  if (!condition) throw new PkiError('P2P_PKI_UNTRUSTED_COORDINATOR', `The coordinator is not trusted: ${complaint}`)
}
