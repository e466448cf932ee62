import type { JWK } from 'jose'
import type { AcmeCredentialFacts } from '../../base/acme.ts'
import { type ControlStore, getJson, jsonValue, type Operation } from '../../base/control-store.ts'
import type { AcmeIdentifier } from '../acme/identifier.ts'
import type { AcmeOrder } from '../acme/order.ts'
import { AcmeProblem } from '../acme/problem.ts'

/** An account: a key that may order, and on whose credential. */
export interface AcmeAccount {
  id: string
  /** RFC 7638, SHA-256, base64url. */
  thumbprint: string
  jwk: JWK
  contact: string[]
  status: 'valid' | 'deactivated' | 'revoked'
  /** The credential it was opened with. */
  kid: string
  names: string[]
  createdMs: number
}

export interface StoredCredential extends AcmeCredentialFacts {
  /** HMAC key, base64url: the vault keeps it secret, and a check of an HMAC needs the key itself. */
  hmac_key: string
}

/** A certificate that was issued, for its download and its revocation. */
export interface AcmeCertificate {
  serial: string
  accountId: string
  chainPem: string
  keyFingerprint: string
  identifiers: AcmeIdentifier[]
  notBeforeMs: number
  notAfterMs: number
  /** Serial of the one ordered in its place (RFC 9773 section 5). */
  replacedBy?: string
}

const KEYS = {
  account: 'acme/account/',
  thumbprint: 'acme/thumbprint/',
  order: 'acme/order/',
  certificate: 'acme/certificate/',
  credential: 'acme/credential/',
} as const

/** Somebody else changed the record at every attempt: something is wrong. */
const ATTEMPTS_MAX = 16

/** What the ACME server keeps, in the control store. */
export class AcmeRecords {
  readonly #store: ControlStore

  constructor(store: ControlStore) {
    this.#store = store
  }

  account(id: string): Promise<AcmeAccount | undefined> {
    return getJson<AcmeAccount>(this.#store, KEYS.account + id)
  }

  async accountOfKey(thumbprint: string): Promise<AcmeAccount | undefined> {
    const id = await getJson<string>(this.#store, KEYS.thumbprint + thumbprint)
    return id === undefined ? undefined : this.account(id)
  }

  async accounts(): Promise<AcmeAccount[]> {
    return this.#all<AcmeAccount>(KEYS.account)
  }

  /** Opens the account and takes one use of its credential. @returns false when the key or the credential has changed meanwhile */
  async openAccount(account: AcmeAccount): Promise<boolean> {
    const entry = await this.#store.get(KEYS.credential + account.kid)
    const credential = entry && (JSON.parse(decoder.decode(entry.value)) as StoredCredential)
    if (!entry || !credential || credential.uses_left < 1) return false
    const { succeeded } = await this.#store.transact({
      compares: [
        { key: KEYS.thumbprint + account.thumbprint, revision: 0 },
        { key: entry.key, revision: entry.revision },
      ],
      operations: [
        putJson(KEYS.account + account.id, account),
        putJson(KEYS.thumbprint + account.thumbprint, account.id),
        putJson(entry.key, { ...credential, uses_left: credential.uses_left - 1 }),
      ],
    })
    return succeeded
  }

  async putAccount(account: AcmeAccount): Promise<void> {
    await this.#store.transact({ operations: [putJson(KEYS.account + account.id, account)] })
  }

