import { lookup } from 'node:dns/promises'
import { messageOf, PkiError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Clock } from '../base/time.ts'
import { canonicalAddress, isHostName, isLoopback, mayBeCalledBack } from './address.ts'
import type { FetchChallenge } from './challenge.ts'
import { withDeadline } from './deadline.ts'
import { Gate } from './gate.ts'

const CALLBACK_MS_MAX = 5_000
const RESOLVE_MS_MAX = 2_000
/** Of strangers, who may keep each callback hanging for 5 s; admitted nodes have a lane of their own. */
const STRANGERS_MAX = 32
const ADMITTED_MAX = 64
const WAITING_MAX = 2_048

/** All IP addresses of a host name. */
export type ResolveHost = (name: string, signal: AbortSignal) => Promise<string[]>

/** The real {@link ResolveHost}: as other programs on this host see the name (`/etc/hosts`, then DNS). */
export const resolveHost: ResolveHost = async (name) =>
  (await lookup(name, { all: true })).map(({ address }) => address)

export interface AddressProverNeeds {
  clock: Clock
  log: Logger
  fetchChallenge: FetchChallenge
  resolveHost: ResolveHost
}

/** What the requester's challenge server must answer, and on which port. */
export interface Challenge {
  port: number
  challenge: string
  keyAuthorization: string
}

/** Names and addresses for a certificate, all proved or approved. */
export interface ProvenNames {
  ipAddresses: string[]
  dnsNames: string[]
}

/** Proves that a key's holder is reachable at an address: by calling it back there (as RFC 8555 section 8.3 does). */
export class AddressProver {
  readonly #needs: AddressProverNeeds
  readonly #strangers = new Gate('callbacks', STRANGERS_MAX, WAITING_MAX)
  readonly #admitted = new Gate('callbacks', ADMITTED_MAX, WAITING_MAX)

  constructor(needs: AddressProverNeeds) {
    this.#needs = needs
  }

  /**
   * Calls the requester back at its own address.
   * @throws {PkiError} P2P_PKI_CHALLENGE_FAILED, P2P_PKI_BUSY
   */
  async proveRequester(
    remoteAddress: string,
    challenge: Challenge,
    isAdmitted: boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const gate = isAdmitted ? this.#admitted : this.#strangers
    const failure = await gate.run(() => this.#call(remoteAddress, challenge, signal))
    if (failure === undefined) return
    throw new PkiError(
      'P2P_PKI_CHALLENGE_FAILED',
      `The challenge server of the node at ${remoteAddress}, port ${challenge.port}, did not prove the key: ${failure}. Let the coordinator reach that port while the node joins`,
      { address: remoteAddress, port: challenge.port },
    )
  }

  /**
   * Proves the further addresses an admitted node lists and the names that lead to them. What is not
   * proved is left out and said in the log: an interface the coordinator cannot reach is no error.
   * Only called for nodes that are admitted already: a stranger cannot make the coordinator call other hosts.
   * @param remoteAddress already proved
   */
  async proveNames(
    remoteAddress: string,
    wanted: { ipAddresses: readonly string[]; dnsNames: readonly string[]; approvedDnsNames: readonly string[] },
    challenge: Challenge,
    signal: AbortSignal,
  ): Promise<ProvenNames> {
    const isSameHost = isLoopback(remoteAddress)
    const addresses = new Set([remoteAddress, ...(isSameHost ? ['127.0.0.1', '::1'] : [])])
    const callable = wanted.ipAddresses
      .map((text) => canonicalAddress(text))
      .filter((address) => address !== undefined && !addresses.has(address) && mayBeCalledBack(address, isSameHost))
    await Promise.all(
      [...new Set(callable as string[])].map(async (address) => {
        const failure = await this.#admitted.run(() => this.#call(address, challenge, signal))
        if (failure === undefined) addresses.add(address)
      }),
    )
    const names = await this.#proveDnsNames(wanted, addresses, isSameHost, signal)
    const proven = { ipAddresses: [...addresses], dnsNames: [...names] }
    this.#logLeftOut(wanted, proven)
    return proven
  }

  async #proveDnsNames(
    wanted: { dnsNames: readonly string[]; approvedDnsNames: readonly string[] },
    addresses: ReadonlySet<string>,
    isSameHost: boolean,
    signal: AbortSignal,
  ): Promise<Set<string>> {
    const proved = new Set(isSameHost ? ['localhost'] : [])
    const approved = new Set(wanted.approvedDnsNames)
    const hostNames = wanted.dnsNames.map((name) => name.toLowerCase()).filter(isHostName)
    await Promise.all(
      hostNames.map(async (name) => {
        if (approved.has(name)) proved.add(name)
        const resolved = proved.has(name) ? [] : await this.#resolve(name, signal)
        // Many systems give a host's own name an address of the loopback network, such as 127.0.1.1.
        if (resolved.some((address) => addresses.has(address) || (isSameHost && isLoopback(address)))) proved.add(name)
      }),
    )
    return proved
  }

  /** @returns why it failed, or undefined */
  async #call(address: string, challenge: Challenge, signal: AbortSignal): Promise<string | undefined> {
    const late = (): Error => new Error(`no answer within ${CALLBACK_MS_MAX / 1_000} s`)
    const target = { address, port: challenge.port, challenge: challenge.challenge }
    try {
      const body = await withDeadline(this.#needs.clock, CALLBACK_MS_MAX, signal, late, (until) =>
        this.#needs.fetchChallenge(target, until),
      )
      return body.trim() === challenge.keyAuthorization ? undefined : 'its answer is for another key or challenge'
    } catch (error) {
      signal.throwIfAborted()
      return messageOf(error)
    }
  }

  async #resolve(name: string, signal: AbortSignal): Promise<string[]> {
    try {
      const late = (): Error => new Error('the resolver did not answer')
      const found = await withDeadline(this.#needs.clock, RESOLVE_MS_MAX, signal, late, (until) =>
        this.#needs.resolveHost(name, until),
      )
      return found.flatMap((address) => canonicalAddress(address) ?? [])
    } catch {
      // An unknown name is simply not proved.
      return []
    }
  }

  #logLeftOut(wanted: { ipAddresses: readonly string[]; dnsNames: readonly string[] }, proven: ProvenNames): void {
    const addresses = wanted.ipAddresses.filter((text) => !proven.ipAddresses.includes(canonicalAddress(text) ?? text))
    const names = wanted.dnsNames.filter((name) => !proven.dnsNames.includes(name.toLowerCase()))
    if (addresses.length === 0 && names.length === 0) return
    this.#needs.log.info('Left out of the certificate because it was not proved', { addresses, names })
  }
}
