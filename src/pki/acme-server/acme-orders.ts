import type { AcmeAnswer } from '../../base/acme.ts'
import { fromBase64Url, toBase64Url } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import { delay } from '../../base/time.ts'
import { type AcmeIdentifier, checkedIdentifiers, isCovered } from '../acme/identifier.ts'
import {
  type AcmeChallenge,
  type AcmeOrder,
  authorizationAt,
  authorizationStatus,
  beginChallenge,
  beginFinalize,
  CHALLENGE_TYPES,
  challengeAt,
  type ChallengeType,
  deactivateAuthorization,
  endChallenge,
  endFinalize,
  interruptChallenges,
  newOrder,
  orderStatus,
} from '../acme/order.ts'
import { AcmeProblem } from '../acme/problem.ts'
import type { IssuedChain } from '../certificate-authority.ts'
import type { ServerSigningRequest } from '../x509/signing.ts'
import { certificateSerial, isServedBy } from './acme-certificates.ts'
import type { AcmeAccount, AcmeCertificate } from './acme-records.ts'
import { type AcmeContext, json, type SignedRequest } from './acme-context.ts'

const TOKEN_BYTES = 24
/** Of one account that are not finished. */
const OPEN_ORDERS_MAX = 100
/** A client that is told the outcome at once needs not come back for it. */
const CHALLENGE_ANSWER_MS = 2_000
const RETRY_AFTER_S = '1'

/** Orders, their authorizations and challenges (RFC 8555 sections 7.4 and 7.5). */
export class AcmeOrders {
  readonly #context: AcmeContext
  /** Challenges being looked at. */
  readonly #looking = new Map<string, Promise<void>>()
  readonly #stopping = new AbortController()

  constructor(context: AcmeContext) {
    this.#context = context
  }

  /** What a restart interrupted waits for its client again. */
  async resume(): Promise<void> {
    const { records } = this.#context
    for (const order of await records.orders()) {
      const isOpen = order.authorizations.some(({ challenges }) =>
        challenges.some((one) => one.status === 'processing'),
      )
      if (isOpen) await records.putOrder(interruptChallenges(order))
      // Its certificate was never recorded, or the order would be valid: both are one commit.
      else if (order.status === 'processing') await records.putOrder({ ...order, status: 'pending' })
    }
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the coordinator is stopping'))
    await Promise.allSettled(this.#looking.values())
  }

  async create(account: AcmeAccount, { payload = {}, base }: SignedRequest): Promise<AcmeAnswer> {
    const { records, clock, random, names, newId } = this.#context
    const identifiers = checkedIdentifiers(payload.identifiers, names)
    const foreign = identifiers.filter((identifier) => !isCovered(identifier, account.names))
    if (foreign.length > 0) {
      const list = foreign.map(({ value }) => value).join(', ')
      throw new AcmeProblem('rejectedIdentifier', `The credential of this account is not for ${list}`)
    }
    const nowMs = clock.wallMs()
    const open = (await this.#ordersOf(account)).filter((order) => {
      const status = orderStatus(order, nowMs)
      return status === 'pending' || status === 'ready' || status === 'processing'
    })
    if (open.length >= OPEN_ORDERS_MAX) {
      throw new AcmeProblem('rateLimited', `The account has ${OPEN_ORDERS_MAX} open orders: finish some`)
    }
    const replaced = await this.#replaced(account, payload.replaces)
    const notAfterMs = time(payload.notAfter)
    const order = newOrder(
      {
        id: newId(),
        accountId: account.id,
        identifiers,
        ...(notAfterMs !== undefined && { notAfterMs }),
        ...(replaced && { replaces: replaced.serial }),
      },
      () => toBase64Url(random.bytes(TOKEN_BYTES)),
      nowMs,
    )
    await records.putOrder(order)
    return json(201, orderView(order, base, nowMs), { location: `${base}/acme/order/${order.id}` })
  }

