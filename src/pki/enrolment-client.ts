import { createPublicKey, X509Certificate } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { toBase64Url } from '../base/bytes.ts'
import type { CertificateAnswer, JoinProof, NonceAnswer, TrustAnswer } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { TlsMaterial } from '../base/credentials.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import type { CertificateOutcome, CertificateSource, CertificateWish, TrustNow } from './certificate-source.ts'
import { keyAuthorization } from './challenge.ts'
import type { ChallengeServer, ListenChallenge } from './challenge-server.ts'
import { CoordinatorSession, type EnrolmentDial } from './coordinator-session.ts'
import type { HostJoinSecret } from './host-join-secret.ts'
import { type JoinToken, tokenId, tokenKey } from './join-token.ts'
import { isSameMac, type JoinFacts, joinMac, plotProof } from './proof.ts'
import { keyFingerprint, rootFingerprint } from './x509/certificate-facts.ts'
import { rootFingerprints, trustableRoots } from './succession.ts'
import type { Waiting } from './waiting.ts'
import { isChainTo, type VerifiedLeaf, verifyChainToOneOf } from './x509/chain.ts'
import { fromPem, splitCertificates } from './x509/pem.ts'

const NAMES_MAX = 32
/** Leaf, issuing CA, and the link from the root before. */
const CHAIN_LENGTH_MAX = 3
/** Less than the backdating of certificates; more would be noticed by peers. */
const SKEW_MS_NOTED = 60_000

export interface EnrolmentClientNeeds {
  clock: Clock
  random: Random
  log: Logger
  dial: EnrolmentDial
  listenChallenge: ListenChallenge
}

export interface EnrolmentClientOptions {
  nodeId: NodeId
  role: NodeRole
  coordinatorAddresses: readonly string[]
  token: JoinToken | undefined
  plotJoinKey: Uint8Array | undefined
  hostJoinSecret: (() => Promise<HostJoinSecret | undefined>) | undefined
  challengePort: number
  challengeAddress: string | undefined
  onWaiting: ((waiting: Waiting) => void) | undefined
}

/** Why this coordinator is trusted, and what may be shown to it. */
interface Standing {
  how: 'certificate' | 'token' | 'plot' | 'host' | 'first use'
  /** Fingerprints of the roots that are trusted for it. */
  trusted: string[]
  prove: (facts: JoinFacts) => JoinProof
}

/** What a coordinator that was recognised said. */
interface Recognised {
  session: CoordinatorSession
  standing: Standing
  trust: TrustAnswer
  /** Of those in `trust`, the roots that may be trusted, the one that issues first. PEM. */
  roots: string[]
  nonce: NonceAnswer
}

/**
 * The joining node's side of enrolment, in this order: connect unverified, take the chain, recognise
 * the root, verify the chain, and only then send the proof.
 */
export class EnrolmentClient implements CertificateSource {
  readonly token: { id: string; caFingerprint: string } | undefined
  readonly addresses: readonly string[]
  readonly #needs: EnrolmentClientNeeds
  readonly #options: EnrolmentClientOptions
  #challengeServer: ChallengeServer | undefined
  /** What was said last in the log, so that it is said once. */
  #noted = ''

  constructor(needs: EnrolmentClientNeeds, options: EnrolmentClientOptions) {
    assert(options.coordinatorAddresses.length > 0, 'a node that joins knows a coordinator')
    this.#needs = needs
    this.#options = options
    this.addresses = options.coordinatorAddresses
    const { token } = options
    this.token = token && { id: tokenId(token.secret), caFingerprint: token.caFingerprint }
  }

  /** Tries each address once; a refusal by one is not taken to the next. */
  async obtain(wish: CertificateWish, signal: AbortSignal): Promise<CertificateOutcome> {
    let obstacle: unknown
    for (const address of this.#options.coordinatorAddresses) {
      try {
        return await this.#obtainFrom(address, wish, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof PkiError && !error.facts.retryable) throw error
        obstacle ??= error
      }
    }
    throw obstacle
  }

  /** Shows its certificate to nobody: what it asks for is open to all, and believed for its signatures alone. */
  async trust(current: TlsMaterial, signal: AbortSignal): Promise<TrustNow> {
    let obstacle: unknown
    for (const address of this.#options.coordinatorAddresses) {
      try {
        return await this.#trustFrom(address, current, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (error instanceof PkiError && !error.facts.retryable) throw error
        obstacle ??= error
      }
    }
    throw obstacle
  }

