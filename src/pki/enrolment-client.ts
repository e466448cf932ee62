import { createPublicKey } from 'node:crypto'
import { assert } from '../base/assert.ts'
import { toBase64Url } from '../base/bytes.ts'
import type { CertificateAnswer, JoinProof, NonceAnswer, TrustAnswer } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import type { CertificateOutcome, CertificateSource, CertificateWish } from './certificate-source.ts'
import { keyAuthorization } from './challenge.ts'
import type { ChallengeServer, ListenChallenge } from './challenge-server.ts'
import { CoordinatorSession, type EnrolmentDial } from './coordinator-session.ts'
import type { HostJoinSecret } from './host-join-secret.ts'
import { type JoinToken, tokenId, tokenKey } from './join-token.ts'
import { isSameMac, type JoinFacts, joinMac, plotProof } from './proof.ts'
import { keyFingerprint, rootFingerprint } from './x509/certificate-facts.ts'
import type { Waiting } from './waiting.ts'
import { verifyChain } from './x509/chain.ts'
import { fromPem, splitCertificates } from './x509/pem.ts'

const NAMES_MAX = 32
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
  prove: (facts: JoinFacts) => JoinProof
}

/** What a coordinator that was recognised said. */
interface Recognised {
  session: CoordinatorSession
  standing: Standing
  trust: TrustAnswer
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
    const standing = await this.#standing(session, wish, { fingerprint, clientNonce, nonce })
    const leaf = verifyChain({
      leafPem: session.peerChainPem[0] ?? '',
      issuingPem: trust.issuing_certificate,
      rootPem: trust.ca_certificate,
    })
    if (leaf.identity.role !== 'coordinator' || leaf.identity.cluster !== trust.cluster) {
      throw untrusted(session.address, `its certificate is of ${leaf.identity.role} ${leaf.identity.nodeId}`)
    }
    this.#checkTime(leaf, nonce.time_ms, `the certificate of coordinator ${session.address}`)
    return { session, standing, trust: { ...trust, ca_fingerprint: fingerprint }, nonce }
  }

  /** Why this root can be trusted; the strongest reason counts, and one that contradicts it ends the attempt. */
  async #standing(
    session: CoordinatorSession,
    wish: CertificateWish,
    seen: { fingerprint: string; clientNonce: string; nonce: NonceAnswer },
  ): Promise<Standing> {
    const { token, plotJoinKey, hostJoinSecret } = this.#options
    if (wish.current) {
      const isSame = rootFingerprint(wish.current.trustPem) === seen.fingerprint
      if (!isSame)
        throw otherCluster(session.address, 'this node belongs to', rootFingerprint(wish.current.trustPem), seen)
      return { how: 'certificate', prove: () => ({ kind: 'none' }) }
    }
    if (token) {
      if (token.caFingerprint !== seen.fingerprint) {
        throw otherCluster(session.address, 'the join token is for', token.caFingerprint, seen)
      }
      const key = tokenKey(token.secret)
      const token_id = tokenId(token.secret)
      return { how: 'token', prove: (facts) => ({ kind: 'token', token_id, mac: joinMac(key, facts) }) }
    }
    if (plotJoinKey && seen.nonce.plot_proof !== undefined) {
      const facts = { exporter: session.exporter(), clientNonce: seen.clientNonce, caFingerprint: seen.fingerprint }
      const isSamePlot = isSameMac(plotProof(plotJoinKey, facts), seen.nonce.plot_proof)
      // Every node has a plot; that it is another one than the coordinator's is the normal case.
      if (isSamePlot) return { how: 'plot', prove: (join) => ({ kind: 'plot', mac: joinMac(plotJoinKey, join) }) }
    }
    const secret = await hostJoinSecret?.()
    if (secret?.fingerprint === seen.fingerprint) {
      return { how: 'host', prove: (facts) => ({ kind: 'host', mac: joinMac(secret.key, facts) }) }
    }
    if (wish.firstUseRootPem !== undefined && rootFingerprint(wish.firstUseRootPem) !== seen.fingerprint) {
      throw otherCluster(session.address, 'this node waits for', rootFingerprint(wish.firstUseRootPem), seen)
    }
    return { how: 'first use', prove: () => ({ kind: 'none' }) }
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
    { session, standing, trust, nonce }: Recognised,
    wish: CertificateWish,
  ): CertificateOutcome {
    const [leafPem = '', issuingPem = ''] = splitCertificates(answer.certificate_chain)
    const leaf = verifyChain({ leafPem, issuingPem, rootPem: trust.ca_certificate })
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
    return { status: 'issued', certificateChainPem: `${leafPem}\n${issuingPem}\n`, trustPem: trust.ca_certificate }
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