  /** @returns false when another account has that key */
  async changeKey(account: AcmeAccount, jwk: JWK, thumbprint: string): Promise<boolean> {
    const { succeeded } = await this.#store.transact({
      compares: [{ key: KEYS.thumbprint + thumbprint, revision: 0 }],
      operations: [
        putJson(KEYS.account + account.id, { ...account, jwk, thumbprint }),
        putJson(KEYS.thumbprint + thumbprint, account.id),
        { type: 'delete', key: KEYS.thumbprint + account.thumbprint },
      ],
    })
    return succeeded
  }

  order(id: string): Promise<AcmeOrder | undefined> {
    return getJson<AcmeOrder>(this.#store, KEYS.order + id)
  }

  orders(): Promise<AcmeOrder[]> {
    return this.#all<AcmeOrder>(KEYS.order)
  }

  orderOperation(order: AcmeOrder): Operation {
    return putJson(KEYS.order + order.id, order)
  }

  async putOrder(order: AcmeOrder): Promise<void> {
    await this.#store.transact({ operations: [putJson(KEYS.order + order.id, order)] })
  }

  /**
   * Applies a change to the order as it is now; applied again when another change came first.
   * @param change returns undefined to leave it
   * @returns the order after it
   * @throws {AcmeProblem} malformed: there is none; what `change` throws
   */
  async changeOrder(id: string, change: (order: AcmeOrder) => AcmeOrder | undefined): Promise<AcmeOrder> {
    const key = KEYS.order + id
    for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
      const entry = await this.#store.get(key)
      if (!entry) throw new AcmeProblem('malformed', 'There is no such order', { status: 404 })
      const order = JSON.parse(decoder.decode(entry.value)) as AcmeOrder
      const after = change(order)
      if (!after || after === order) return order
      const compares = [{ key, revision: entry.revision }]
      if ((await this.#store.transact({ compares, operations: [putJson(key, after)] })).succeeded) return after
    }
    throw new AcmeProblem('serverInternal', 'The order is being changed by too many requests at once')
  }

  certificate(serial: string): Promise<AcmeCertificate | undefined> {
    return getJson<AcmeCertificate>(this.#store, KEYS.certificate + serial)
  }

  certificateOperation(certificate: AcmeCertificate): Operation {
    return putJson(KEYS.certificate + certificate.serial, certificate)
  }

  async putCertificate(certificate: AcmeCertificate): Promise<void> {
    await this.#store.transact({ operations: [this.certificateOperation(certificate)] })
  }

  credential(kid: string): Promise<StoredCredential | undefined> {
    return getJson<StoredCredential>(this.#store, KEYS.credential + kid)
  }

  credentials(): Promise<StoredCredential[]> {
    return this.#all<StoredCredential>(KEYS.credential)
  }

  async putCredential(credential: StoredCredential): Promise<void> {
    await this.#store.transact({ operations: [putJson(KEYS.credential + credential.kid, credential)] })
  }

  /** The credential goes, and every account that was opened with it is revoked. */
  async revokeCredential(kid: string): Promise<void> {
    const accounts = (await this.accounts()).filter((account) => account.kid === kid)
    await this.#store.transact({
      operations: [
        { type: 'delete', key: KEYS.credential + kid },
        ...accounts.map((account) => putJson(KEYS.account + account.id, { ...account, status: 'revoked' })),
      ],
    })
  }

  /** Deletes orders that ended and certificates that expired before these times. */
  async deleteOld(ordersBeforeMs: number, certificatesBeforeMs: number): Promise<void> {
    const orders = (await this.orders()).filter((order) => order.expiresMs < ordersBeforeMs)
    const certificates = (await this.#all<AcmeCertificate>(KEYS.certificate)).filter(
      (certificate) => certificate.notAfterMs < certificatesBeforeMs,
    )
    const operations: Operation[] = [
      ...orders.map(({ id }): Operation => ({ type: 'delete', key: KEYS.order + id })),
      ...certificates.map(({ serial }): Operation => ({ type: 'delete', key: KEYS.certificate + serial })),
    ]
    if (operations.length > 0) await this.#store.transact({ operations })
  }

  async #all<T>(prefix: string): Promise<T[]> {
    return (await this.#store.range(prefix)).map(({ value }) => JSON.parse(decoder.decode(value)) as T)
  }
}

const decoder = new TextDecoder()

function putJson(key: string, value: unknown): Operation {
  return { type: 'put', key, value: jsonValue(value) }
}
