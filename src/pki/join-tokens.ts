import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { toHex } from '../base/bytes.ts'
import { type ControlStore, type Entry, jsonValue, type Transaction } from '../base/control-store.ts'
import type { JoinTokenFacts } from '../base/enrolment.ts'
import { PkiError } from '../base/errors.ts'
import type { NodeRole } from '../base/identity.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import { TOKEN_SECRET_BYTES, tokenId, tokenKey } from './join-token.ts'
import { isSameMac, type JoinFacts, joinMac } from './proof.ts'

const PREFIX = 'pki/tokens/'
/** `<token id>/<hash>` of those that joined with it: they may ask again when their answer got lost. */
const REDEEMED_PREFIX = 'pki/redeemed/'
const TOKENS_MAX = 1_000
const TOKEN_USES_MAX = 1_000
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000
const TOKEN_TTL_MS_MAX = 30 * DAY_MS
/** An ended token is kept this long, so that who comes late is told "expired" and not "unknown". */
const ENDED_KEPT_MS = DAY_MS

interface TokenOptions {
  role: NodeRole
  uses: number
  ttlMs: number
}

interface StoredToken extends JoinTokenFacts {
  /** HKDF of the secret, hex: checks proofs, and does not give the secret back. */
  mac_key: string
}

/** A token that the proof was made with and that admits the key. */
export interface RedeemableToken {
  createdAtMs: number
  /** To be committed with the certificate: takes one use, or none when this key has joined with the token before. */
  redemption: Transaction
}

/** Join tokens, in the control store. */
export class JoinTokens {
  readonly #store: ControlStore
  readonly #clock: Clock
  readonly #random: Random
  #lastMade: Promise<unknown> = Promise.resolve()

  constructor(store: ControlStore, clock: Clock, random: Random) {
    this.#store = store
    this.#clock = clock
    this.#random = random
  }

  /**
   * @returns the secret, which is stored nowhere, and the facts
   * @throws {PkiError} P2P_RPC_INVALID_PARAMS, P2P_PKI_BUSY when there are too many tokens
   */
  async create(options: TokenOptions): Promise<{ secret: Uint8Array; facts: JoinTokenFacts }> {
    checkOptions(options)
    // One after the other, so that each counts the one before.
    const made = this.#lastMade.then(() => this.#create(options))
    this.#lastMade = made.catch(() => {})
    return made
  }

