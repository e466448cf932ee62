import { createPrivateKey, type KeyObject } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { utf8 } from '../base/bytes.ts'
import type { Component } from '../base/component.ts'
import { type ControlStore, getJson, jsonValue } from '../base/control-store.ts'
import type { Credentials, TlsMaterial } from '../base/credentials.ts'
import { codeOf, messageOf, PkiError } from '../base/errors.ts'
import type { NodeId, NodeIdentity, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import { type Clock, delay } from '../base/time.ts'
import type { CertificateOutcome, CertificateSource, JoinAnew } from './certificate-source.ts'
import { renewalTimeMs } from './renewal-schedule.ts'
import { rootFingerprints } from './succession.ts'
import type { Waiting } from './waiting.ts'
import { type CertificateFacts, readCertificate, rootFingerprint } from './x509/certificate-facts.ts'
import { createCsr, generateNodeKey } from './x509/csr.ts'
import { splitCertificates } from './x509/pem.ts'

const REQUESTED_KEY = 'certs/requested'
const JOINING_KEY = 'certs/joining'

/** Retries begin fast, since a coordinator often starts at the same moment, and settle at two a minute. */
const RETRY_MS_MIN = 250
const RETRY_MS_MAX = 30_000
/** The coordinator holds a pending request open itself; this only keeps a broken one from being asked in a loop. */
const PENDING_PAUSE_MS = 1_000
/** The wall clock is looked at this often, because it jumps: a laptop sleeps, somebody sets the time. */
const RECHECK_MS_MAX = 60_000

/** A join that was refused so may still be admitted by a person. */
const ASKS_PERSON: ReadonlySet<string | undefined> = new Set([
  'P2P_PKI_NODE_ID_TAKEN',
  'P2P_PKI_PROOF_REJECTED',
  'P2P_PKI_TOKEN_EXPIRED',
  'P2P_PKI_TOKEN_INVALID',
  'P2P_PKI_TOKEN_USED_UP',
])

/** A node's key and certificate: kept in the control store and renewed in place, without a restart. */
export interface ManagedIdentity extends Credentials {
  /** Who the node is, as its certificate says. */
  identity(): NodeIdentity
  certificate(): CertificateFacts
  /** To be called when the host's addresses or names may have changed; renews when what the certificate was requested for has. */
  addressesChanged(): void
  /** To be called when the CA may be another one than this node knows; asks the coordinator, until it answers, and follows. */
  trustMayHaveChanged(): void
  /** Renews at once, for example because the certificate was revoked, or a person wants it; a coordinator that is away is asked again. */
  renewNow(): void
  /** What the node trusts, and which CA its own certificate is of. */
  trust(): IdentityTrust
}

export interface IdentityTrust {
  /** Fingerprints of the roots. */
  roots: string[]
  /** Key identifier of the issuing CA of the node's certificate, hex. */
  issuerId: string
}

export interface ManagedIdentityNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
}

export interface ManagedIdentityOptions {
  nodeId: NodeId
  role: NodeRole
  /** What the certificate should name, at the moment of asking. */
  dnsNames: () => readonly string[]
  ipAddresses: () => readonly string[]
  /** Where key and certificates are kept; default {@link IDENTITY_ENTRIES}. */
  entries?: IdentityEntries
  /** Told why there is no certificate yet. */
  onWaiting?: (waiting: Waiting) => void
}

/** Keys in the store of the node's PEM texts. They are written in one transaction, so that key and certificate always fit. */
export interface IdentityEntries {
  certificate: string
  key: string
  trust: string
}

const IDENTITY_ENTRIES: IdentityEntries = {
  certificate: 'certs/node_cert.cer',
  key: 'certs/node_key.key',
  trust: 'certs/ca_cert.cer',
}

/** What the certificate was asked for with. */
interface StoredRequest {
  requested: RequestedNames
  /** Id of the join token configured when the certificate was obtained. */
  tokenId?: string
}

interface StoredIdentity extends TlsMaterial, StoredRequest {}

interface RequestedNames {
  dnsNames: readonly string[]
  ipAddresses: readonly string[]
}

