import { X509Certificate } from 'node:crypto'
import { assertNever } from '../base/assert.ts'
import type { Component } from '../base/component.ts'
import type { ControlStore } from '../base/control-store.ts'
import type {
  CaDescription,
  CertificateAnswer,
  CertificateRequest,
  Enrolment,
  EnrolmentConnection,
  IssuedCertificate,
  JoinTokenFacts,
  NodeBan,
  NonceAnswer,
  PendingNode,
  TrustAdmin,
  TrustAnswer,
} from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { canonicalAddress } from './address.ts'
import { AddressProver, type Challenge, type ResolveHost, resolveHost } from './address-proof.ts'
import { Bans } from './bans.ts'
import type { Admission, CertificateAuthority } from './certificate-authority.ts'
import { type FetchChallenge, fetchChallenge, keyAuthorization } from './challenge.ts'
import { formatJoinToken } from './join-token.ts'
import { JoinTokens } from './join-tokens.ts'
import { NONCE_LIFETIME_MS, Nonces } from './nonces.ts'
import { type Applicant, PendingQueue } from './pending-queue.ts'
import { isSameMac, type JoinFacts, joinMac, plotProof } from './proof.ts'
import { checkRequest } from './request-check.ts'
import { certificateFacts } from './x509/certificate-facts.ts'
import { isIssuedBy } from './x509/chain.ts'
import type { CertificateSigningRequest } from './x509/read-csr.ts'

const PENDING_MAX = 256
const CLIENT_NONCE = /^[A-Za-z0-9_-]{16,128}$/

export interface EnrolmentNeeds {
  ca: CertificateAuthority
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
  /** Default: one GET over plain HTTP. */
  fetchChallenge?: FetchChallenge
  /** Default: the system's resolver. */
  resolveHost?: ResolveHost
}

export interface EnrolmentOptions {
  /** 32 bytes derived from the plot: nodes that have the same plot join alone. */
  plotJoinKey?: Uint8Array
  /** 32 bytes: nodes that can read this host's join secret join alone. */
  hostJoinKey?: Uint8Array
  /** Strangers that may wait for a person at a time. Default 256. */
  pendingMax?: number
}

/** The coordinator's side of joining, and what an admin may do about it. */
export function createEnrolment(
  needs: EnrolmentNeeds,
  options: EnrolmentOptions = {},
): Enrolment & TrustAdmin & Component {
  return new CoordinatorEnrolment(needs, options)
}

/** A request whose form, nonce and key have been checked. */
interface CheckedRequest {
  request: CertificateRequest
  csr: CertificateSigningRequest
  join: JoinFacts
  applicant: Applicant
  peerCertificateDer: Uint8Array | undefined
}

class CoordinatorEnrolment implements Enrolment, TrustAdmin, Component {
  readonly name = 'enrolment'
  readonly #needs: EnrolmentNeeds
  readonly #options: EnrolmentOptions
  readonly #nonces: Nonces
  readonly #tokens: JoinTokens
  readonly #pending: PendingQueue
  readonly #bans: Bans
  readonly #prover: AddressProver
  readonly #stopped = new AbortController()

