import { toBase64Url } from '../../base/bytes.ts'
import type { Random } from '../../base/random.ts'
import { AcmeProblem } from '../acme/problem.ts'

/** The oldest gives way; its holder is told `badNonce` with a new one, and tries again (RFC 8555 section 6.5). */
const NONCES_MAX = 10_000
const NONCE_BYTES = 16

/** Single-use nonces against replay. */
export class ReplayNonces {
  readonly #random: Random
  readonly #open = new Set<string>()

  constructor(random: Random) {
    this.#random = random
  }

  issue(): string {
    if (this.#open.size >= NONCES_MAX) this.#open.delete(this.#open.values().next().value as string)
    const nonce = toBase64Url(this.#random.bytes(NONCE_BYTES))
    this.#open.add(nonce)
    return nonce
  }

  /** @throws {AcmeProblem} badNonce */
  use(nonce: string | undefined): void {
    if (nonce !== undefined && this.#open.delete(nonce)) return
    throw new AcmeProblem('badNonce', 'The nonce was used before, or is not one of this server: take the new one')
  }
}
