export { type ResolveHost } from './address-proof.ts'
export {
  type Admission,
  type CertificateAuthority,
  type CertificateAuthorityNeeds,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  type IssuedChain,
  type IssueRequest,
} from './certificate-authority.ts'
export { type ChallengeTarget, type FetchChallenge, fetchChallenge } from './challenge.ts'
export { type ChallengeServer, type ListenChallenge, listenChallenge } from './challenge-server.ts'
export type { EnrolmentDial, EnrolmentSession } from './coordinator-session.ts'
export { createEnrolment, type EnrolmentNeeds, type EnrolmentOptions } from './enrolment.ts'
export { formatHostJoinSecret, type HostJoinSecret, parseHostJoinSecret } from './host-join-secret.ts'
export { formatJoinLine, formatJoinToken, type JoinToken, parseJoinToken } from './join-token.ts'
export { createLocalIdentity, type LocalIdentityNeeds } from './local-identity.ts'
export type { IdentityEntries, IdentityTrust, ManagedIdentity, ManagedIdentityOptions } from './managed-identity.ts'
export { createNodeIdentity, type NodeIdentityNeeds, type NodeIdentityOptions } from './node-identity.ts'
export type { Waiting } from './waiting.ts'
export { type CertificateFacts, daysLeft, readCertificate, rootFingerprint } from './x509/certificate-facts.ts'
export type { AcmeServerNeeds } from './acme-server/acme-context.ts'
export { createAcmeServer } from './acme-server/acme-server.ts'
export { type ChallengeProbeOptions, createChallengeProbes } from './acme-server/challenge-probes.ts'
export { type CaRotationDriver, createCaRotation } from './rotation/ca-rotation.ts'
export { rootFingerprints } from './succession.ts'