  async list(account: AcmeAccount, { base }: SignedRequest): Promise<AcmeAnswer> {
    const orders = (await this.#ordersOf(account)).map(({ id }) => `${base}/acme/order/${id}`)
    return json(200, { orders })
  }

  async show(account: AcmeAccount, { segments, base }: SignedRequest): Promise<AcmeAnswer> {
    const order = await this.#own(account, segments[1])
    const location = { location: `${base}/acme/order/${order.id}` }
    return json(200, orderView(order, base, this.#context.clock.wallMs()), location)
  }

  async authorization(account: AcmeAccount, { segments, base, payload }: SignedRequest): Promise<AcmeAnswer> {
    const { records, clock } = this.#context
    const index = indexOf(segments[2])
    let order = await this.#own(account, segments[1])
    authorizationAt(order, index)
    if (payload?.status === 'deactivated') {
      order = await records.changeOrder(order.id, (current) => deactivateAuthorization(current, index))
    }
    return json(200, authorizationView(order, index, base, clock.wallMs()))
  }

  /** With a payload the client's answer is in place; what was found is told at once where it takes no longer than a moment. */
  async challenge(account: AcmeAccount, request: SignedRequest): Promise<AcmeAnswer> {
    const { segments, base, payload } = request
    const { records, clock } = this.#context
    const place = { index: indexOf(segments[2]), type: challengeType(segments[3]) }
    let order = await this.#own(account, segments[1])
    challengeAt(order, place.index, place.type)
    if (payload !== undefined) {
      let isBegun = false
      order = await records.changeOrder(order.id, (current) => {
        const begun = beginChallenge(current, place.index, place.type, clock.wallMs())
        isBegun = begun !== undefined
        return begun
      })
      const key = `${order.id}/${place.index}`
      if (isBegun) this.#look(key, account, order, place, request)
      await this.#outcomeOf(key, request.signal)
      order = await this.#own(account, order.id)
    }
    const challenge = challengeAt(order, place.index, place.type)
    const up = `<${base}/acme/authorization/${order.id}/${place.index}>;rel="up"`
    const retry: Record<string, string> = challenge.status === 'processing' ? { 'retry-after': RETRY_AFTER_S } : {}
    return json(200, challengeView(order, place.index, challenge, base), { link: up, ...retry })
  }

  async finalize(account: AcmeAccount, { segments, base, payload }: SignedRequest): Promise<AcmeAnswer> {
    const { records, clock, ca } = this.#context
    const found = await this.#own(account, segments[1])
    if (typeof payload?.csr !== 'string') throw new AcmeProblem('malformed', 'csr is missing: base64url of the DER')
    const csr = await ca.readServerCsr(fromBase64Url(payload.csr))
    this.#refuseForeignKey(account, csr)
    let order = await records.changeOrder(found.id, (current) =>
      beginFinalize(current, this.#namesOf(csr), clock.wallMs()),
    )
    try {
      await this.#issue(account, order, csr)
      order = await this.#own(account, order.id)
    } catch (error) {
      // The order stays ready: what failed was this server.
      await records.changeOrder(order.id, (current) => ({ ...current, status: 'pending' }))
      throw error
    }
    const location = { location: `${base}/acme/order/${order.id}` }
    return json(200, orderView(order, base, clock.wallMs()), location)
  }

  /** Order, certificate and record of the CA are one commit. */
  async #issue(account: AcmeAccount, order: AcmeOrder, csr: ServerSigningRequest): Promise<void> {
    const { ca, records } = this.#context
    const replaced = order.replaces === undefined ? undefined : await records.certificate(order.replaces)
    const ofType = (type: AcmeIdentifier['type']): string[] =>
      order.identifiers.filter((identifier) => identifier.type === type).map(({ value }) => value)
    await ca.issueServer({
      csr,
      holder: `acme:${account.id}`,
      dnsNames: ofType('dns'),
      ipAddresses: ofType('ip'),
      ...(order.notAfterMs !== undefined && { notAfterMs: order.notAfterMs }),
      alongside: (issued) => {
        const { serial } = issued.record
        return [
          records.certificateOperation(certificateRecord(order, csr, issued)),
          records.orderOperation(endFinalize(order, { serial })),
          ...(replaced ? [records.certificateOperation({ ...replaced, replacedBy: serial })] : []),
        ]
      },
    })
  }

  #look(
    key: string,
    account: AcmeAccount,
    order: AcmeOrder,
    { index, type }: { index: number; type: ChallengeType },
    { isSameHost, onChallengeFailed }: SignedRequest,
  ): void {
    const { prover, records, clock, log } = this.#context
    const { identifier } = authorizationAt(order, index)
    const { token } = challengeAt(order, index, type)
    const question = { identifier, token, keyAuthorization: `${token}.${account.thumbprint}` }
    const look = async (): Promise<void> => {
      try {
        const problem = await prover.prove(type, question, isSameHost, this.#stopping.signal)
        const outcome = problem ? { error: problem } : 'proved'
        await records.changeOrder(order.id, (current) => endChallenge(current, index, type, outcome, clock.wallMs()))
        const facts = { account: account.id, name: identifier.value, type, problem: problem?.detail }
        log.info(problem ? 'An ACME challenge failed' : 'An ACME challenge was proved', facts)
        if (problem) onChallengeFailed(problem.type)
      } catch (error) {
        // Stopping, or the vault is full: the challenge is looked at again after the next start.
        log.warning('An ACME challenge was not decided', { name: identifier.value, reason: messageOf(error) })
      } finally {
        this.#looking.delete(key)
      }
    }
    this.#looking.set(key, look())
  }

  async #outcomeOf(key: string, signal: AbortSignal): Promise<void> {
    const looking = this.#looking.get(key)
    if (!looking) return
    const patience = new AbortController()
    const late = delay(this.#context.clock, CHALLENGE_ANSWER_MS, AbortSignal.any([patience.signal, signal]))
    await Promise.race([looking, late.catch(() => {})])
    patience.abort()
  }

  #namesOf(csr: ServerSigningRequest): AcmeIdentifier[] {
    const { canonicalAddress } = this.#context.names
    const addresses = csr.ipAddresses.map((value) => canonicalAddress(value) ?? value)
    const ofName = (value: string): AcmeIdentifier => {
      const address = canonicalAddress(value)
      return address === undefined ? { type: 'dns', value } : { type: 'ip', value: address }
    }
    return [...csr.dnsNames.map(ofName), ...addresses.map((value): AcmeIdentifier => ({ type: 'ip', value }))]
  }

  /** Who holds a server's key must not be able to order in the account's name (RFC 8555 section 11.1). */
  #refuseForeignKey(account: AcmeAccount, csr: ServerSigningRequest): void {
    if (isServedBy(account.jwk, csr.keyFingerprint)) {
      throw new AcmeProblem('badCSR', 'The key of the certificate must not be the key of the account')
    }
    if (this.#context.ca.isRevokedKey(csr.keyFingerprint)) {
      throw new AcmeProblem('badCSR', 'A certificate for this key was revoked: make a new key')
    }
  }

  /** @throws {AcmeProblem} malformed, unauthorized, alreadyReplaced */
  async #replaced(account: AcmeAccount, id: unknown): Promise<AcmeCertificate | undefined> {
    if (id === undefined) return undefined
    const serial = typeof id === 'string' ? certificateSerial(id) : undefined
    const certificate = serial === undefined ? undefined : await this.#context.records.certificate(serial)
    if (!certificate) throw new AcmeProblem('malformed', 'replaces names no certificate of this server')
    if (certificate.accountId !== account.id) {
      throw new AcmeProblem('unauthorized', 'replaces names a certificate of another account')
    }
    if (certificate.replacedBy !== undefined) {
      throw new AcmeProblem('alreadyReplaced', 'The certificate that replaces names has been replaced already')
    }
    return certificate
  }

