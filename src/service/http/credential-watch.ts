import type { Clock, Timer } from '../../base/time.ts'
import type { Authenticator } from '../auth/authenticator.ts'
import type { GateRequest } from './gate.ts'

/** A revoked session sees its last event so long after at the latest. */
const CREDENTIAL_CHECK_MS = 4_000

interface Followed {
  request: GateRequest
  end: () => void
}

/** Answers without an end live no longer than what opened them: asks again, while there are any, whether it still holds. */
export class CredentialWatch {
  readonly #needs: { clock: Clock; authenticator: Authenticator }
  readonly #followed = new Set<Followed>()
  #timer: Timer | undefined

  constructor(needs: { clock: Clock; authenticator: Authenticator }) {
    this.#needs = needs
  }

  /** @param end called once when the credential holds no more @returns a function that stops following */
  follow(request: GateRequest, end: () => void): () => void {
    const followed = { request, end }
    this.#followed.add(followed)
    this.#arm()
    return () => {
      this.#followed.delete(followed)
      if (this.#followed.size > 0) return
      this.#timer?.cancel()
      this.#timer = undefined
    }
  }

  #arm(): void {
    this.#timer ??= this.#needs.clock.after(CREDENTIAL_CHECK_MS, () => void this.#check())
  }

  /** Never rejects. */
  async #check(): Promise<void> {
    this.#timer = undefined
    for (const followed of this.#followed) {
      const caller = await this.#needs.authenticator.authenticate(followed.request).catch(() => undefined)
      if (caller && caller.kind !== 'anonymous') continue
      this.#followed.delete(followed)
      followed.end()
    }
    if (this.#followed.size > 0) this.#arm()
  }
}