  constructor(needs: EnrolmentNeeds, options: EnrolmentOptions) {
    const { clock, random, store, log } = needs
    this.#needs = needs
    this.#options = options
    this.#nonces = new Nonces(clock, random)
    this.#tokens = new JoinTokens(store, clock, random)
    this.#pending = new PendingQueue(store, clock, options.pendingMax ?? PENDING_MAX)
    this.#bans = new Bans(store)
    this.#prover = new AddressProver({
      clock,
      log,
      fetchChallenge: needs.fetchChallenge ?? fetchChallenge,
      resolveHost: needs.resolveHost ?? resolveHost,
    })
  }

  async start(): Promise<void> {
    await this.#pending.load()
    await this.#bans.load()
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new PkiError('P2P_PKI_BUSY', 'The coordinator is stopping'))
  }

  trust(): TrustAnswer {
    return this.#needs.ca.trust
  }

  nonce(clientNonce: string, connection: EnrolmentConnection): NonceAnswer {
    if (!CLIENT_NONCE.test(clientNonce)) {
      throw new PkiError('P2P_RPC_INVALID_PARAMS', 'client_nonce is 16 to 128 base64url characters')
    }
    const { plotJoinKey } = this.#options
    const exporter = connection.exporter()
    const caFingerprint = this.#needs.ca.trust.ca_fingerprint
    return {
      nonce: this.#nonces.issue(exporter),
      expires_in_ms: NONCE_LIFETIME_MS,
      time_ms: this.#needs.clock.wallMs(),
      ...(plotJoinKey && { plot_proof: plotProof(plotJoinKey, { exporter, clientNonce, caFingerprint }) }),
    }
  }

  async request(
    unchecked: CertificateRequest,
    connection: EnrolmentConnection,
    callerSignal: AbortSignal,
  ): Promise<CertificateAnswer> {
    const signal = AbortSignal.any([callerSignal, this.#stopped.signal])
    const checked = await this.#check(unchecked, connection)
    const { request, csr } = checked
    const isAdmitted = (await this.#admit(checked)) !== 'pending'

    const remoteAddress = canonicalAddress(connection.remoteAddress) ?? connection.remoteAddress
    const challenge: Challenge = {
      port: request.challenge_port,
      challenge: request.challenge,
      keyAuthorization: keyAuthorization(request.challenge, csr.publicKeyDer),
    }
    await this.#prover.proveRequester(remoteAddress, challenge, isAdmitted, signal)
    if (!isAdmitted) {
      const waiting = await this.#awaitDecision(checked, remoteAddress, signal)
      if (waiting) return { status: 'pending', request_id: waiting.request_id, fingerprint: csr.keyFingerprint }
    }
    return this.#issue(checked, remoteAddress, challenge, signal)
  }

  crl(issuer?: string): Promise<Uint8Array> {
    return this.#needs.ca.crl(issuer)
  }

  pending(): PendingNode[] {
    return this.#pending.list()
  }

  async approve(requestIdOrNodeId: string, fingerprint?: string): Promise<PendingNode> {
    const node = await this.#pending.decide(requestIdOrNodeId, 'approved', fingerprint)
    this.#needs.log.info('Node approved', { nodeId: node.node_id, fingerprint: node.fingerprint })
    return node
  }

  async reject(requestIdOrNodeId: string): Promise<PendingNode> {
    const node = await this.#pending.decide(requestIdOrNodeId, 'rejected')
    this.#needs.log.info('Node rejected', { nodeId: node.node_id, fingerprint: node.fingerprint })
    return node
  }

  async createToken(options: {
    role: NodeRole
    uses: number
    ttlMs: number
  }): Promise<{ token: string; facts: JoinTokenFacts }> {
    const { secret, facts } = await this.#tokens.create(options)
    return { token: formatJoinToken({ caFingerprint: this.#needs.ca.trust.ca_fingerprint, secret }), facts }
  }

  listTokens(): Promise<JoinTokenFacts[]> {
    return this.#tokens.list()
  }

  revokeToken(tokenId: string): Promise<void> {
    return this.#tokens.revoke(tokenId)
  }

  async describeCa(): Promise<CaDescription> {
    return this.#needs.ca.describe()
  }

  revokeNode(nodeId: NodeId): Promise<IssuedCertificate[]> {
    return this.#needs.ca.revokeNode(nodeId)
  }

  bans(): NodeBan[] {
    return this.#bans.list()
  }

  /** The ban is durable first: what is issued until then is revoked behind it, and nothing is issued after it. */
  async banNode(nodeId: NodeId, options: { fingerprint?: string; reason?: string } = {}): Promise<NodeBan> {
    const { ca, clock, log } = this.#needs
    const { fingerprint, reason } = options
    const ban = await this.#bans.add({
      node_id: nodeId,
      key_fingerprints: [...ca.keysOf(nodeId), ...(fingerprint === undefined ? [] : [fingerprint])],
      ...(reason !== undefined && { reason }),
      banned_at_ms: clock.wallMs(),
    })
    log.warning('Node banned', { nodeId, reason })
    if (ca.holder(nodeId)) await ca.revokeNode(nodeId)
    const isItsOwn = (node: PendingNode): boolean =>
      node.node_id === nodeId || ban.key_fingerprints.includes(node.fingerprint)
    for (const node of this.pending().filter(isItsOwn)) await this.reject(node.request_id)
    return ban
  }

  async unbanNode(nodeId: NodeId): Promise<NodeBan> {
    const ban = await this.#bans.lift(nodeId)
    this.#needs.log.warning('Ban lifted', { nodeId })
    return ban
  }

  async #check(unchecked: CertificateRequest, connection: EnrolmentConnection): Promise<CheckedRequest> {
    const request = checkRequest(unchecked)
    const exporter = connection.exporter()
    this.#nonces.use(request.nonce, exporter)
    const csr = await this.#needs.ca.readCsr(request.csr)
    const { node_id: nodeId, role, nonce } = request
    return {
      request,
      csr,
      join: { exporter, csrDer: csr.der, nodeId, role, nonce },
      applicant: { node_id: nodeId, role, fingerprint: csr.keyFingerprint },
      peerCertificateDer: connection.peerCertificateDer,
    }
  }

  /**
   * Who may have a certificate, and under which conditions. Asked before the challenge, to refuse
   * early, and again at the moment of issue, whose commit depends on everything read here.
   * @throws {PkiError} the refusal
   */
  async #admit(checked: CheckedRequest): Promise<Admission | 'pending'> {
    const { request, csr, applicant } = checked
    this.#bans.check(applicant)
    if (this.#needs.ca.isRevokedKey(csr.keyFingerprint)) {
      throw new PkiError('P2P_PKI_REVOKED', `The key of ${request.node_id} was revoked: join again with a new key`)
    }
    const renewed = this.#renewal(checked)
    if (renewed) return renewed
    switch (request.proof.kind) {
      case 'none':
        return this.#admitApproved(applicant)
      case 'token': {
        const token = await this.#tokens.check(request.proof, checked.join, csr.keyFingerprint)
        return { ...this.#claim(applicant, token.createdAtMs), alongside: token.redemption }
      }
      case 'plot':
        return this.#admitStanding('plot', this.#options.plotJoinKey, request.proof.mac, checked)
      case 'host':
        return this.#admitStanding('host', this.#options.hostJoinKey, request.proof.mac, checked)
      default:
        return assertNever(request.proof)
    }
  }

  /**
   * The connection shows a certificate of this CA: its holder may have a new one under the same name,
   * also when it has expired. A certificate of anybody else says nothing.
   */
  #renewal({ request, peerCertificateDer }: CheckedRequest): Admission | undefined {
    if (!peerCertificateDer) return undefined
    const { ca } = this.#needs
    const certificate = new X509Certificate(peerCertificateDer)
    if (!ca.issuers().some((issuer) => isIssuedBy(certificate, new X509Certificate(issuer)))) return undefined
    const facts = certificateFacts(certificate)
    const record = ca.issued(facts.serial)
    // The key too: whoever stole an issuing CA that was dropped since can write any serial into a certificate, but has no key of a node.
    if (record?.key_fingerprint !== facts.keyFingerprint) {
      throw new PkiError(
        'P2P_PKI_PROOF_REJECTED',
        `This coordinator has no record of the certificate shown: it is very old, or was issued after the backup the coordinator was restored from. ${request.node_id} must join again: by what admitted it before, by a new token (p2p token create), or by approval (p2p nodes approve ${request.node_id})`,
        { nodeId: request.node_id },
      )
    }
    if (record.revoked_at_ms !== undefined) {
      const since = new Date(record.revoked_at_ms).toISOString()
      throw new PkiError(
        'P2P_PKI_REVOKED',
        `The certificate of ${record.node_id} was revoked at ${since}. To admit the node again, create a join token for it`,
        { nodeId: record.node_id, serial: record.serial },
      )
    }
    if (record.node_id !== request.node_id || record.role !== request.role) {
      throw new PkiError(
        'P2P_PKI_PROOF_REJECTED',
        `A certificate of ${record.role} ${record.node_id} cannot be renewed as ${request.role} ${request.node_id}`,
      )
    }
    const holder = ca.holder(record.node_id)
    return { holder, approvedDnsNames: holder?.approved_dns_names ?? [] }
  }

  #admitApproved(applicant: Applicant): Admission | 'pending' {
    const found = this.#pending.find(applicant)
    if (!found || found.decision === 'none') return 'pending'
    if (found.decision === 'rejected') {
      throw new PkiError('P2P_PKI_REJECTED', `An admin of the cluster refused ${applicant.node_id}`)
    }
    const holder = this.#needs.ca.holder(applicant.node_id)
    const isOwn = holder?.key_fingerprint === applicant.fingerprint
    if (found.decision === 'issued') {
      // The answer got lost: the same key may fetch a certificate, but no longer push out another.
      return isOwn ? { holder, approvedDnsNames: holder.approved_dns_names } : 'pending'
    }
    return {
      holder,
      approvedDnsNames: found.request.dns_names.map((name) => name.toLowerCase()),
      isReplacement: holder !== undefined && !isOwn,
      alongside: this.#pending.issuance(applicant),
    }
  }

  /** Plot and host secrets are standing: they admit workers only, and nobody who was revoked, since that node may still have them. */
  #admitStanding(kind: 'plot' | 'host', key: Uint8Array | undefined, mac: string, checked: CheckedRequest): Admission {
    if (!key || !isSameMac(joinMac(key, checked.join), mac)) {
      throw new PkiError('P2P_PKI_PROOF_REJECTED', `The ${kind} proof was not made with this coordinator's ${kind} key`)
    }
    if (checked.request.role !== 'worker') {
      throw new PkiError('P2P_PKI_PROOF_REJECTED', `A ${kind} proof admits workers, not a ${checked.request.role}`)
    }
    return this.#claim(checked.applicant, undefined)
  }

  /**
   * A node id belongs to the key that first used it. It is free again once revoked, for a token made
   * after that.
   * @throws {PkiError} P2P_PKI_NODE_ID_TAKEN, P2P_PKI_REVOKED
   */
  #claim(applicant: Applicant, tokenCreatedAtMs: number | undefined): Admission {
    const nodeId = applicant.node_id
    const holder = this.#needs.ca.holder(nodeId)
    if (!holder) return { holder }
    if (holder.revoked_at_ms !== undefined) {
      if (tokenCreatedAtMs !== undefined && tokenCreatedAtMs >= holder.revoked_at_ms) return { holder }
      throw new PkiError(
        'P2P_PKI_REVOKED',
        `${nodeId} was revoked. To admit it again, create a new join token for it, or approve it (p2p nodes pending)`,
        { nodeId },
      )
    }
    if (holder.key_fingerprint === applicant.fingerprint && holder.role === applicant.role) {
      return { holder, approvedDnsNames: holder.approved_dns_names }
    }
    throw new PkiError(
      'P2P_PKI_NODE_ID_TAKEN',
      `The node id ${nodeId} belongs to another key. Choose another id; or, if this is the same machine set up anew, revoke the old one (p2p nodes revoke ${nodeId}) and join with a new token, or start without a token and have it approved`,
      { nodeId, holder: holder.key_fingerprint },
    )
  }

  /** @returns the request while it waits still, undefined once it was approved */
  async #awaitDecision(
    checked: CheckedRequest,
    remoteAddress: string,
    signal: AbortSignal,
  ): Promise<PendingNode | undefined> {
    const { request, applicant } = checked
    // The challenge took its time: what was decided meanwhile must not be asked for again.
    do {
      if ((await this.#admit(checked)) !== 'pending') return undefined
    } while (isDecided(this.#pending.find(applicant)))
    const holder = this.#needs.ca.holder(request.node_id)
    const isNew = this.#pending.find(applicant)?.decision !== 'none'
    const node = await this.#pending.add({
      ...applicant,
      remote_address: remoteAddress,
      ip_addresses: request.ip_addresses,
      dns_names: request.dns_names,
      ...(holder && holder.key_fingerprint !== applicant.fingerprint && { replaces: holder.key_fingerprint }),
    })
    if (isNew) {
      const { node_id: nodeId, fingerprint } = node
      this.#needs.log.warning('A node waits for approval', { nodeId, fingerprint, remoteAddress })
      // Answered at once, so that the node can show its fingerprint; only when it asks again is it kept waiting.
      return node
    }
    while (!signal.aborted) {
      const changed = this.#pending.changed(applicant, signal)
      if ((await this.#admit(checked)) !== 'pending') return undefined
      await changed
    }
    return node
  }

  async #issue(
    checked: CheckedRequest,
    remoteAddress: string,
    challenge: Challenge,
    signal: AbortSignal,
  ): Promise<CertificateAnswer> {
    const { ca } = this.#needs
    const { request, csr, applicant } = checked
    const admission = await this.#admitNow(checked)
    const names = await this.#prover.proveNames(
      remoteAddress,
      {
        ipAddresses: request.ip_addresses,
        dnsNames: request.dns_names,
        approvedDnsNames: admission.approvedDnsNames ?? [],
      },
      challenge,
      signal,
    )
    const issued = await ca.issue({
      csr,
      identity: { nodeId: request.node_id, role: request.role },
      ...names,
      admit: () => this.#admitNow(checked),
    })
    await this.#pending.refresh(applicant)
    return {
      status: 'issued',
      cluster: ca.cluster,
      certificate_chain: issued.certificateChainPem,
      ca_certificate: issued.rootPem,
      ...(ca.trust.trusted_roots && { trusted_roots: ca.trust.trusted_roots }),
    }
  }

  async #admitNow(checked: CheckedRequest): Promise<Admission> {
    const admission = await this.#admit(checked)
    if (admission === 'pending') {
      throw new PkiError(
        'P2P_PKI_PENDING',
        `${checked.request.node_id} waits for approval again: its approval has ended`,
      )
    }
    const { compares = [], operations = [] } = admission.alongside ?? {}
    const absence = this.#bans.absence(checked.request.node_id)
    return { ...admission, alongside: { compares: [...compares, ...absence], operations } }
  }
}

function isDecided(found: { decision: string } | undefined): boolean {
  return found?.decision === 'approved' || found?.decision === 'rejected'
}
