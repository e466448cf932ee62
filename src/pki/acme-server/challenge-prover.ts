import type { Clock } from '../../base/time.ts'
import { delay } from '../../base/time.ts'
import { messageOf } from '../../base/errors.ts'
import type { AcmeIdentifier } from '../acme/identifier.ts'
import type { ChallengeType } from '../acme/order.ts'
import { AcmeProblem, type AcmeProblemDocument } from '../acme/problem.ts'
import { canonicalAddress, mayBeCalledBack } from '../address.ts'
import { withDeadline } from '../deadline.ts'
import { Gate } from '../gate.ts'

/** What a challenge's answer must show. */
export interface ChallengeQuestion {
  identifier: AcmeIdentifier
  token: string
  /** The token, a dot, and the thumbprint of the account's key (RFC 8555 section 8.1). */
  keyAuthorization: string
}

/** The three ways to look; each rejects with an AcmeProblem that says what was found instead. */
export interface ChallengeProbes {
  /** All addresses of a name. */
  resolve: (name: string, signal: AbortSignal) => Promise<string[]>
  /** RFC 8555 section 8.3. @param address where to look; nothing is resolved and no redirect followed */
  http: (address: string, question: ChallengeQuestion, signal: AbortSignal) => Promise<void>
  /** RFC 8737. */
  tlsAlpn: (address: string, question: ChallengeQuestion, signal: AbortSignal) => Promise<void>
  /** RFC 8555 section 8.4. */
  dns: (question: ChallengeQuestion, signal: AbortSignal) => Promise<void>
}

const LOOK_MS_MAX = 5_000
/** What was put in place may need a moment until it can be seen: a record in the DNS, a server that starts. */
const PAUSES_MS = [500, 1_500, 3_000] as const
/** Of a name; the first that works decides. */
const ADDRESSES_MAX = 4
const LOOKING_MAX = 32
const WAITING_MAX = 1_024

/** Looks whether a client controls what it wants a certificate for. */
export class ChallengeProver {
  readonly #clock: Clock
  readonly #probes: ChallengeProbes
  readonly #gate = new Gate('ACME challenges', LOOKING_MAX, WAITING_MAX)

  constructor(clock: Clock, probes: ChallengeProbes) {
    this.#clock = clock
    this.#probes = probes
  }

  /**
   * Looks up to four times within some ten seconds.
   * @param isSameHost the client is on this machine: then its names may lead to the loopback interface
   * @returns undefined when it is proved, else what was found
   */
  async prove(
    type: ChallengeType,
    question: ChallengeQuestion,
    isSameHost: boolean,
    signal: AbortSignal,
  ): Promise<AcmeProblemDocument | undefined> {
    let problem: AcmeProblem | undefined
    for (const pauseMs of [0, ...PAUSES_MS]) {
      if (pauseMs > 0) await delay(this.#clock, pauseMs, signal)
      try {
        await this.#gate.run(() => this.#look(type, question, isSameHost, signal))
        return undefined
      } catch (error) {
        signal.throwIfAborted()
        problem =
          error instanceof AcmeProblem
            ? error
            : new AcmeProblem('connection', `${question.identifier.value} could not be asked: ${messageOf(error)}`)
        // What may not be asked will not be asked later either.
        if (problem.type === 'rejectedIdentifier') break
      }
    }
    return problem?.document()
  }

  #look(type: ChallengeType, question: ChallengeQuestion, isSameHost: boolean, signal: AbortSignal): Promise<void> {
    const { value } = question.identifier
    const late = (): AcmeProblem =>
      new AcmeProblem('connection', `${value} did not answer within ${LOOK_MS_MAX / 1_000} s`)
    return withDeadline(this.#clock, LOOK_MS_MAX, signal, late, async (until) => {
      if (type === 'dns-01') return this.#probes.dns(question, until)
      const probe = type === 'http-01' ? this.#probes.http : this.#probes.tlsAlpn
      const failures: unknown[] = []
      for (const address of await this.#addresses(question.identifier, isSameHost, until)) {
        try {
          return await probe(address, question, until)
        } catch (error) {
          until.throwIfAborted()
          failures.push(error)
        }
      }
      throw failures[0]
    })
  }

  /** Resolved once: what is connected to is what was checked, whatever the name leads to a moment later. */
  async #addresses(identifier: AcmeIdentifier, isSameHost: boolean, signal: AbortSignal): Promise<string[]> {
    const { type, value } = identifier
    const found = type === 'ip' ? [value] : await this.#resolve(value, signal)
    const addresses = found.map((text) => canonicalAddress(text)).filter((address) => address !== undefined)
    const allowed = addresses.filter((address) => mayBeCalledBack(address, isSameHost))
    if (allowed.length > 0) return allowed.slice(0, ADDRESSES_MAX)
    throw new AcmeProblem(
      'rejectedIdentifier',
      `${value} leads to ${addresses.join(', ') || 'no address'}, where this server does not look`,
    )
  }

  async #resolve(name: string, signal: AbortSignal): Promise<string[]> {
    try {
      return await this.#probes.resolve(name, signal)
    } catch (error) {
      throw new AcmeProblem('dns', `${name} was not found in the DNS: ${messageOf(error)}`)
    }
  }
}
