import type { JWK } from 'jose'
import type { AcmeAnswer } from '../../base/acme.ts'
import { fromBase64Url } from '../../base/bytes.ts'
import { AcmeProblem } from '../acme/problem.ts'
import type { AcmeAccount } from './acme-records.ts'
import { type AcmeContext, json, type SignedRequest } from './acme-context.ts'
import { accountKey, bindingKid, checkBinding, readJws, thumbprintOf, verifiedPayload } from './jws.ts'

const CONTACTS_MAX = 10
const CONTACT_LENGTH_MAX = 254
/** Two requests that open the same account at once; the second finds what the first has made. */
const ATTEMPTS_MAX = 3

/** Accounts (RFC 8555 section 7.3). */
export class AcmeAccounts {
  readonly #context: AcmeContext

  constructor(context: AcmeContext) {
    this.#context = context
  }

  /** @throws {AcmeProblem} accountDoesNotExist, unauthorized */
  async ofKid(base: string, kid: string): Promise<AcmeAccount> {
    const prefix = `${base}/acme/account/`
    const account = kid.startsWith(prefix) ? await this.#context.records.account(kid.slice(prefix.length)) : undefined
    if (!account) throw new AcmeProblem('accountDoesNotExist', 'There is no such account: open one')
    if (account.status !== 'valid') throw new AcmeProblem('unauthorized', `The account is ${account.status}`)
    return account
  }

  async open(request: SignedRequest, jwk: JWK): Promise<AcmeAnswer> {
    const { records, log } = this.#context
    const { payload = {}, base } = request
    const thumbprint = await thumbprintOf(jwk)
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const known = await records.accountOfKey(thumbprint)
      if (known?.status === 'valid') return json(200, view(known, base), location(known, base))
      if (known) throw new AcmeProblem('unauthorized', `The account of this key is ${known.status}`)
      if (payload.onlyReturnExisting === true) {
        throw new AcmeProblem('accountDoesNotExist', 'No account has this key')
      }
      const contact = contacts(payload.contact)
      const { kid, names } = await this.#binding(request, thumbprint)
      const account: AcmeAccount = {
        id: this.#context.newId(),
        thumbprint,
        jwk,
        contact,
        status: 'valid',
        kid,
        names,
        createdMs: this.#context.clock.wallMs(),
      }
      if (!(await records.openAccount(account))) continue
      log.info('ACME account opened', { account: account.id, kid, contact })
      return json(201, view(account, base), location(account, base))
    }
    throw new AcmeProblem('externalAccountRequired', 'The credential was used up meanwhile')
  }

  async update(account: AcmeAccount, { payload, base }: SignedRequest): Promise<AcmeAnswer> {
    if (payload === undefined) return json(200, view(account, base), location(account, base))
    const changed: AcmeAccount = {
      ...account,
      ...(payload.contact !== undefined && { contact: contacts(payload.contact) }),
      ...(payload.status === 'deactivated' && { status: 'deactivated' as const }),
    }
    await this.#context.records.putAccount(changed)
    return json(200, view(changed, base), location(changed, base))
  }

  /** RFC 8555 section 7.3.5: signed with the old key outside, with the new one inside. */
  async changeKey(account: AcmeAccount, { payload, base, path }: SignedRequest): Promise<AcmeAnswer> {
    const { jws, header } = readJws(payload)
    if (!header.jwk || header.nonce !== undefined || header.url !== base + path) {
      throw new AcmeProblem('malformed', 'The inner request has the new key as jwk, the same url, and no nonce')
    }
    accountKey(header.jwk)
    const inner = await verifiedPayload(jws, header.jwk)
    const oldKey = inner?.oldKey
    const isForThis =
      inner?.account === `${base}/acme/account/${account.id}` &&
      typeof oldKey === 'object' &&
      oldKey !== null &&
      (await thumbprintOf(oldKey as JWK).catch(() => undefined)) === account.thumbprint
    if (!isForThis) throw new AcmeProblem('malformed', 'The inner request names neither this account nor its key')
    const thumbprint = await thumbprintOf(header.jwk)
    if (!(await this.#context.records.changeKey(account, header.jwk, thumbprint))) {
      const other = await this.#context.records.accountOfKey(thumbprint)
      const headers = other ? location(other, base) : {}
      const problem = new AcmeProblem('malformed', 'Another account has this key', { status: 409 })
      return { status: 409, headers, contentType: 'application/problem+json', body: problem.document() }
    }
    return json(200, view({ ...account, jwk: header.jwk, thumbprint }, base), location(account, base))
  }

  /** @throws {AcmeProblem} externalAccountRequired, unauthorized */
  async #binding(request: SignedRequest, accountThumbprint: string): Promise<{ kid: string; names: string[] }> {
    const binding = request.payload?.externalAccountBinding
    if (binding === undefined) {
      throw new AcmeProblem(
        'externalAccountRequired',
        'This server opens accounts for credentials only: make one with "p2p acme create", and give its kid and key to the client',
      )
    }
    const credential = await this.#context.records.credential(bindingKid(binding))
    // One answer for an unknown credential and a wrong key: which ones exist is not told.
    if (!credential) throw new AcmeProblem('unauthorized', 'The external account binding is not accepted')
    const hmacKey = fromBase64Url(credential.hmac_key)
    await checkBinding(binding, { url: request.base + request.path, accountThumbprint, hmacKey })
    if (credential.expires_at_ms <= this.#context.clock.wallMs()) {
      throw new AcmeProblem('externalAccountRequired', 'The credential has expired: make a new one')
    }
    if (credential.uses_left < 1) {
      throw new AcmeProblem('externalAccountRequired', 'The credential has been used as often as it was made for')
    }
    return { kid: credential.kid, names: credential.names }
  }
}

function location(account: AcmeAccount, base: string): Record<string, string> {
  return { location: `${base}/acme/account/${account.id}` }
}

function view(account: AcmeAccount, base: string): object {
  const { status, contact } = account
  return { status, contact, orders: `${base}/acme/account/${account.id}/orders` }
}

/** Kept for people; nothing is sent there. */
function contacts(value: unknown): string[] {
  if (value === undefined || value === null) return []
  const isList = Array.isArray(value) && value.length <= CONTACTS_MAX
  const texts = isList ? value.filter((text): text is string => typeof text === 'string') : []
  const isGood = isList && texts.length === value.length && texts.every((text) => text.length <= CONTACT_LENGTH_MAX)
  if (isGood) return texts
  throw new AcmeProblem('malformed', `contact is a list of at most ${CONTACTS_MAX} URLs`)
}
