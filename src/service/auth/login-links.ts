import { toBase64Url } from '../../base/bytes.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { PersonRole } from './access-token.ts'
import { hashOfCredential } from './operator-credential.ts'

/** Life of a one-time login link, in seconds. */
export const LOGIN_LINK_TTL_S = 600

const SECRET_BYTES = 32
/** Links that wait to be used; the oldest gives way. */
const LINKS_MAX = 64

/** Secrets that each let one person in once. Kept in memory only, as hashes: a restart ends them. */
export class LoginLinks {
  readonly #needs: { clock: Clock; random: Random }
  readonly #links = new Map<string, { role: PersonRole; endsMs: number }>()

  constructor(needs: { clock: Clock; random: Random }) {
    this.#needs = needs
  }

  /** A new secret: 256 random bits in base64url. */
  make(role: PersonRole): string {
    const secret = toBase64Url(this.#needs.random.bytes(SECRET_BYTES))
    this.#links.set(hashOfCredential(secret), { role, endsMs: this.#needs.clock.nowMs() + LOGIN_LINK_TTL_S * 1_000 })
    for (const oldest of this.#links.keys()) {
      if (this.#links.size <= LINKS_MAX) break
      this.#links.delete(oldest)
    }
    return secret
  }

  /** Uses it up. @returns the role it was made for; undefined when there is no such secret any more */
  take(secret: string): PersonRole | undefined {
    const hash = hashOfCredential(secret)
    const link = this.#links.get(hash)
    this.#links.delete(hash)
    return link && link.endsMs > this.#needs.clock.nowMs() ? link.role : undefined
  }
}
