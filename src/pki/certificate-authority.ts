import { assert } from '../base/assert.ts'
import { utf8 } from '../base/bytes.ts'
import type { Component } from '../base/component.ts'
import { type ControlStore, getJson, jsonValue, type Operation, type Transaction } from '../base/control-store.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { CaDescription, IssuedCertificate, TrustAnswer } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId, NodeIdentity, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { Gate } from './gate.ts'
import { IssuedRegister, type IssuedRecord, type NodeHolder, type Registration } from './issued-register.ts'
import { readCertificate, rootFingerprint } from './x509/certificate-facts.ts'
import type { CaMaterial, CertificateSigningRequest, ServerSigningRequest, Signer, Validity } from './x509/signing.ts'

const ROOT_KEY = 'pki/root'
const ISSUING_KEY = 'pki/issuing'
const ROOT_KEY_ENTRY = 'certs/ca_key.key'

const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const CA_LIFETIME_MS = 3_650 * DAY_MS
/** A year, the Python program's default. */
const LEAF_LIFETIME_MS = 365 * DAY_MS
export const LEAF_LIFETIME_MS_MIN = MINUTE_MS
/** A certificate is valid from a little before its issue, for nodes whose clock is behind. */
const BACKDATE_MS_MAX = 5 * MINUTE_MS
/** A list is made anew at each revocation, and otherwise when half of its time is over. */
const CRL_LIFETIME_MS = DAY_MS
/** A signature occupies the event loop for some milliseconds; one after the other, other work comes in between. */
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
  /** Leaf, then issuing CA. */
  certificateChainPem: string
  rootPem: string
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
  /** The issuing CA's list, DER. */
  crl(): Promise<Uint8Array>
  /** The issued certificate with this serial, if it is kept. */
  issued(serial: string): IssuedRecord | undefined
  /** Who holds a node id. */
  holder(nodeId: NodeId): NodeHolder | undefined
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

interface StoredRoot {
  cluster: string
  certificatePem: string
}

interface Loaded {
  cluster: string
  trust: TrustAnswer
  issuingMaterial: CaMaterial
  notAfterMs: number
}

class StoredCertificateAuthority implements CertificateAuthority, Component {
  readonly name = 'certificate authority'
  readonly #needs: CertificateAuthorityNeeds
  readonly #options: CertificateAuthorityOptions
  readonly #leafLifetimeMs: number
  readonly #register: IssuedRegister
  readonly #signing = new Gate('certificate requests', SIGNING_MAX, WAITING_MAX)
  readonly #recording = new Gate('certificate requests', RECORDING_MAX, WAITING_MAX)
  #loaded: Loaded | undefined
  #issuing: Promise<Signer> | undefined
  #crl: { der: Uint8Array; madeAtMs: number } | undefined
  #crlNumber = 0
  #revocationCount = 0