/** A join that has begun: the key, so that a certificate whose answer got lost can be fetched again. */
interface StoredJoining {
  nodeId: NodeId
  keyPem: string
  /** Trusted on first use. */
  rootPem?: string
}

interface Adopted {
  stored: StoredIdentity
  facts: CertificateFacts & { identity: NodeIdentity }
  trust: IdentityTrust
  renewAtMs: number
}

/** {@link ManagedIdentity} over any {@link CertificateSource}. */
export class RenewedIdentity implements ManagedIdentity, Component {
  readonly name = 'identity'
  readonly #needs: ManagedIdentityNeeds
  readonly #source: CertificateSource
  readonly #options: ManagedIdentityOptions
  readonly #entries: IdentityEntries
  readonly #listeners = new Set<() => void>()
  readonly #stopped = new AbortController()
  #adopted: Adopted | undefined
  #renewing: Promise<void> | undefined
  /** Ends the pause between two looks at the clock. */
  #wake: (() => void) | undefined
  /** A refusal that will not change by itself: no more attempts until something else changes. */
  #isRefused = false
  /** The CA may be another one than is known here. */
  #isTrustInDoubt = false
  #trustFailures = 0
  /** The coordinator has no record of the certificate: how the node asks for another one, until it has it. */
  #anew: JoinAnew | undefined
  #lastObstacle: string | undefined

  constructor(needs: ManagedIdentityNeeds, source: CertificateSource, options: ManagedIdentityOptions) {
    this.#needs = needs
    this.#source = source
    this.#options = options
    this.#entries = options.entries ?? IDENTITY_ENTRIES
  }

  /**
   * Resolves once there is a certificate that is valid now: from the store, or else from the source,
   * however long that takes.
   * @throws {PkiError} a refusal: P2P_PKI_TOKEN_*, P2P_PKI_PROOF_REJECTED, P2P_PKI_NODE_ID_TAKEN, P2P_PKI_REJECTED,
   *   P2P_PKI_REVOKED, P2P_PKI_UNTRUSTED_COORDINATOR …
   */
  async start(signal: AbortSignal): Promise<void> {
    const until = AbortSignal.any([signal, this.#stopped.signal])
    await this.#load()
    try {
      if (!this.#isValidNow()) await this.#renew(until)
    } finally {
      await this.#source.release()
    }
    this.#renewing = this.#renewWhenDue(this.#stopped.signal)
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new PkiError('P2P_PKI_BUSY', 'The node is stopping'))
    await this.#renewing
  }

  current(): TlsMaterial {
    return this.#now().stored
  }

  identity(): NodeIdentity {
    return this.#now().facts.identity
  }

  certificate(): CertificateFacts {
    return this.#now().facts
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  addressesChanged(): void {
    this.#isRefused = false
    this.#wake?.()
  }

  trustMayHaveChanged(): void {
    this.#isTrustInDoubt = true
    this.#trustFailures = 0
    this.#wake?.()
  }

  trust(): IdentityTrust {
    return this.#now().trust
  }

  renewNow(): void {
    if (this.#adopted) this.#adopted.renewAtMs = Number.NEGATIVE_INFINITY
    this.addressesChanged()
  }

  async #load(): Promise<void> {
    const stored = await this.#stored()
    if (!stored) return
    const { identity } = readCertificate(stored.certificateChainPem)
    const { nodeId, role } = this.#options
    const isSameNode = identity?.nodeId === nodeId && identity.role === role
    const isSameCluster =
      !this.#hasNewToken(stored) || rootFingerprints(stored.trustPem).includes(this.#source.token?.caFingerprint ?? '')
    if (isSameNode && isSameCluster) return this.#adopt(stored)
    const what = isSameNode
      ? 'The join token is for another cluster'
      : 'The stored certificate is for another node id or role'
    this.#needs.log.warning(`${what}; joining anew`, { stored: identity, configured: { nodeId, role } })
  }

  /** Whether the operator has given the node a join token since it got its certificate. */
  #hasNewToken(stored: StoredIdentity): boolean {
    return this.#source.token !== undefined && this.#source.token.id !== stored.tokenId
  }

  async #stored(): Promise<StoredIdentity | undefined> {
    const { store } = this.#needs
    const { certificate, key, trust } = this.#entries
    const [certificateChainPem, keyPem, trustPem] = await Promise.all(
      [certificate, key, trust].map((name) => getText(store, name)),
    )
    const request = await getJson<StoredRequest>(store, REQUESTED_KEY)
    if (certificateChainPem === undefined || keyPem === undefined || trustPem === undefined || !request)
      return undefined
    return { certificateChainPem, keyPem, trustPem, ...request }
  }

  #adopt(stored: StoredIdentity): void {
    const facts = readCertificate(stored.certificateChainPem)
    assert(facts.identity, 'a certificate was checked to name a node before it was stored')
    const renewAtMs = renewalTimeMs(facts, this.#needs.random.float())
    const trust = trustOf(stored)
    this.#adopted = { stored, facts: { ...facts, identity: facts.identity }, trust, renewAtMs }
  }

  #now(): Adopted {
    assert(this.#adopted, 'the identity is used after its start')
    return this.#adopted
  }

  #isValidNow(): boolean {
    const nowMs = this.#needs.clock.wallMs()
    return this.#adopted !== undefined && isWithin(this.#adopted.facts, nowMs)
  }

