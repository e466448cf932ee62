import type { Acme, AcmeAdmin, AcmeAnswer, AcmeCredentialFacts, AcmeRequest } from '../../base/acme.ts'
import { toBase64Url } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { codeOf, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Timer } from '../../base/time.ts'
import { AcmeProblem } from '../acme/problem.ts'
import { canonicalAddress, isHostName } from '../address.ts'
import { AcmeAccounts } from './acme-accounts.ts'
import { AcmeCertificates } from './acme-certificates.ts'
import { AcmeOrders } from './acme-orders.ts'
import { type AcmeAccount, AcmeRecords } from './acme-records.ts'
import type { AcmeContext, AcmeServerNeeds, SignedRequest } from './acme-context.ts'
import { ChallengeProver } from './challenge-prover.ts'
import { createAcmeCredentials } from './credentials.ts'
import { type AcmeHeader, readJws, verifiedPayload } from './jws.ts'
import { ReplayNonces } from './replay-nonces.ts'

const ID_BYTES = 15
const CLEAN_UP_MS = 3_600_000
/** A finished order is shown a while longer, an expired certificate may still be asked for its successor. */
const ORDER_KEPT_MS = 24 * 3_600_000
const CERTIFICATE_KEPT_MS = 7 * 24 * 3_600_000

/** The ACME server of a coordinator; its state is in the control store, nonces apart. */
export function createAcmeServer(needs: AcmeServerNeeds): Acme & AcmeAdmin & Component {
  return new StoredAcmeServer(needs)
}

class StoredAcmeServer implements Acme, AcmeAdmin, Component {
  readonly name = 'acme server'
  readonly #context: AcmeContext
  readonly #log: Logger
  readonly #nonces: ReplayNonces
  readonly #accounts: AcmeAccounts
  readonly #orders: AcmeOrders
  readonly #certificates: AcmeCertificates
  readonly #credentials: AcmeAdmin
  #cleaning: Timer | undefined

