import { LRUCache } from 'lru-cache'
import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { hashOfCredential } from './operator-credential.ts'
import { stepOfCode, toBase32, TOTP_SECRET_BYTES, totpAddress } from './totp.ts'

const RECOVERY_CODES = 10
/** 80 random bits: a plain hash keeps them as well as a slow one. */
const RECOVERY_BYTES = 10
const ENROLMENT_MS = 15 * 60_000
const ENROLMENTS_MAX = 256

/** Codes that each stand once for a code of a lost authenticator: `abcd-efgh-ijkl-mnop`. */
export function makeRecoveryCodes(random: Random): string[] {
  return Array.from({ length: RECOVERY_CODES }, () =>
    (toBase32(random.bytes(RECOVERY_BYTES)).toLowerCase().match(/.{4}/g) as string[]).join('-'),
  )
}

/** What is stored of a recovery code, however it was typed. */
export function recoveryHash(code: string): string {
  return hashOfCredential(code.toLowerCase().replace(/[^a-z2-7]/g, ''))
}

/** Authenticators that people are about to set up. In memory only: a restart ends them, and the person begins again. */
export class TotpEnrolments {
  readonly #needs: { clock: Clock; random: Random }
  readonly #cluster: string
  readonly #begun = new LRUCache<string, { secret: Uint8Array; endsMs: number }>({ max: ENROLMENTS_MAX })

  constructor(needs: { clock: Clock; random: Random }, cluster: string) {
    this.#needs = needs
    this.#cluster = cluster
  }

  begin(name: string): { secret: string; address: string } {
    const secret = this.#needs.random.bytes(TOTP_SECRET_BYTES)
    this.#begun.set(name, { secret, endsMs: this.#needs.clock.nowMs() + ENROLMENT_MS })
    return { secret: toBase32(secret), address: totpAddress(secret, { issuer: `P2P Core ${this.#cluster}`, name }) }
  }

  /** @returns the secret in base64url and the step of the code @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID */
  confirm(name: string, code: string): { secret: string; step: number } {
    const begun = this.#begun.get(name)
    if (!begun || begun.endsMs <= this.#needs.clock.nowMs()) {
      throw new RpcError('P2P_AUTH_CREDENTIAL_INVALID', 'No authenticator is being set up; begin again')
    }
    const step = stepOfCode(begun.secret, code.trim(), this.#needs.clock.wallMs(), 0)
    if (step === undefined) {
      throw new RpcError('P2P_AUTH_CREDENTIAL_INVALID', "The code is wrong; is the telephone's clock right?")
    }
    this.#begun.delete(name)
    return { secret: Buffer.from(begun.secret).toString('base64url'), step }
  }
}