  async #trustFrom(address: string, current: TlsMaterial, signal: AbortSignal): Promise<TrustNow> {
    const connection = await this.#needs.dial(address, { signal })
    try {
      const session = new CoordinatorSession(address, connection, this.#needs.clock)
      const trust = await session.trust(signal)
      const trusted = rootFingerprints(current.trustPem)
      const roots = trustableRoots(trust, trusted)
      if (roots.length === 0) {
        throw otherCluster(address, 'this node belongs to', trusted.join(', '), {
          fingerprint: fingerprintOf(trust, address),
        })
      }
      this.#checkCoordinator(session, trust, roots)
      const [, issuingPem = ''] = splitCertificates(current.certificateChainPem)
      // Its own root stays until the node has a certificate under another one: it would not trust itself.
      const isUnderOne = roots.some((rootPem) => isChainTo(issuingPem, rootPem))
      const own = splitCertificates(current.trustPem).filter((rootPem) => isChainTo(issuingPem, rootPem))
      const issuerId = keyFingerprint(new X509Certificate(trust.issuing_certificate).publicKey)
      return { trustPem: joinPem(isUnderOne ? roots : [...roots, ...own]), issuerId }
    } finally {
      await connection.close()
    }
  }

  async release(): Promise<void> {
    const server = this.#challengeServer
    this.#challengeServer = undefined
    await server?.close()
  }

