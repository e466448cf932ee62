import { toBase64Url, toHex } from '../base/bytes.ts'
import { PkiError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'

export const NONCE_LIFETIME_MS = 60_000
/** The oldest gives way to the newest: a flood can make a joining node ask again, but never shut the door. */
const NONCES_MAX = 10_000
const NONCE_BYTES = 24

interface IssuedNonce {
  exporter: string
  expiresMs: number
}

/** Single-use nonces, each good for one connection and 60 s. */
export class Nonces {
  readonly #clock: Clock
  readonly #random: Random
  /** In order of issue, which is the order of expiry. */
  readonly #open = new Map<string, IssuedNonce>()

  constructor(clock: Clock, random: Random) {
    this.#clock = clock
    this.#random = random
  }

  issue(exporter: Uint8Array): string {
    this.#dropOld()
    const nonce = toBase64Url(this.#random.bytes(NONCE_BYTES))
    this.#open.set(nonce, { exporter: toHex(exporter), expiresMs: this.#clock.nowMs() + NONCE_LIFETIME_MS })
    return nonce
  }

  /** @throws {PkiError} P2P_PKI_NONCE_INVALID: unknown, used before, expired, or issued on another connection */
  use(nonce: string, exporter: Uint8Array): void {
    const found = this.#open.get(nonce)
    this.#open.delete(nonce)
    const isGood = found && found.expiresMs > this.#clock.nowMs() && found.exporter === toHex(exporter)
    if (!isGood) {
      throw new PkiError(
        'P2P_PKI_NONCE_INVALID',
        'The nonce is not valid on this connection, was used before or is older than 60 s: ask for a new one',
      )
    }
  }

  #dropOld(): void {
    const nowMs = this.#clock.nowMs()
    for (const [nonce, { expiresMs }] of this.#open) {
      if (expiresMs > nowMs && this.#open.size < NONCES_MAX) return
      this.#open.delete(nonce)
    }
  }
}