  constructor(needs: AcmeServerNeeds) {
    this.#log = needs.log.child('ACME')
    this.#context = {
      ...needs,
      log: this.#log,
      records: new AcmeRecords(needs.store),
      prover: new ChallengeProver(needs.clock, needs.probes),
      names: { isHostName, canonicalAddress },
      newId: () => toBase64Url(needs.random.bytes(ID_BYTES)),
    }
    this.#nonces = new ReplayNonces(needs.random)
    this.#accounts = new AcmeAccounts(this.#context)
    this.#orders = new AcmeOrders(this.#context)
    this.#certificates = new AcmeCertificates(this.#context)
    this.#credentials = createAcmeCredentials(this.#context)
  }

  async start(): Promise<void> {
    await this.#orders.resume()
    await this.#cleanUp()
  }

  async stop(): Promise<void> {
    this.#cleaning?.cancel()
    await this.#orders.stop()
  }

  directory(base: string): object {
    const at = (path: string): string => `${base}/acme/${path}`
    return {
      newNonce: at('new-nonce'),
      newAccount: at('new-account'),
      newOrder: at('new-order'),
      revokeCert: at('revoke-cert'),
      keyChange: at('key-change'),
      renewalInfo: at('renewal-info'),
      meta: { externalAccountRequired: true },
    }
  }

  nonce(): string {
    return this.#nonces.issue()
  }

  async post(request: AcmeRequest, body: unknown, signal: AbortSignal): Promise<AcmeAnswer> {
    let answer: AcmeAnswer
    try {
      answer = await this.#answer(request, body, signal)
    } catch (error) {
      answer = this.#refusal(error, request.path)
    }
    const links = [`<${request.base}/acme/directory>;rel="index"`, answer.headers.link].filter(Boolean).join(', ')
    return { ...answer, headers: { ...answer.headers, link: links, 'replay-nonce': this.#nonces.issue() } }
  }

  async renewalInfo(_base: string, certificateId: string): Promise<AcmeAnswer> {
    try {
      return await this.#certificates.renewalInfo(certificateId)
    } catch (error) {
      return this.#refusal(error, 'renewal-info')
    }
  }

  createCredential(...options: Parameters<AcmeAdmin['createCredential']>): ReturnType<AcmeAdmin['createCredential']> {
    return this.#credentials.createCredential(...options)
  }

  listCredentials(): Promise<AcmeCredentialFacts[]> {
    return this.#credentials.listCredentials()
  }

  revokeCredential(kid: string): Promise<void> {
    return this.#credentials.revokeCredential(kid)
  }

  async #answer(request: AcmeRequest, body: unknown, signal: AbortSignal): Promise<AcmeAnswer> {
    const { jws, header } = readJws(body)
    // Used up whatever follows: a request that was seen once is not taken again.
    this.#nonces.use(header.nonce)
    const url = request.base + request.path
    if (header.url !== url) {
      throw new AcmeProblem('unauthorized', `The request was signed for ${shown(header.url)}, and sent to ${url}`)
    }
    const segments = request.path.split('/').slice(2)
    const signed = async (jwk: NonNullable<AcmeHeader['jwk']>): Promise<SignedRequest> => ({
      ...request,
      segments,
      signal,
      payload: await verifiedPayload(jws, jwk),
    })
    const [resource] = segments
    if (resource === 'new-account') {
      const jwk = needed(header.jwk, 'jwk')
      return this.#accounts.open(await signed(jwk), jwk)
    }
    if (resource === 'revoke-cert' && header.jwk) {
      return this.#certificates.revokeByOwnKey(await signed(header.jwk), header.jwk)
    }
    const account = await this.#accounts.ofKid(request.base, needed(header.kid, 'kid'))
    return this.#route(account, await signed(account.jwk))
  }

  #route(account: AcmeAccount, request: SignedRequest): Promise<AcmeAnswer> {
    const [resource = '', id = '', part] = request.segments
    switch (resource) {
      case 'account':
        if (id !== account.id) throw new AcmeProblem('unauthorized', 'That is the account of somebody else')
        return part === 'orders' ? this.#orders.list(account, request) : this.#accounts.update(account, request)
      case 'key-change':
        return this.#accounts.changeKey(account, request)
      case 'new-order':
        return this.#orders.create(account, request)
      case 'order':
        return part === 'finalize' ? this.#orders.finalize(account, request) : this.#orders.show(account, request)
      case 'authorization':
        return this.#orders.authorization(account, request)
      case 'challenge':
        return this.#orders.challenge(account, request)
      case 'certificate':
        return this.#certificates.download(account, request)
      case 'revoke-cert':
        return this.#certificates.revokeByAccount(account, request)
      default:
        throw new AcmeProblem('malformed', 'There is no such resource', { status: 404 })
    }
  }

  #refusal(error: unknown, path: string): AcmeAnswer {
    const problem = this.#problemOf(error, path)
    const headers: Record<string, string> = problem.type === 'rateLimited' ? { 'retry-after': '60' } : {}
    this.#log.info('An ACME request was refused', { path, type: problem.type, detail: problem.message })
    return { status: problem.status, headers, contentType: 'application/problem+json', body: problem.document() }
  }

  #problemOf(error: unknown, path: string): AcmeProblem {
    if (error instanceof AcmeProblem) return error
    const code = codeOf(error)
    if (code === 'P2P_PKI_CSR_REJECTED') return new AcmeProblem('badCSR', messageOf(error))
    if (code === 'P2P_PKI_BUSY' || code === 'P2P_STORAGE_OVERLOADED') {
      return new AcmeProblem('rateLimited', messageOf(error))
    }
    this.#log.error('An ACME request failed', { path, error })
    return new AcmeProblem('serverInternal', 'The server failed; the log of the coordinator has the reason')
  }

  async #cleanUp(): Promise<void> {
    const nowMs = this.#context.clock.wallMs()
    try {
      await this.#context.records.deleteOld(nowMs - ORDER_KEPT_MS, nowMs - CERTIFICATE_KEPT_MS)
    } catch (error) {
      this.#log.warning('Old ACME orders could not be deleted', { error })
    }
    this.#cleaning = this.#context.clock.after(CLEAN_UP_MS, () => void this.#cleanUp())
  }
}

function needed<T>(value: T | undefined, member: 'jwk' | 'kid'): T {
  if (value !== undefined) return value
  throw new AcmeProblem('malformed', `Here the protected header has ${member}`)
}

function shown(text: string): string {
  return text.slice(0, 200).replace(/[^\x20-\x7e]/g, '?')
}
