import { toBase64Url } from '../../base/bytes.ts'
import { type ControlStore, jsonValue, type Operation } from '../../base/control-store.ts'
import { RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import { type PersonRole, TOKEN_TTL_S_DEFAULT, TOKEN_TTL_S_MAX } from './access-token.ts'
import { hashOfCredential } from './operator-credential.ts'
import type { RecordAct } from './record-act.ts'
import { newRefreshToken, refreshedBy, sessionIdOf } from './refresh-token.ts'
import type { AccessToken, TokenIssuer } from './token-issuer.ts'
import type { SessionKind, SessionView, StoredSession } from './user.ts'

/** How somebody comes in. */
export interface SessionOptions {
  /** The address it comes from. */
  from: string
  kind: SessionKind
  ttlS?: number
  record: RecordAct
}

export interface SignedIn {
  name: string
  token: AccessToken
  /** Trades for the next token, once; none for browsers, whose cookie is renewed. */
  refreshToken?: string
  /** When the session ends whatever is renewed; wall time, Unix milliseconds. */
  endsAtMs: number
}

export interface SessionsNeeds {
  store: ControlStore
  clock: Clock
  random: Random
  log: Logger
  tokens: Pick<TokenIssuer, 'sign' | 'withdraw' | 'isRevoked'>
}

const PREFIX = 'auth/sessions/'
const LIFE_MS = TOKEN_TTL_S_MAX * 1_000
const PER_PERSON_MAX = 50
const ID_BYTES = 16

/** The sessions of all people, in the store. Whoever owns them lets one change end before the next begins. */
export class Sessions {
  readonly #needs: SessionsNeeds
  readonly #sessions = new Map<string, StoredSession>()

  constructor(needs: SessionsNeeds) {
    this.#needs = needs
  }

  async load(): Promise<void> {
    for (const { key, value } of await this.#needs.store.range(PREFIX)) {
      this.#sessions.set(key.slice(PREFIX.length), JSON.parse(Buffer.from(value).toString('utf8')) as StoredSession)
    }
  }

  /** Ids of the person's sessions that live. */
  of(name: string): string[] {
    return [...this.#sessions]
      .filter(([id, session]) => session.name === name && !this.#isOver(id, session))
      .map(([id]) => id)
  }

  /** Newest first. */
  views(name: string): SessionView[] {
    return this.of(name)
      .map((id) => {
        const { kind, from, created_at_ms, ends_at_ms } = this.#sessions.get(id) as StoredSession
        return { id, kind, from, createdAtMs: created_at_ms, endsAtMs: ends_at_ms }
      })
      .sort((a, b) => b.createdAtMs - a.createdAtMs)
  }

  /**
   * Opens one, and does what else belongs to it in the same commit. A person has so many; the oldest give way.
   * @throws {StorageError}
   */
  async open(
    { name, role }: { name: string; role: PersonRole },
    { kind, from, ttlS, record }: SessionOptions,
    also: readonly Operation[] = [],
  ): Promise<SignedIn> {
    const { clock, random, log } = this.#needs
    await record({ name, role })
    const id = toBase64Url(random.bytes(ID_BYTES))
    const refreshToken = kind === 'program' ? newRefreshToken(id, random) : undefined
    const nowMs = clock.wallMs()
    const session: StoredSession = {
      name,
      role,
      kind,
      from,
      created_at_ms: nowMs,
      ends_at_ms: nowMs + LIFE_MS,
      ...(refreshToken !== undefined && { refresh: hashOfCredential(refreshToken) }),
      spent: [],
    }
    const surplus = this.views(name).slice(PER_PERSON_MAX - 1)
    await this.end(
      surplus.map((other) => other.id),
      [sessionPut(id, session), ...also, ...this.#forgotten()],
    )
    this.#sessions.set(id, session)
    log.info('Signed in', { name, role, kind, from })
    return this.#signedIn(id, session, ttlS, refreshToken)
  }

  /** Trades a refresh token. @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED */
  async refresh(refreshToken: string, { ttlS, record }: Pick<SessionOptions, 'ttlS' | 'record'>): Promise<SignedIn> {
    const { id, session } = await this.#ofRefreshToken(refreshToken)
    await record(session)
    const next = newRefreshToken(id, this.#needs.random)
    const changed = refreshedBy(session, hashOfCredential(next))
    await this.#needs.store.transact({ operations: [sessionPut(id, changed)] })
    this.#sessions.set(id, changed)
    return this.#signedIn(id, changed, ttlS, next)
  }

  /** Ends the one a refresh token is of. @throws {RpcError} as `refresh` */
  async revoke(refreshToken: string, record: RecordAct): Promise<void> {
    const { id, session } = await this.#ofRefreshToken(refreshToken)
    await record(session)
    await this.end([id])
  }

  /** Ends sessions everywhere, and does what else belongs to it, in one commit. */
  async end(ids: readonly string[], also: readonly Operation[] = []): Promise<void> {
    const endings = ids.map((id) => ({ id, endsMs: (this.#sessions.get(id) as StoredSession).ends_at_ms }))
    const gone = ids.map((id) => ({ type: 'delete', key: PREFIX + id }) as const)
    await this.#needs.tokens.withdraw(endings, [...gone, ...also])
    for (const id of ids) this.#sessions.delete(id)
  }

  async #signedIn(
    sid: string,
    { name, role, created_at_ms, ends_at_ms: endsAtMs }: StoredSession,
    ttlS = TOKEN_TTL_S_DEFAULT,
    refreshToken: string | undefined,
  ): Promise<SignedIn> {
    const { clock, tokens } = this.#needs
    const lifeS = Math.max(1, Math.min(ttlS, Math.floor((endsAtMs - clock.wallMs()) / 1_000)))
    const token = await tokens.sign({ name, role, sid, signedInS: Math.floor(created_at_ms / 1_000) }, lifeS)
    return { name, token, endsAtMs, ...(refreshToken !== undefined && { refreshToken }) }
  }

  /** @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED */
  async #ofRefreshToken(refreshToken: string): Promise<{ id: string; session: StoredSession }> {
    const { clock, tokens, log } = this.#needs
    const id = sessionIdOf(refreshToken) ?? ''
    const session = this.#sessions.get(id)
    const hash = hashOfCredential(refreshToken)
    const isSpent = session?.spent.includes(hash) === true
    // A guess ends nothing: only what was once good shows that two have it.
    if (!session || (session.refresh !== hash && !isSpent)) {
      throw new RpcError('P2P_AUTH_TOKEN_INVALID', 'The refresh token is not valid; sign in again')
    }
    if (tokens.isRevoked(id)) {
      throw new RpcError('P2P_AUTH_TOKEN_REVOKED', 'The session has ended; sign in again')
    }
    if (isSpent) {
      await this.end([id])
      log.warning('A refresh token was used twice: its session is ended', { name: session.name, from: session.from })
      throw new RpcError(
        'P2P_AUTH_TOKEN_REVOKED',
        'The refresh token was used before, so its session has ended; sign in again',
      )
    }
    if (session.ends_at_ms <= clock.wallMs()) {
      throw new RpcError('P2P_AUTH_TOKEN_EXPIRED', 'The session has ended; sign in again')
    }
    return { id, session }
  }

  /** Takes some out of the store that are over. */
  #forgotten(): Operation[] {
    const over = [...this.#sessions].filter(([id, session]) => this.#isOver(id, session))
    return over.slice(0, PER_PERSON_MAX).map(([id]) => {
      this.#sessions.delete(id)
      return { type: 'delete', key: PREFIX + id }
    })
  }

  #isOver(id: string, { ends_at_ms: endsMs }: StoredSession): boolean {
    const { clock, tokens } = this.#needs
    return endsMs <= clock.wallMs() || tokens.isRevoked(id)
  }
}

function sessionPut(id: string, session: StoredSession): Operation {
  return { type: 'put', key: PREFIX + id, value: jsonValue(session) }
}