  async #ordersOf(account: AcmeAccount): Promise<AcmeOrder[]> {
    return (await this.#context.records.orders()).filter(({ accountId }) => accountId === account.id)
  }

  /** @throws {AcmeProblem} malformed: there is none, or it is another account's, which is not told apart */
  async #own(account: AcmeAccount, id = ''): Promise<AcmeOrder> {
    const order = await this.#context.records.order(id)
    if (order?.accountId === account.id) return order
    throw new AcmeProblem('malformed', 'There is no such order of this account', { status: 404 })
  }
}

function certificateRecord(order: AcmeOrder, csr: ServerSigningRequest, issued: IssuedChain): AcmeCertificate {
  const { serial, not_before_ms: notBeforeMs, not_after_ms: notAfterMs } = issued.record
  return {
    serial,
    accountId: order.accountId,
    chainPem: issued.certificateChainPem,
    keyFingerprint: csr.keyFingerprint,
    identifiers: order.identifiers,
    notBeforeMs,
    notAfterMs,
  }
}

function orderView(order: AcmeOrder, base: string, nowMs: number): object {
  const { id, identifiers, authorizations, expiresMs, certificate, notAfterMs, error } = order
  return {
    status: orderStatus(order, nowMs),
    expires: iso(expiresMs),
    identifiers,
    ...(notAfterMs !== undefined && { notAfter: iso(notAfterMs) }),
    authorizations: authorizations.map((_, index) => `${base}/acme/authorization/${id}/${index}`),
    finalize: `${base}/acme/order/${id}/finalize`,
    ...(certificate !== undefined && { certificate: `${base}/acme/certificate/${certificate}` }),
    ...(error && { error }),
  }
}

function authorizationView(order: AcmeOrder, index: number, base: string, nowMs: number): object {
  const { identifier, challenges, isWildcard } = authorizationAt(order, index)
  return {
    identifier,
    status: authorizationStatus(order, index, nowMs),
    expires: iso(order.expiresMs),
    ...(isWildcard && { wildcard: true }),
    challenges: challenges.map((challenge) => challengeView(order, index, challenge, base)),
  }
}

function challengeView(order: AcmeOrder, index: number, challenge: AcmeChallenge, base: string): object {
  const { type, token, status, validatedMs, error } = challenge
  return {
    type,
    url: `${base}/acme/challenge/${order.id}/${index}/${type}`,
    status,
    token,
    ...(validatedMs !== undefined && { validated: iso(validatedMs) }),
    ...(error && { error }),
  }
}

function indexOf(text: string | undefined): number {
  return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : -1
}

/** @throws {AcmeProblem} malformed */
function challengeType(text: string | undefined): ChallengeType {
  const type = CHALLENGE_TYPES.find((candidate) => candidate === text)
  if (type !== undefined) return type
  throw new AcmeProblem('malformed', 'There is no such challenge', { status: 404 })
}

/** RFC 3339. @throws {AcmeProblem} malformed */
function time(value: unknown): number | undefined {
  if (value === undefined) return undefined
  const ms = typeof value === 'string' ? Date.parse(value) : NaN
  if (Number.isFinite(ms)) return ms
  throw new AcmeProblem('malformed', 'notAfter is no time of the form 2026-01-02T03:04:05Z')
}

function iso(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`
}