  async #create(options: TokenOptions): Promise<{ secret: Uint8Array; facts: JoinTokenFacts }> {
    if ((await this.list()).length >= TOKENS_MAX) {
      throw new PkiError('P2P_PKI_BUSY', `There are ${TOKENS_MAX} join tokens already: revoke some (p2p token revoke)`)
    }
    const secret = this.#random.bytes(TOKEN_SECRET_BYTES)
    const nowMs = this.#clock.wallMs()
    const facts: JoinTokenFacts = {
      token_id: tokenId(secret),
      role: options.role,
      uses_left: options.uses,
      created_at_ms: nowMs,
      expires_at_ms: nowMs + options.ttlMs,
    }
    const stored: StoredToken = { ...facts, mac_key: toHex(tokenKey(secret)) }
    await this.#store.transact({
      operations: [{ type: 'put', key: PREFIX + facts.token_id, value: jsonValue(stored) }],
    })
    return { secret, facts }
  }

  /** All that are kept, those that ended within the last day included; older ones are deleted on the way. */
  async list(): Promise<JoinTokenFacts[]> {
    const entries = await this.#store.range(PREFIX)
    const tokens = entries.map(parse)
    const endMs = this.#clock.wallMs() - ENDED_KEPT_MS
    const ended = tokens.filter(({ expires_at_ms }) => expires_at_ms < endMs)
    if (ended.length > 0) {
      for (const { token_id } of ended) await this.#delete(token_id)
    }
    return tokens.filter(({ expires_at_ms }) => expires_at_ms >= endMs).map(factsOf)
  }

  /** @throws {PkiError} P2P_PKI_REQUEST_UNKNOWN */
  async revoke(id: string): Promise<void> {
    if (!(await this.#store.get(PREFIX + id))) {
      throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', `There is no join token ${id}`, { tokenId: id })
    }
    await this.#delete(id)
  }

  async #delete(id: string): Promise<void> {
    const redeemed = await this.#store.range(`${REDEEMED_PREFIX}${id}/`)
    await this.#store.transact({
      operations: [PREFIX + id, ...redeemed.map(({ key }) => key)].map((key) => ({ type: 'delete', key })),
    })
  }

  /**
   * Checks a proof against the token it names.
   * @throws {PkiError} P2P_PKI_TOKEN_INVALID, P2P_PKI_PROOF_REJECTED, P2P_PKI_TOKEN_EXPIRED, P2P_PKI_TOKEN_USED_UP
   */
  async check(
    proof: { token_id: string; mac: string },
    join: JoinFacts,
    keyFingerprint: string,
  ): Promise<RedeemableToken> {
    const key = PREFIX + proof.token_id
    const entry = await this.#store.get(key)
    if (!entry) {
      throw new PkiError(
        'P2P_PKI_TOKEN_INVALID',
        'The coordinator knows no such join token: it was mistyped, revoked, or ended more than a day ago. Create one with: p2p token create',
      )
    }
    const token = parse(entry)
    if (!isSameMac(joinMac(Buffer.from(token.mac_key, 'hex'), join), proof.mac)) {
      throw new PkiError('P2P_PKI_PROOF_REJECTED', 'The proof was not made with this join token on this connection')
    }
    if (token.role !== join.role) {
      throw new PkiError('P2P_PKI_PROOF_REJECTED', `The join token admits a ${token.role}, not a ${join.role}`)
    }
    const compare = { key, revision: entry.revision }
    const redeemer = redeemerKey(proof.token_id, join.nodeId, keyFingerprint)
    if (await this.#store.get(redeemer)) {
      return { createdAtMs: token.created_at_ms, redemption: { compares: [compare], operations: [] } }
    }
    if (token.expires_at_ms <= this.#clock.wallMs()) {
      const endedAt = new Date(token.expires_at_ms).toISOString()
      throw new PkiError(
        'P2P_PKI_TOKEN_EXPIRED',
        `The join token expired at ${endedAt}. Create another with: p2p token create`,
        { expiresAtMs: token.expires_at_ms },
      )
    }
    return { createdAtMs: token.created_at_ms, redemption: redemptionOf(token, compare, redeemer) }
  }
}

function redemptionOf(token: StoredToken, compare: { key: string; revision: number }, redeemer: string): Transaction {
  if (token.uses_left === 0) {
    throw new PkiError(
      'P2P_PKI_TOKEN_USED_UP',
      'The join token has been used as often as it was made for. Create another with: p2p token create (--uses N for a fleet)',
    )
  }
  const used: StoredToken = { ...token, uses_left: token.uses_left - 1 }
  return {
    compares: [compare],
    operations: [
      { type: 'put', key: compare.key, value: jsonValue(used) },
      { type: 'put', key: redeemer, value: jsonValue(true) },
    ],
  }
}

function redeemerKey(id: string, nodeId: string, keyFingerprint: string): string {
  return `${REDEEMED_PREFIX}${id}/${createHash('sha256').update(`${nodeId}/${keyFingerprint}`).digest('hex')}`
}

function checkOptions({ uses, ttlMs }: { uses: number; ttlMs: number }): void {
  if (!Number.isInteger(uses) || uses < 1 || uses > TOKEN_USES_MAX) {
    throw new PkiError('P2P_RPC_INVALID_PARAMS', `A join token has 1 to ${TOKEN_USES_MAX} uses, not ${uses}`)
  }
  if (!(ttlMs >= MINUTE_MS && ttlMs <= TOKEN_TTL_MS_MAX)) {
    throw new PkiError('P2P_RPC_INVALID_PARAMS', `A join token lives from a minute to 30 days, not ${ttlMs} ms`)
  }
}

function factsOf(token: StoredToken): JoinTokenFacts {
  const { mac_key: _key, ...facts } = token
  return facts
}

function parse(entry: Entry): StoredToken {
  return JSON.parse(Buffer.from(entry.value).toString()) as StoredToken
}
