import type { AcmeAnswer, AcmeRequest } from '../../base/acme.ts'
import type { ControlStore } from '../../base/control-store.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { NameRules } from '../acme/identifier.ts'
import type { CertificateAuthority } from '../certificate-authority.ts'
import type { AcmeRecords } from './acme-records.ts'
import type { ChallengeProbes, ChallengeProver } from './challenge-prover.ts'

export interface AcmeServerNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
  ca: CertificateAuthority
  probes: ChallengeProbes
}

/** What all parts of the server stand on. */
export interface AcmeContext extends AcmeServerNeeds {
  records: AcmeRecords
  prover: ChallengeProver
  names: NameRules
  newId: () => string
}

/** A request whose signature was verified. */
export interface SignedRequest extends AcmeRequest {
  /** Of what follows `/acme/`. */
  segments: string[]
  /** Undefined for POST-as-GET. */
  payload: Record<string, unknown> | undefined
  signal: AbortSignal
}

/** An answer in JSON. */
export function json(status: number, body: object, headers: Record<string, string> = {}): AcmeAnswer {
  return { status, headers, body }
}