  constructor(needs: CertificateAuthorityNeeds, options: CertificateAuthorityOptions) {
    this.#needs = needs
    this.#options = options
    this.#leafLifetimeMs = options.leafLifetimeMs ?? LEAF_LIFETIME_MS
    assert(this.#leafLifetimeMs >= LEAF_LIFETIME_MS_MIN, 'a leaf lives for at least a minute')
    this.#register = new IssuedRegister(needs.store)
    this.#register.onChange(() => {
      this.#revocationCount++
      this.#crl = undefined
    })
  }

  async start(): Promise<void> {
    const { store, log } = this.#needs
    if ((await store.get(ROOT_KEY)) === undefined) await this.#create()
    const root = await getJson<StoredRoot>(store, ROOT_KEY)
    const issuingMaterial = await getJson<CaMaterial>(store, ISSUING_KEY)
    assert(root && issuingMaterial, 'root and issuing CA are stored together')
    this.#loaded = {
      cluster: root.cluster,
      issuingMaterial,
      notAfterMs: readCertificate(root.certificatePem).notAfterMs,
      trust: {
        cluster: root.cluster,
        ca_certificate: root.certificatePem,
        issuing_certificate: issuingMaterial.certificatePem,
        ca_fingerprint: rootFingerprint(root.certificatePem),
      },
    }
    await this.#register.load()
    const { cluster } = this.#options
    if (cluster !== undefined && cluster !== root.cluster) {
      log.warning('The cluster keeps the name it was created with', { cluster: root.cluster, configured: cluster })
    }
    log.info('Certificate authority ready', { cluster: root.cluster, fingerprint: this.trust.ca_fingerprint })
  }

  async stop(): Promise<void> {}

  get cluster(): string {
    return this.#ready().cluster
  }

  get trust(): TrustAnswer {
    return this.#ready().trust
  }

  revokedSerials(): string[] {
    const nowMs = this.#needs.clock.wallMs()
    return (
      this.#register
        .certificates()
        // A server's certificate opens no channel: whoever meets it asks the CRL.
        .filter(({ role }) => role !== 'server')
        .flatMap(({ serial, revoked_at_ms: atMs, not_after_ms: endMs }) =>
          atMs !== undefined && endMs > nowMs ? [{ serial, atMs }] : [],
        )
        .sort((a, b) => b.atMs - a.atMs)
        .map(({ serial }) => serial)
    )
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

  isRevokedKey(keyFingerprint: string): boolean {
    return this.#register.isRevokedKey(keyFingerprint)
  }

  readCsr(pem: string): Promise<CertificateSigningRequest> {
    return this.#signing.run(async () => (await import('./x509/signing.ts')).readCsr(pem))
  }

  async issue(request: IssueRequest): Promise<IssuedChain> {
    this.#checkValidCount(request.identity.nodeId)
    const { leafPem, record } = await this.#signing.run(() => this.#sign(request))
    await this.#recording.run(() => this.#record(request, record))
    return this.#chainOf(leafPem, record)
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
    const serial = signing.serialFrom(this.#needs.random.bytes(20))
    const { crlUrl } = this.#options
    const leafPem = await this.#signing.run(async () =>
      signing.signServerLeaf(await this.#issuingSigner(), {
        publicKeyDer: csr.publicKeyDer,
        dnsNames,
        ipAddresses,
        serial,
        validity,
        crlUrl,
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
    }
    const issued = this.#chainOf(leafPem, record)
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

  async crl(): Promise<Uint8Array> {
    const nowMs = this.#needs.clock.wallMs()
    if (this.#crl && Math.abs(nowMs - this.#crl.madeAtMs) < CRL_LIFETIME_MS / 2) return this.#crl.der
    const revocationCount = this.#revocationCount
    const der = await this.#signCrl(nowMs)
    // A list made while something was revoked is right for this answer only.
    if (revocationCount === this.#revocationCount) this.#crl = { der, madeAtMs: nowMs }
    return der
  }

  describe(): CaDescription {
    return {
      ...this.trust,
      not_after_ms: this.#ready().notAfterMs,
      leaf_lifetime_ms: this.#leafLifetimeMs,
      issued: this.#register.certificates().map(publicRecord),
    }
  }

  /** Both CAs are stored in one commit; another coordinator that was first wins. */
  async #create(): Promise<void> {
    const { store, clock, random, log } = this.#needs
    const signing = await import('./x509/signing.ts')
    const nowMs = clock.wallMs()
    const validity = {
      notBeforeMs: wholeSecond(nowMs - BACKDATE_MS_MAX),
      notAfterMs: wholeSecond(nowMs + CA_LIFETIME_MS),
    }
    const serial = (): string => signing.serialFrom(random.bytes(20))
    const root = await signing.createRoot('P2P Core root CA', serial(), validity)
    const cluster = this.#options.cluster ?? `p2p-${rootFingerprint(root.certificatePem).slice(0, 8)}`
    const rootSigner = await signing.loadSigner(root)
    const issuing = await signing.createIssuing(rootSigner, 'P2P Core issuing CA', serial(), validity)
    const { succeeded } = await store.transact({
      compares: [
        { key: ROOT_KEY, revision: 0 },
        { key: ISSUING_KEY, revision: 0 },
      ],
      operations: [
        {
          type: 'put',
          key: ROOT_KEY,
          value: jsonValue({ cluster, certificatePem: root.certificatePem } satisfies StoredRoot),
        },
        { type: 'put', key: this.#options.rootKeyEntry ?? ROOT_KEY_ENTRY, value: utf8(root.keyPem) },
        { type: 'put', key: ISSUING_KEY, value: jsonValue(issuing) },
      ],
    })
    if (succeeded) log.info('Certificate authority created', { cluster })
  }

  async #sign(request: IssueRequest): Promise<{ leafPem: string; record: NodeRecord }> {
    const { cluster } = this.#ready()
    const { identity, csr } = request
    const signing = await import('./x509/signing.ts')
    const validity = this.#validity()
    const serial = signing.serialFrom(this.#needs.random.bytes(20))
    const leafPem = await signing.signLeaf(await this.#issuingSigner(), {
      publicKeyDer: csr.publicKeyDer,
      identity: { cluster, ...identity },
      dnsNames: request.dnsNames,
      ipAddresses: request.ipAddresses,
      serial,
      validity,
      crlUrl: this.#options.crlUrl,
    })
    const record: NodeRecord = {
      serial,
      node_id: identity.nodeId,
      role: identity.role,
      not_before_ms: validity.notBeforeMs,
      not_after_ms: validity.notAfterMs,
      key_fingerprint: csr.keyFingerprint,
    }
    return { leafPem, record }
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
    const notAfterMs = Math.min(nowMs + this.#leafLifetimeMs, this.#ready().notAfterMs)
    if (notAfterMs <= nowMs) {
      throw new PkiError(
        'P2P_PKI_CLOCK_SKEW',
        'The certificate authority has expired, or the clock of this machine is years ahead',
      )
    }
    return { notBeforeMs: wholeSecond(nowMs - backdateMs), notAfterMs: wholeSecond(notAfterMs) }
  }

  async #signCrl(nowMs: number): Promise<Uint8Array> {
    const { signCrl } = await import('./x509/signing.ts')
    // The clock numbers the lists, so that the number needs no record; it grows even when the clock is set back meanwhile.
    this.#crlNumber = Math.max(this.#crlNumber + 1, Math.floor(nowMs))
    return signCrl(await this.#issuingSigner(), {
      number: this.#crlNumber,
      thisUpdateMs: wholeSecond(nowMs),
      nextUpdateMs: wholeSecond(nowMs + CRL_LIFETIME_MS),
      revoked: this.#register.certificates().flatMap((record) => {
        // A revoked certificate stays for one list after its end (RFC 5280 section 3.3).
        const isListed = record.revoked_at_ms !== undefined && record.not_after_ms > nowMs - CRL_LIFETIME_MS
        return isListed ? [{ serial: record.serial, revokedAtMs: record.revoked_at_ms as number }] : []
      }),
    })
  }

  #checkValidCount(holder: string): void {
    if (this.#register.validCount(holder, this.#needs.clock.wallMs()) < VALID_PER_NODE_MAX) return
    throw new PkiError('P2P_PKI_BUSY', `${holder} has ${VALID_PER_NODE_MAX} valid certificates already`, { holder })
  }

  #chainOf(leafPem: string, record: IssuedRecord): IssuedChain {
    const { trust } = this.#ready()
    return { certificateChainPem: leafPem + trust.issuing_certificate, rootPem: trust.ca_certificate, record }
  }

  #issuingSigner(): Promise<Signer> {
    const { issuingMaterial } = this.#ready()
    this.#issuing ??= import('./x509/signing.ts').then(({ loadSigner }) => loadSigner(issuingMaterial))
    return this.#issuing
  }

  #ready(): Loaded {
    assert(this.#loaded, 'the certificate authority is used after its start')
    return this.#loaded
  }
}

function wholeSecond(ms: number): number {
  return Math.floor(ms / 1_000) * 1_000
}

function publicRecord(record: IssuedRecord): IssuedCertificate {
  const { key_fingerprint: _, ...facts } = record
  return facts
}
