import { createHmac, timingSafeEqual } from 'node:crypto'
import { fromBase64Url, toBase64Url, utf8 } from '../../base/bytes.ts'
import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'

/** Time a person has to touch the authenticator. */
export const PASSKEY_CHALLENGE_MS = 5 * 60_000

const NONCE_BYTES = 16
const END_BYTES = 8
const MAC_BYTES = 16
/** Each entry took a signature of an authenticator that was registered. */
const USED_MAX = 10_000

/**
 * What authenticators sign. Each challenge says itself when it ends and what for it was made, under a key of this process: nothing is
 * kept of those that nobody answers, so that a flood of questions pushes nobody's out. Those that were answered are kept until they end.
 */
export class PasskeyChallenges {
  readonly #needs: { clock: Clock; random: Random }
  readonly #key: Uint8Array
  /** In order of use; with the moment from which it is refused for its age. */
  readonly #used = new Map<string, number>()

  constructor(needs: { clock: Clock; random: Random }) {
    this.#needs = needs
    this.#key = needs.random.bytes(32)
  }

  /** @param purpose it is good for nothing else: whose and for which site */
  make(purpose: string): Uint8Array {
    const end = Buffer.alloc(END_BYTES)
    end.writeDoubleBE(this.#needs.clock.nowMs() + PASSKEY_CHALLENGE_MS)
    const head = Buffer.concat([this.#needs.random.bytes(NONCE_BYTES), end])
    return Buffer.concat([head, this.#mac(head, purpose)])
  }

  /** Whether it was made here for this, has not ended and was not used. */
  isGood(challenge: string, purpose: string): boolean {
    if (!/^[\w-]{54}$/.test(challenge) || this.#used.has(challenge)) return false
    const bytes = Buffer.from(fromBase64Url(challenge))
    const head = bytes.subarray(0, NONCE_BYTES + END_BYTES)
    // One text of each challenge: the bits behind the last byte could be anything.
    if (toBase64Url(bytes) !== challenge) return false
    if (!timingSafeEqual(bytes.subarray(head.length), this.#mac(head, purpose))) return false
    return bytes.readDoubleBE(NONCE_BYTES) > this.#needs.clock.nowMs()
  }

  /** From now on it is used. @throws {RpcError} P2P_RPC_OVERLOADED */
  use(challenge: string): void {
    const nowMs = this.#needs.clock.nowMs()
    for (const [old, endsMs] of this.#used) {
      if (endsMs > nowMs) break
      this.#used.delete(old)
    }
    if (this.#used.size >= USED_MAX) {
      throw new RpcError('P2P_RPC_OVERLOADED', 'Too many people sign in by passkey at this moment', {
        retry_after_s: 60,
      })
    }
    this.#used.set(challenge, nowMs + PASSKEY_CHALLENGE_MS)
  }

  #mac(head: Uint8Array, purpose: string): Uint8Array {
    return createHmac('sha256', this.#key).update(head).update(utf8(purpose)).digest().subarray(0, MAC_BYTES)
  }
}
