import { assert } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import type { ControlStore, Operation, Transaction } from '../base/control-store.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { CaDescription, CaRotationPhase, IssuedCertificate, TrustAnswer } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId, NodeIdentity, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { AuthorityStore, BACKDATE_MS_MAX, type StoredRotation, wholeSecond } from './authority-store.ts'
import { Gate } from './gate.ts'
import { IssuedRegister, type IssuedRecord, type NodeHolder, type Registration } from './issued-register.ts'
import { createLeafSigner, type LeafSigner } from './x509/leaf.ts'
import { type CertificateSigningRequest, readCsr } from './x509/read-csr.ts'
import { serialFrom } from './x509/serial.ts'
import type { ServerSigningRequest, Signer, Validity } from './x509/signing.ts'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
/** A year, the Python program's default. */
const LEAF_LIFETIME_MS = 365 * DAY_MS
const LEAF_LIFETIME_MS_MIN = MINUTE_MS
/** A list is made anew at each revocation, and otherwise when half of its time is over. */
const CRL_LIFETIME_MS = DAY_MS
/** Reading and signing occupy the event loop; one after the other, each in a turn of its own, other work comes in between. */
const SIGNING_MAX = 1
/** Records are written together, so that they share the journal's commits. */
const RECORDING_MAX = 8
const WAITING_MAX = 4_096
/** Each failure to record means that another one succeeded; with {@link RECORDING_MAX} at a time that ends soon. */
const RECORDING_ATTEMPTS_MAX = 32
/** Each must be remembered until it ends, so a node that renews in a loop is stopped somewhere; a laptop that changes its address three times a day is not. */
const VALID_PER_NODE_MAX = 1_000

export interface CertificateAuthorityNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
}

export interface CertificateAuthorityOptions {
  /** Name of the trust domain, decided at the first start. Default `p2p-` and 8 hex digits of the root key's hash. */
  cluster?: string
  /** Life of a node certificate, at least a minute. Default a year. */
  leafLifetimeMs?: number
  /** Where others fetch the revocation list, for example `https://coordinator:8001/internal/crl`. Left out of the certificates when absent. */
  crlUrl?: string
  /** Key in the store of the root's private key, PEM, which only signs issuing CAs. Default `certs/ca_key.key`. */
  rootKeyEntry?: string
}

/** Decided at the last moment before a certificate is recorded; what it was decided on must not have changed by then. */
export interface Admission {
  holder: NodeHolder | undefined
  approvedDnsNames?: string[]
  /** Revokes the earlier certificates of the node id. */
  isReplacement?: boolean
  /** Made durable together with the certificate, for example the use of a token. */
  alongside?: Transaction
}

export interface IssueRequest {
  csr: CertificateSigningRequest
  identity: Pick<NodeIdentity, 'nodeId' | 'role'>
  /** Proved or approved names; never those of the CSR. */
  dnsNames: readonly string[]
  ipAddresses: readonly string[]
  /** Throws the refusal, if any. Asked again when another change came first. Default: the node id must not be held in another role. */
  admit?: () => Promise<Admission>
}

/** All of it proved. */
export interface ServerIssueRequest {
  csr: CertificateSigningRequest
  /** Whose it is, for the register: `acme:` and an account. */
  holder: string
  dnsNames: readonly string[]
  ipAddresses: readonly string[]
  /** An earlier end than the usual one, Unix milliseconds. */
  notAfterMs?: number
  /** Made durable together with the certificate; told its serial and chain. */
  alongside?: (issued: IssuedChain) => Operation[]
}

/** PEM texts. */
export interface IssuedChain {
  /** Leaf, issuing CA, and after a rotation the link from the root before. */
  certificateChainPem: string
  rootPem: string
  /** All roots to be trusted, the one above first. */
  trustPem: string
  record: IssuedCertificate
}

/**
 * The cluster's certificate authority: a root that signs one issuing CA, which signs the nodes.
 * Usable once started.
 */
