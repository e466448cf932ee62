export type { AcmeServerNeeds } from '../acme-server/acme-context.ts'
export { createAcmeServer } from '../acme-server/acme-server.ts'
export { type ChallengeProbeOptions, createChallengeProbes } from '../acme-server/challenge-probes.ts'
export {
  type Admission,
  type CertificateAuthority,
  type CertificateAuthorityNeeds,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
  type IssuedChain,
  type IssueRequest,
} from '../certificate-authority.ts'
export { createEnrolment, type EnrolmentNeeds, type EnrolmentOptions } from '../enrolment.ts'
export { createLocalIdentity, type LocalIdentityNeeds } from '../local-identity.ts'
export { type CaRotationDriver, createCaRotation } from '../rotation/ca-rotation.ts'
