import { X509Certificate } from 'node:crypto'
import type { RootSuccession, TrustAnswer } from '../base/enrolment.ts'
import { keyFingerprint } from './x509/certificate-facts.ts'
import { isIssuedBy } from './x509/chain.ts'
import { splitCertificates } from './x509/pem.ts'

/** Rotations that somebody who slept through all of them can still follow; while one is under way its step comes in addition. */
export const SUCCESSIONS_MAX = 8

/**
 * Which roots can be trusted by whoever trusts some: those, and those that they certified as their successors, step by step (RFC 4210
 * section 4.4, "new with old").
 * @param trusted fingerprints
 * @returns fingerprints; steps that are malformed or not signed by the root they name lead nowhere
 */
export function trustedAndSuccessors(trusted: Iterable<string>, steps: readonly RootSuccession[]): Set<string> {
  const known = new Set(trusted)
  const links = steps.slice(0, SUCCESSIONS_MAX + 1).flatMap((step) => read(step) ?? [])
  // Each round follows at least one step or is the last.
  for (let before = -1; before !== known.size; ) {
    before = known.size
    for (const { from, to } of links) if (known.has(from)) known.add(to)
  }
  return known
}

/** The roots of an answer that may be trusted, PEM, the one that issues first; none when not even that one may be. */
export function trustableRoots(answer: TrustAnswer, trusted: Iterable<string>): string[] {
  const known = trustedAndSuccessors(trusted, answer.succession ?? [])
  const roots = [answer.ca_certificate, ...(answer.trusted_roots ?? [])]
  const trustable = new Map<string, string>()
  for (const pem of roots.flatMap(splitCertificates)) {
    const fingerprint = fingerprintOf(pem)
    if (fingerprint !== undefined && known.has(fingerprint) && !trustable.has(fingerprint))
      trustable.set(fingerprint, pem)
  }
  const issuing = fingerprintOf(answer.ca_certificate)
  return issuing !== undefined && trustable.has(issuing) ? [...trustable.values()] : []
}

/** Fingerprints of the roots in a text of one or more PEM blocks. */
export function rootFingerprints(trustPem: string): string[] {
  return splitCertificates(trustPem).flatMap((pem) => fingerprintOf(pem) ?? [])
}

function read({ root, link }: RootSuccession): { from: string; to: string } | undefined {
  try {
    const [older, certified] = [new X509Certificate(root), new X509Certificate(link)]
    if (!older.ca || !certified.ca || !isIssuedBy(certified, older)) return undefined
    return { from: keyFingerprint(older.publicKey), to: keyFingerprint(certified.publicKey) }
  } catch {
    return undefined
  }
}

function fingerprintOf(pem: string): string | undefined {
  try {
    return keyFingerprint(new X509Certificate(pem).publicKey)
  } catch {
    return undefined
  }
}