export interface CertificateAuthority {
  readonly cluster: string
  readonly trust: TrustAnswer
  /** Serials revoked; a look-up in memory. */
  readonly revocations: RevocationList
  /** Serials of revoked certificates that have not expired, newest revocation first. */
  revokedSerials(): string[]
  /** @throws {PkiError} P2P_PKI_CSR_REJECTED, P2P_PKI_BUSY */
  readCsr(pem: string): Promise<CertificateSigningRequest>
  /**
   * Signs and records a certificate; resolves once the record is durable.
   * @throws {PkiError} P2P_PKI_BUSY, or what `admit` throws
   * @throws {StorageError} as {@link ControlStore.transact}; nothing was issued
   */
  issue(request: IssueRequest): Promise<IssuedChain>
  /** @throws {PkiError} P2P_PKI_CSR_REJECTED, P2P_PKI_BUSY */
  readServerCsr(der: Uint8Array): Promise<ServerSigningRequest>
  /**
   * Signs and records a certificate for a server that is no node.
   * @throws {PkiError} P2P_PKI_BUSY; {StorageError}: nothing was issued
   */
  issueServer(request: ServerIssueRequest): Promise<IssuedChain>
  /** @returns false when it was revoked before, or is not known */
  revokeSerial(serial: string): Promise<boolean>
  /** @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN when no certificate was issued to the node */
  revokeNode(nodeId: NodeId): Promise<IssuedCertificate[]>
  /**
   * The list of an issuing CA, DER; without a key identifier, of the one that issues now.
   * @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN
   */
  crl(issuerId?: string): Promise<Uint8Array>
  /** Issuing CAs whose certificates may still be in use, PEM, the current one first. */
  issuers(): string[]
  /** Key identifier of the CA that issues now, SHA-256 of its public key, hex. */
  readonly issuingId: string
  /** Whether the certificate was issued by the CA that issues now. */
  isOfCurrentCa(serial: string): boolean
  /** Ids of nodes that hold a valid certificate. */
  validNodes(): NodeId[]
  /** The latest rotation. */
  readonly rotation: StoredRotation | undefined
  /** @throws {PkiError} P2P_PKI_ROTATION_RUNNING */
  beginRotation(kind: StoredRotation['kind']): Promise<void>
  /** Goes to a phase of the rotation, or leaves nodes behind. Durable before listeners are told. */
  advanceRotation(change: { phase?: CaRotationPhase; leftBehind?: readonly NodeId[] }): Promise<void>
  /** Told when what is to be trusted, or the CA that issues, has changed. @returns a function that unregisters */
  onTrustChange(listener: () => void): () => void
  /** The issued certificate with this serial, if it is kept. */
  issued(serial: string): IssuedRecord | undefined
  /** Who holds a node id. */
  holder(nodeId: NodeId): NodeHolder | undefined
  /** Fingerprints of the keys the node was certified with. */
  keysOf(nodeId: NodeId): string[]
  isRevokedKey(keyFingerprint: string): boolean
  describe(): CaDescription
}

/** Loads the CA from the control store, or creates it there on first start. */
export function createCertificateAuthority(
  needs: CertificateAuthorityNeeds,
  options: CertificateAuthorityOptions = {},
): CertificateAuthority & Component {
  return new StoredCertificateAuthority(needs, options)
}

type NodeRecord = Registration['certificate']

class StoredCertificateAuthority implements CertificateAuthority, Component {
  readonly name = 'certificate authority'
  readonly #needs: CertificateAuthorityNeeds
  readonly #options: CertificateAuthorityOptions
  readonly #leafLifetimeMs: number
  readonly #register: IssuedRegister
  readonly #signing = new Gate('certificate requests', SIGNING_MAX, WAITING_MAX)
  readonly #recording = new Gate('certificate requests', RECORDING_MAX, WAITING_MAX)
  readonly #store: AuthorityStore
  readonly #trustListeners = new Set<() => void>()
  readonly #signers = new Map<string, Promise<Signer>>()
  readonly #leafSigners = new Map<string, LeafSigner>()
  readonly #crls = new Map<string, { der: Uint8Array; madeAtMs: number }>()
  #crlNumber = 0
  #revocationCount = 0