  async #obtainFrom(address: string, wish: CertificateWish, signal: AbortSignal): Promise<CertificateOutcome> {
    const connection = await this.#needs.dial(address, {
      signal,
      ...(wish.current && { clientCertificate: wish.current }),
    })
    try {
      const session = new CoordinatorSession(address, connection, this.#needs.clock)
      const recognised = await this.#recognise(session, wish, signal)
      const answer = await this.#request(recognised, wish, signal)
      if (answer.status === 'issued') return this.#accept(answer, recognised, wish)
      this.#notePending(answer.fingerprint, recognised.trust.ca_fingerprint, address)
      return { status: 'pending', rootPem: recognised.trust.ca_certificate }
    } finally {
      await connection.close()
    }
  }

  /** @throws {PkiError} P2P_PKI_UNTRUSTED_COORDINATOR, P2P_PKI_CLOCK_SKEW */
  async #recognise(session: CoordinatorSession, wish: CertificateWish, signal: AbortSignal): Promise<Recognised> {
    const trust = await session.trust(signal)
    const clientNonce = toBase64Url(this.#needs.random.bytes(24))
    const nonce = await session.nonce(clientNonce, signal)
    const fingerprint = fingerprintOf(trust, session.address)
    const standing = await this.#standing(session, wish, { trust, fingerprint, clientNonce, nonce })
    const roots = trustableRoots(trust, standing.trusted)
    const leaf = this.#checkCoordinator(session, trust, roots)
    this.#checkTime(leaf, nonce.time_ms, `the certificate of coordinator ${session.address}`)
    return { session, standing, trust: { ...trust, ca_fingerprint: fingerprint }, roots, nonce }
  }

  /**
   * Whether a coordinator of the cluster is at the other end. In the middle of a rotation it may still show a certificate of the CA before.
   * @throws {PkiError} P2P_PKI_UNTRUSTED_COORDINATOR
   */
  #checkCoordinator(session: CoordinatorSession, trust: TrustAnswer, roots: readonly string[]): VerifiedLeaf {
    const [leafPem = '', shownIssuingPem] = session.peerChainPem
    const leaf = verifyChainToOneOf({ leafPem, issuingPem: shownIssuingPem ?? trust.issuing_certificate }, roots)
    if (leaf.identity.role !== 'coordinator' || leaf.identity.cluster !== trust.cluster) {
      throw untrusted(session.address, `its certificate is of ${leaf.identity.role} ${leaf.identity.nodeId}`)
    }
    return leaf
  }

  /** Why this root can be trusted; the strongest reason counts, and one that contradicts it ends the attempt. */
  async #standing(
    session: CoordinatorSession,
    wish: CertificateWish,
    seen: { trust: TrustAnswer; fingerprint: string; clientNonce: string; nonce: NonceAnswer },
  ): Promise<Standing> {
    const { token, plotJoinKey, hostJoinSecret } = this.#options
    // The shown root, or one that it succeeded.
    const leadsThere = (trusted: string[]): boolean => trustableRoots(seen.trust, trusted).length > 0
    if (wish.current) {
      const trusted = rootFingerprints(wish.current.trustPem)
      if (!leadsThere(trusted)) throw otherCluster(session.address, 'this node belongs to', trusted.join(', '), seen)
      return { how: 'certificate', trusted, prove: () => ({ kind: 'none' }) }
    }
    const known = wish.anew && rootFingerprints(wish.anew.trustPem)
    if (known && !leadsThere(known)) throw otherCluster(session.address, 'this node belongs to', known.join(', '), seen)
    if (known && wish.anew?.asksPerson) return { how: 'certificate', trusted: known, prove: () => ({ kind: 'none' }) }
    if (token) {
      const trusted = [token.caFingerprint]
      if (!leadsThere(trusted)) throw otherCluster(session.address, 'the join token is for', token.caFingerprint, seen)
      const key = tokenKey(token.secret)
      const token_id = tokenId(token.secret)
      return { how: 'token', trusted, prove: (facts) => ({ kind: 'token', token_id, mac: joinMac(key, facts) }) }
    }
    const shown = [seen.fingerprint]
    if (plotJoinKey && seen.nonce.plot_proof !== undefined) {
      const facts = { exporter: session.exporter(), clientNonce: seen.clientNonce, caFingerprint: seen.fingerprint }
      const isSamePlot = isSameMac(plotProof(plotJoinKey, facts), seen.nonce.plot_proof)
      // Every node has a plot; that it is another one than the coordinator's is the normal case.
      if (isSamePlot) {
        return { how: 'plot', trusted: shown, prove: (join) => ({ kind: 'plot', mac: joinMac(plotJoinKey, join) }) }
      }
    }
    const secret = await hostJoinSecret?.()
    if (secret && leadsThere([secret.fingerprint])) {
      const trusted = [secret.fingerprint]
      return { how: 'host', trusted, prove: (facts) => ({ kind: 'host', mac: joinMac(secret.key, facts) }) }
    }
    if (known) return { how: 'certificate', trusted: known, prove: () => ({ kind: 'none' }) }
    const first = wish.firstUseRootPem === undefined ? shown : [rootFingerprint(wish.firstUseRootPem)]
    if (!leadsThere(first)) throw otherCluster(session.address, 'this node waits for', first.join(', '), seen)
    return { how: 'first use', trusted: first, prove: () => ({ kind: 'none' }) }
  }

  async #request(recognised: Recognised, wish: CertificateWish, signal: AbortSignal): Promise<CertificateAnswer> {
    const { session, standing, nonce } = recognised
    const { nodeId, role } = this.#options
    const server = await this.#challengeListener()
    const challenge = toBase64Url(this.#needs.random.bytes(32))
    const publicKeyDer = createPublicKey(wish.key).export({ type: 'spki', format: 'der' })
    server.answer(challenge, keyAuthorization(challenge, publicKeyDer))
    const csrDer = fromPem('CERTIFICATE REQUEST', wish.csrPem)
    assert(csrDer, 'our own CSR is PEM')
    return session.certificate(
      {
        node_id: nodeId,
        role,
        csr: wish.csrPem,
        ip_addresses: wish.ipAddresses.slice(0, NAMES_MAX),
        dns_names: wish.dnsNames.slice(0, NAMES_MAX),
        challenge,
        challenge_port: server.port,
        nonce: nonce.nonce,
        proof: standing.prove({ exporter: session.exporter(), csrDer, nodeId, role, nonce: nonce.nonce }),
      },
      signal,
    )
  }

  /** Takes a certificate only if it is what was asked for, from the root that was recognised. */
  #accept(
    answer: CertificateAnswer & { status: 'issued' },
    { session, standing, trust, roots, nonce }: Recognised,
    wish: CertificateWish,
  ): CertificateOutcome {
    const chain = splitCertificates(answer.certificate_chain).slice(0, CHAIN_LENGTH_MAX)
    const [leafPem = '', issuingPem = ''] = chain
    // A rotation may have gone on since the coordinator was recognised: it names its roots anew, of which those recognised then count.
    const named = [answer.ca_certificate, ...(answer.trusted_roots ?? [])]
    const known = new Set(roots.map(rootFingerprint))
    const trusted = named.filter((pem, index) => known.has(rootFingerprint(pem)) && named.indexOf(pem) === index)
    const leaf = verifyChainToOneOf({ leafPem, issuingPem }, trusted)
    const { nodeId, role } = this.#options
    const isOurs =
      leaf.keyFingerprint === keyFingerprint(createPublicKey(wish.key)) &&
      leaf.identity.nodeId === nodeId &&
      leaf.identity.role === role &&
      leaf.identity.cluster === trust.cluster
    if (!isOurs) throw untrusted(session.address, 'it answered with a certificate for another key or name')
    this.#checkTime(leaf, nonce.time_ms, 'the new certificate')
    this.#needs.log.info('Certificate received', {
      coordinator: session.address,
      cluster: trust.cluster,
      caFingerprint: trust.ca_fingerprint,
      trustedBy: standing.how,
    })
    return { status: 'issued', certificateChainPem: joinPem(chain), trustPem: joinPem(trusted) }
  }

  /** A certificate that is not valid by this machine's clock: the clock's fault, if it is valid by the coordinator's. */
  #checkTime(leaf: { notBeforeMs: number; notAfterMs: number }, coordinatorMs: number, what: string): void {
    const nowMs = this.#needs.clock.wallMs()
    const skew = describeSkew(nowMs - coordinatorMs)
    const isValidAt = (ms: number): boolean => leaf.notBeforeMs <= ms && ms < leaf.notAfterMs
    if (!isValidAt(nowMs)) {
      const state = nowMs < leaf.notBeforeMs ? 'is not valid yet' : 'has expired'
      if (!isValidAt(coordinatorMs)) throw untrusted(what, `it ${state}`)
      throw new PkiError(
        'P2P_PKI_CLOCK_SKEW',
        `By the clock of this machine ${what} ${state}: the clock is ${skew} the coordinator's. Set it right (for example by NTP); joining goes on by itself`,
        { skewMs: nowMs - coordinatorMs },
      )
    }
    if (Math.abs(nowMs - coordinatorMs) > SKEW_MS_NOTED) {
      this.#note('skew', () =>
        this.#needs.log.warning(`The clock of this machine is ${skew} the coordinator's`, {
          skewMs: nowMs - coordinatorMs,
        }),
      )
    }
  }

  async #challengeListener(): Promise<ChallengeServer> {
    if (this.#challengeServer) return this.#challengeServer
    const { challengePort: port, challengeAddress: address } = this.#options
    this.#challengeServer = await this.#needs.listenChallenge({ port, address })
    if (this.#challengeServer.port !== port && port !== 0) {
      this.#needs.log.info('The challenge port is taken on this host; using another', {
        taken: port,
        port: this.#challengeServer.port,
      })
    }
    return this.#challengeServer
  }

  #notePending(fingerprint: string, caFingerprint: string, coordinator: string): void {
    const { nodeId, onWaiting } = this.#options
    this.#note(`pending ${fingerprint}`, () => {
      this.#needs.log.warning(
        `Waiting for approval by an admin of the cluster (p2p nodes approve ${nodeId}). Compare both fingerprints`,
        { fingerprint, caFingerprint, coordinator },
      )
      onWaiting?.({ type: 'pending', nodeId, fingerprint, coordinator })
    })
  }

  #note(what: string, write: () => void): void {
    if (this.#noted === what) return
    this.#noted = what
    write()
  }
}

function joinPem(certificates: readonly string[]): string {
  return certificates.map((pem) => `${pem.trim()}\n`).join('')
}

function fingerprintOf(trust: TrustAnswer, address: string): string {
  try {
    return rootFingerprint(trust.ca_certificate)
  } catch {
    throw untrusted(address, 'its CA certificate is malformed')
  }
}

function otherCluster(address: string, whose: string, expected: string, seen: { fingerprint: string }): PkiError {
  return untrusted(
    address,
    `${whose} the cluster with CA ${expected}, but this one has CA ${seen.fingerprint}. Check the address and the token; if the cluster was set up anew, this node must join anew`,
  )
}

function untrusted(address: string, why: string): PkiError {
  return new PkiError('P2P_PKI_UNTRUSTED_COORDINATOR', `Not trusted, ${address}: ${why}`, { coordinator: address })
}

function describeSkew(skewMs: number): string {
  const minutes = Math.abs(skewMs) / 60_000
  const size = minutes < 120 ? `${minutes.toFixed(1)} minutes` : `${(minutes / 60).toFixed(1)} hours`
  return `${size} ${skewMs < 0 ? 'behind' : 'ahead of'}`
}