  async #renewWhenDue(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (this.#isDue()) await this.#renewInBackground(signal)
      else if (this.#isTrustInDoubt) await this.#refreshTrust(signal)
      else await this.#pause(signal)
    }
  }

  #isDue(): boolean {
    const { stored, renewAtMs } = this.#now()
    if (this.#isRefused) return false
    if (this.#needs.clock.wallMs() >= renewAtMs) return true
    return !isSameNames(stored.requested, this.#wantedNames()) || this.#hasNewToken(stored)
  }

  /** Asks what is to be trusted now; a new CA means a new certificate. A coordinator that is away is asked again. */
  async #refreshTrust(signal: AbortSignal): Promise<void> {
    const { stored } = this.#now()
    // Cleared first: what changes while the answer is on its way is asked about again.
    this.#isTrustInDoubt = false
    try {
      const { trustPem, issuerId } = await this.#source.trust(stored, signal)
      this.#trustFailures = 0
      if (String(rootFingerprints(trustPem)) !== String(rootFingerprints(stored.trustPem)))
        await this.#keepTrust(trustPem)
      if (issuerId !== this.trust().issuerId) this.renewNow()
    } catch (error) {
      if (signal.aborted) return
      if (isRefusal(error)) {
        const reason = messageOf(error)
        this.#needs.log.error('The coordinator shows a CA that this node has no reason to trust', { reason })
        return
      }
      this.#isTrustInDoubt = true
      await this.#sleep(this.#retryMs(this.#trustFailures++), signal)
    }
  }

  async #keepTrust(trustPem: string): Promise<void> {
    const { store, log } = this.#needs
    const stored = { ...this.#now().stored, trustPem }
    await store.transact({ operations: [{ type: 'put', key: this.#entries.trust, value: utf8(trustPem) }] })
    const { renewAtMs } = this.#now()
    this.#adopted = { ...this.#now(), stored, trust: trustOf(stored), renewAtMs }
    log.info('Trusting other roots from now on', { roots: this.trust().roots })
    this.#notify()
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { clock } = this.#needs
    const leftMs = this.#isRefused ? RECHECK_MS_MAX : this.#now().renewAtMs - clock.wallMs()
    return this.#sleep(Math.min(leftMs, RECHECK_MS_MAX), signal)
  }

  /** Ends early when something has changed. */
  async #sleep(ms: number, signal: AbortSignal): Promise<void> {
    const { clock } = this.#needs
    const woken = new AbortController()
    this.#wake = () => woken.abort()
    await delay(clock, ms, AbortSignal.any([signal, woken.signal])).catch(() => {})
    this.#wake = undefined
  }

  async #renewInBackground(signal: AbortSignal): Promise<void> {
    const { log } = this.#needs
    try {
      await this.#renew(signal)
    } catch (error) {
      if (signal.aborted) return
      this.#isRefused = true
      const { notAfterMs } = this.certificate()
      const reason = messageOf(error)
      log.critical('The certificate will not be renewed', { code: codeOf(error), reason, notAfterMs })
    } finally {
      await this.#source.release()
    }
  }

  /** Tries until there is a new certificate, or the present one is found valid after all (the clock was set right). */
  async #renew(signal: AbortSignal): Promise<void> {
    const wasValid = this.#isValidNow()
    for (let failures = 0, attempts = 0; ; attempts++) {
      try {
        if (await this.#attempt(signal)) return
        failures = 0
        // The first answer only says that the request waits; from the next on the coordinator holds it open.
        if (attempts > 0) await delay(this.#needs.clock, PENDING_PAUSE_MS, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (isRefusal(error)) throw error
        this.#report(error)
        await delay(this.#needs.clock, this.#retryMs(failures++), signal)
        if (!wasValid && this.#isValidNow()) return
      }
    }
  }

  /** @returns whether there is a new certificate; otherwise the request waits for a person */
  async #attempt(signal: AbortSignal): Promise<boolean> {
    const current = this.#adopted?.stored
    if (!current) return this.#join(signal)
    if (this.#anew) return this.#joinAnew(this.#anew, signal)
    try {
      const key = await generateNodeKey()
      return await this.#obtain({ key, current, rootPem: undefined }, signal)
    } catch (error) {
      // Revoked, but somebody has given this node a new token since: it may join again, with a new key.
      if (codeOf(error) === 'P2P_PKI_REVOKED' && this.#hasNewToken(current)) return this.#join(signal)
      if (codeOf(error) !== 'P2P_PKI_PROOF_REJECTED') throw error
      const { notAfterMs } = this.certificate()
      const message =
        'The coordinator does not renew the certificate; joining anew, while it lasts it goes on to be used'
      this.#needs.log.warning(message, { reason: messageOf(error), notAfterMs })
      this.#anew = { trustPem: current.trustPem, asksPerson: false }
      return this.#joinAnew(this.#anew, signal)
    }
  }

  /** By what admits the node; where that does not, for example because its id is held by a key it had before, a person decides. */
  async #joinAnew(anew: JoinAnew, signal: AbortSignal): Promise<boolean> {
    try {
      return await this.#join(signal, anew)
    } catch (error) {
      if (anew.asksPerson || !ASKS_PERSON.has(codeOf(error))) throw error
      this.#needs.log.warning('A person must admit this node', { reason: messageOf(error) })
      this.#anew = { ...anew, asksPerson: true }
      return this.#join(signal, this.#anew)
    }
  }

  async #join(signal: AbortSignal, anew?: JoinAnew): Promise<boolean> {
    const joining = await this.#joining()
    try {
      return await this.#obtain(
        { key: createPrivateKey(joining.keyPem), current: undefined, rootPem: joining.rootPem, anew },
        signal,
      )
    } catch (error) {
      // The next start asks with a new key, which is a new request to the person who decides.
      const isSpent = ['P2P_PKI_REJECTED', 'P2P_PKI_REVOKED'].includes(codeOf(error) ?? '')
      if (isSpent) await this.#needs.store.transact({ operations: [{ type: 'delete', key: JOINING_KEY }] })
      throw error
    }
  }

  /** The key to join with, stored before it is used. */
  async #joining(): Promise<StoredJoining> {
    const { store } = this.#needs
    const { nodeId } = this.#options
    const stored = await getJson<StoredJoining>(store, JOINING_KEY)
    if (stored?.nodeId === nodeId) return stored
    const joining: StoredJoining = { nodeId, keyPem: toKeyPem(await generateNodeKey()) }
    await store.transact({ operations: [{ type: 'put', key: JOINING_KEY, value: jsonValue(joining) }] })
    return joining
  }

  async #obtain(
    from: {
      key: KeyObject
      current: TlsMaterial | undefined
      rootPem: string | undefined
      anew?: JoinAnew | undefined
    },
    signal: AbortSignal,
  ): Promise<boolean> {
    const requested = this.#wantedNames()
    const wish = {
      ...from,
      ...requested,
      firstUseRootPem: from.rootPem,
      csrPem: createCsr(from.key, this.#options.nodeId),
    }
    const outcome = await this.#source.obtain(wish, signal)
    this.#reportSuccess()
    if (outcome.status === 'issued') await this.#switch(from.key, outcome, requested)
    else if (outcome.rootPem !== from.rootPem) await this.#keepFirstUse(from.key, outcome.rootPem)
    return outcome.status === 'issued'
  }

  async #keepFirstUse(key: KeyObject, rootPem: string): Promise<void> {
    const joining: StoredJoining = { nodeId: this.#options.nodeId, keyPem: toKeyPem(key), rootPem }
    await this.#needs.store.transact({ operations: [{ type: 'put', key: JOINING_KEY, value: jsonValue(joining) }] })
  }

  /** Durable first, then in use. */
  async #switch(
    key: KeyObject,
    issued: CertificateOutcome & { status: 'issued' },
    requested: RequestedNames,
  ): Promise<void> {
    const { store, log } = this.#needs
    const tokenId = this.#source.token?.id
    const request: StoredRequest = { requested, ...(tokenId !== undefined && { tokenId }) }
    const { certificateChainPem, trustPem } = issued
    const stored: StoredIdentity = { certificateChainPem, keyPem: toKeyPem(key), trustPem, ...request }
    const { certificate, key: keyEntry, trust } = this.#entries
    await store.transact({
      operations: [
        { type: 'put', key: certificate, value: utf8(stored.certificateChainPem) },
        { type: 'put', key: keyEntry, value: utf8(stored.keyPem) },
        { type: 'put', key: trust, value: utf8(stored.trustPem) },
        { type: 'put', key: REQUESTED_KEY, value: jsonValue(request) },
        { type: 'delete', key: JOINING_KEY },
      ],
    })
    this.#adopt(stored)
    this.#anew = undefined
    const { serial, notAfterMs, dnsNames, ipAddresses } = this.certificate()
    log.info('Certificate in use', { serial, notAfterMs, dnsNames, ipAddresses })
    this.#notify()
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }

  #wantedNames(): RequestedNames {
    return { dnsNames: [...this.#options.dnsNames()].sort(), ipAddresses: [...this.#options.ipAddresses()].sort() }
  }

  /** Doubles from try to try, up to a limit, half of it by chance. */
  #retryMs(failures: number): number {
    const capMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(failures, 16))
    return capMs * (0.5 + this.#needs.random.float() / 2)
  }

  /** Says what stands in the way once, not at each try. */
  #report(error: unknown): void {
    const obstacle = codeOf(error) ?? 'other'
    if (obstacle === this.#lastObstacle) return
    this.#lastObstacle = obstacle
    this.#needs.log.warning('No certificate yet; trying again until it works', {
      code: codeOf(error),
      reason: messageOf(error),
    })
    if (!this.#adopted)
      this.#options.onWaiting?.({ type: 'unreachable', addresses: this.#source.addresses, reason: messageOf(error) })
  }

  #reportSuccess(): void {
    if (this.#lastObstacle !== undefined) this.#needs.log.info('The coordinator answers again')
    this.#lastObstacle = undefined
  }
}

async function getText(store: ControlStore, key: string): Promise<string | undefined> {
  const entry = await store.get(key)
  return entry && Buffer.from(entry.value).toString('utf8')
}

function isRefusal(error: unknown): boolean {
  return error instanceof PkiError && !error.facts.retryable
}

function trustOf({ certificateChainPem, trustPem }: TlsMaterial): IdentityTrust {
  const [, issuingPem] = splitCertificates(certificateChainPem)
  return {
    roots: rootFingerprints(trustPem),
    issuerId: issuingPem === undefined ? '' : rootFingerprint(issuingPem),
  }
}

function isWithin(facts: CertificateFacts, nowMs: number): boolean {
  return facts.notBeforeMs <= nowMs && nowMs < facts.notAfterMs
}

function isSameNames(a: RequestedNames, b: RequestedNames): boolean {
  return String(a.dnsNames) === String(b.dnsNames) && String(a.ipAddresses) === String(b.ipAddresses)
}

function toKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' })
}