  constructor(needs: CertificateAuthorityNeeds, options: CertificateAuthorityOptions) {
    this.#needs = needs
    this.#options = options
    this.#leafLifetimeMs = options.leafLifetimeMs ?? LEAF_LIFETIME_MS
    assert(this.#leafLifetimeMs >= LEAF_LIFETIME_MS_MIN, 'a leaf lives for at least a minute')
    this.#store = new AuthorityStore(needs, { cluster: options.cluster, rootKeyEntry: options.rootKeyEntry })
    this.#register = new IssuedRegister(needs.store)
    this.#register.onChange(() => {
      this.#revocationCount++
      this.#crls.clear()
    })
  }

  async start(): Promise<void> {
    const { log } = this.#needs
    await this.#store.load()
    await this.#register.load()
    this.#register.revokeIssuing(this.#store.droppedSerials())
    const { cluster } = this.#options
    if (cluster !== undefined && cluster !== this.cluster) {
      log.warning('The cluster keeps the name it was created with', { cluster: this.cluster, configured: cluster })
    }
    log.info('Certificate authority ready', { cluster: this.cluster, fingerprint: this.trust.ca_fingerprint })
  }

  async stop(): Promise<void> {}

  get cluster(): string {
    return this.#store.cluster
  }

  get trust(): TrustAnswer {
    return this.#store.trust()
  }

  revokedSerials(): string[] {
    const nowMs = this.#needs.clock.wallMs()
    const leaves = this.#register
      .certificates()
      // A server's certificate opens no channel: whoever meets it asks the CRL.
      .filter(({ role }) => role !== 'server')
      .flatMap(({ serial, revoked_at_ms: atMs, not_after_ms: endMs }) =>
        atMs !== undefined && endMs > nowMs ? [{ serial, atMs }] : [],
      )
      .sort((a, b) => b.atMs - a.atMs)
      .map(({ serial }) => serial)
    return [...this.#store.droppedSerials(), ...leaves]
  }

  get revocations(): RevocationList {
    return this.#register
  }

  issued(serial: string): IssuedRecord | undefined {
    return this.#register.certificate(serial)
  }

  holder(nodeId: NodeId): NodeHolder | undefined {
    return this.#register.holder(nodeId)
  }

  keysOf(nodeId: NodeId): string[] {
    return this.#register.keysOf(nodeId)
  }

  isRevokedKey(keyFingerprint: string): boolean {
    return this.#register.isRevokedKey(keyFingerprint)
  }

  readCsr(pem: string): Promise<CertificateSigningRequest> {
    return this.#signing.run(async () => {
      await nextTurn()
      return readCsr(pem)
    })
  }

  async issue(request: IssueRequest): Promise<IssuedChain> {
    this.#checkValidCount(request.identity.nodeId)
    const { chainPem, record } = await this.#signing.run(async () => {
      await nextTurn()
      return this.#sign(request)
    })
    await this.#recording.run(() => this.#record(request, record))
    return this.#chainOf(chainPem, record)
  }

  readServerCsr(der: Uint8Array): Promise<ServerSigningRequest> {
    return this.#signing.run(async () => (await import('./x509/signing.ts')).readServerCsr(der))
  }

  async issueServer(request: ServerIssueRequest): Promise<IssuedChain> {
    const { csr, holder, dnsNames, ipAddresses, alongside } = request
    this.#checkValidCount(holder)
    const signing = await import('./x509/signing.ts')
    const validity = this.#validity()
    if (request.notAfterMs !== undefined) {
      validity.notAfterMs = Math.min(validity.notAfterMs, wholeSecond(request.notAfterMs))
    }
    const serial = serialFrom(this.#needs.random.bytes(20))
    const issuer = this.issuingId
    const chainPem = this.#store.chainPem
    const leafPem = await this.#signing.run(async () =>
      signing.signServerLeaf(await this.#signer(issuer), {
        publicKeyDer: csr.publicKeyDer,
        dnsNames,
        ipAddresses,
        serial,
        validity,
        crlUrl: this.#crlUrl(issuer),
      }),
    )
    const record: IssuedRecord = {
      serial,
      node_id: holder,
      role: 'server',
      names: [...dnsNames, ...ipAddresses],
      not_before_ms: validity.notBeforeMs,
      not_after_ms: validity.notAfterMs,
      key_fingerprint: csr.keyFingerprint,
      issuer,
    }
    const issued = this.#chainOf(leafPem + chainPem, record)
    const operations = alongside?.(issued) ?? []
    await this.#recording.run(() => this.#register.registerServer(record, operations, this.#needs.clock.wallMs()))
    this.#needs.log.info('Certificate issued', { holder, names: record.names, serial, notAfterMs: record.not_after_ms })
    return issued
  }

  async revokeSerial(serial: string): Promise<boolean> {
    const isRevoked = await this.#register.revokeSerial(serial, this.#needs.clock.wallMs())
    if (isRevoked) this.#needs.log.warning('Certificate revoked', { serial })
    return isRevoked
  }

  async revokeNode(nodeId: NodeId): Promise<IssuedCertificate[]> {
    if (!this.#register.holder(nodeId)) {
      throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `No certificate was issued to a node named ${nodeId}`, { nodeId })
    }
    const revoked = await this.#register.revokeNode(nodeId, this.#needs.clock.wallMs())
    this.#needs.log.warning('Certificates revoked', { nodeId, serials: revoked.map(({ serial }) => serial) })
    return revoked.map(publicRecord)
  }

  async crl(issuerId = this.issuingId): Promise<Uint8Array> {
    if (!this.#store.issuer(issuerId)) {
      throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', 'There is no issuing CA with this key identifier, or no longer')
    }
    const nowMs = this.#needs.clock.wallMs()
    const made = this.#crls.get(issuerId)
    if (made && Math.abs(nowMs - made.madeAtMs) < CRL_LIFETIME_MS / 2) return made.der
    const revocationCount = this.#revocationCount
    const der = await this.#signCrl(issuerId, nowMs)
    // A list made while something was revoked is right for this answer only.
    if (revocationCount === this.#revocationCount) this.#crls.set(issuerId, { der, madeAtMs: nowMs })
    return der
  }

  issuers(): string[] {
    return this.#store.issuers().map(({ certificatePem }) => certificatePem)
  }

  get issuingId(): string {
    return this.#store.issuingId
  }

  isOfCurrentCa(serial: string): boolean {
    const record = this.#register.certificate(serial)
    return record !== undefined && this.#issuerOf(record) === this.issuingId
  }

  validNodes(): NodeId[] {
    return this.#register.validNodes(this.#needs.clock.wallMs())
  }

  get rotation(): StoredRotation | undefined {
    return this.#store.rotation
  }

  async beginRotation(kind: StoredRotation['kind']): Promise<void> {
    await this.#store.begin(kind, this.#lastEndMs())
    this.#trustChanged()
  }

  async advanceRotation(change: { phase?: CaRotationPhase; leftBehind?: readonly NodeId[] }): Promise<void> {
    await this.#store.advance(change, this.#lastEndMs())
    this.#register.revokeIssuing(this.#store.droppedSerials())
    this.#trustChanged()
  }

  onTrustChange(listener: () => void): () => void {
    this.#trustListeners.add(listener)
    return () => this.#trustListeners.delete(listener)
  }

  #trustChanged(): void {
    for (const listener of this.#trustListeners) listener()
  }

  /** When the last of the certificates issued so far ends; one that is being signed ends with those at the latest that are signed now. */
  #lastEndMs(): number {
    const ends = this.#register.certificates().map((record) => record.not_after_ms)
    return Math.max(this.#needs.clock.wallMs() + this.#leafLifetimeMs, ...ends) + CRL_LIFETIME_MS
  }

  #issuerOf(record: IssuedRecord): string {
    return record.issuer ?? this.#store.firstIssuingId
  }

  describe(): CaDescription {
    return {
      ...this.trust,
      not_after_ms: this.#store.notAfterMs,
      leaf_lifetime_ms: this.#leafLifetimeMs,
      issued: this.#register.certificates().map(publicRecord),
    }
  }

  #sign(request: IssueRequest): { chainPem: string; record: NodeRecord } {
    const { cluster, issuingId: issuer } = this
    const { chainPem } = this.#store
    const { identity, csr } = request
    const validity = this.#validity()
    const serial = serialFrom(this.#needs.random.bytes(20))
    const leafPem = this.#leafSigner(issuer).sign({
      publicKeyDer: csr.publicKeyDer,
      identity: { cluster, ...identity },
      dnsNames: request.dnsNames,
      ipAddresses: request.ipAddresses,
      serial,
      validity,
      crlUrl: this.#crlUrl(issuer),
    })
    const record: NodeRecord = {
      serial,
      node_id: identity.nodeId,
      role: identity.role,
      not_before_ms: validity.notBeforeMs,
      not_after_ms: validity.notAfterMs,
      key_fingerprint: csr.keyFingerprint,
      issuer,
    }
    return { chainPem: leafPem + chainPem, record }
  }

  async #record(request: IssueRequest, certificate: NodeRecord): Promise<void> {
    const { nodeId, role } = request.identity
    const admit = request.admit ?? (() => this.#admitOwnRole(nodeId, role))
    for (let attempt = 1; attempt <= RECORDING_ATTEMPTS_MAX; attempt++) {
      const admission = await admit()
      const isRecorded = await this.#register.register({
        certificate,
        holder: admission.holder,
        approvedDnsNames: admission.approvedDnsNames ?? [],
        isReplacement: admission.isReplacement ?? false,
        alongside: admission.alongside,
        nowMs: this.#needs.clock.wallMs(),
      })
      if (!isRecorded) continue
      const { serial, not_after_ms: notAfterMs } = certificate
      this.#needs.log.info('Certificate issued', { nodeId, role, serial, notAfterMs })
      return
    }
    throw new PkiError('P2P_PKI_BUSY', `The certificate of ${nodeId} could not be recorded: too many changes at once`)
  }

  async #admitOwnRole(nodeId: NodeId, role: NodeRole): Promise<Admission> {
    const holder = this.#register.holder(nodeId)
    if (holder && holder.role !== role) {
      throw new PkiError(
        'P2P_PKI_NODE_ID_TAKEN',
        `The node id ${nodeId} belongs to a ${holder.role}; choose another for this ${role}`,
      )
    }
    return { holder }
  }

  /** Ends with the CA at the latest. X.509 counts whole seconds. */
  #validity(): Validity {
    const nowMs = this.#needs.clock.wallMs()
    // Half of a short life, so that a 60-second certificate does not claim to be six minutes old.
    const backdateMs = Math.min(BACKDATE_MS_MAX, this.#leafLifetimeMs / 2)
    const notAfterMs = Math.min(nowMs + this.#leafLifetimeMs, this.#store.notAfterMs)
    if (notAfterMs <= nowMs) {
      throw new PkiError(
        'P2P_PKI_CLOCK_SKEW',
        'The certificate authority has expired, or the clock of this machine is years ahead',
      )
    }
    return { notBeforeMs: wholeSecond(nowMs - backdateMs), notAfterMs: wholeSecond(notAfterMs) }
  }

  async #signCrl(issuerId: string, nowMs: number): Promise<Uint8Array> {
    const { signCrl } = await import('./x509/signing.ts')
    // The clock numbers the lists, so that the number needs no record; it grows even when the clock is set back meanwhile.
    this.#crlNumber = Math.max(this.#crlNumber + 1, Math.floor(nowMs))
    return signCrl(await this.#signer(issuerId), {
      number: this.#crlNumber,
      thisUpdateMs: wholeSecond(nowMs),
      nextUpdateMs: wholeSecond(nowMs + CRL_LIFETIME_MS),
      revoked: this.#register.certificates().flatMap((record) => {
        // A revoked certificate stays for one list after its end (RFC 5280 section 3.3).
        const isRecent = record.revoked_at_ms !== undefined && record.not_after_ms > nowMs - CRL_LIFETIME_MS
        const isListed = isRecent && this.#issuerOf(record) === issuerId
        return isListed ? [{ serial: record.serial, revokedAtMs: record.revoked_at_ms as number }] : []
      }),
    })
  }

  #checkValidCount(holder: string): void {
    if (this.#register.validCount(holder, this.#needs.clock.wallMs()) < VALID_PER_NODE_MAX) return
    throw new PkiError('P2P_PKI_BUSY', `${holder} has ${VALID_PER_NODE_MAX} valid certificates already`, { holder })
  }

  #chainOf(certificateChainPem: string, record: IssuedRecord): IssuedChain {
    const roots = this.#store.trustedRoots()
    return { certificateChainPem, rootPem: roots[0] as string, trustPem: roots.join(''), record }
  }

  /** The list is found by the key identifier of the CA that signs it: after a rotation there is more than one. */
  #crlUrl(issuerId: string): string | undefined {
    const { crlUrl } = this.#options
    return crlUrl === undefined ? undefined : `${crlUrl}?issuer=${issuerId}`
  }

  #leafSigner(issuerId: string): LeafSigner {
    const material = this.#store.issuer(issuerId)
    assert(material, 'what is signed for is an issuing CA that is kept')
    const made = this.#leafSigners.get(issuerId) ?? createLeafSigner(material)
    this.#leafSigners.set(issuerId, made)
    return made
  }

  #signer(issuerId: string): Promise<Signer> {
    const material = this.#store.issuer(issuerId)
    assert(material, 'what is signed for is an issuing CA that is kept')
    const loaded = this.#signers.get(issuerId) ?? import('./x509/signing.ts').then((it) => it.loadSigner(material))
    this.#signers.set(issuerId, loaded)
    return loaded
  }
}

function publicRecord(record: IssuedRecord): IssuedCertificate {
  const { key_fingerprint: _, issuer: __, ...facts } = record
  return facts
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
