import { assert } from '../../base/assert.ts'
import { toBase64Url } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { jsonValue, type Operation } from '../../base/control-store.ts'
import { RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { addressPrefix } from '../../transport/index.ts'
import { includesRole, type PersonRole } from './access-token.ts'
import { HashQueue } from './hash-queue.ts'
import { hashOfCredential } from './operator-credential.ts'
import { hashPassword, matchesPassword, type PasswordHash } from './password-hash.ts'
import { checkNewPassword } from './password-rules.ts'
import {
  type PasskeyAssertion,
  type PasskeyRegistration,
  passkeyRefused,
  Passkeys,
  type RelyingParty,
} from './passkeys.ts'
import type { RecordAct } from './record-act.ts'
import { makeRecoveryCodes, recoveryHash, TotpEnrolments } from './second-step.ts'
import { type SessionOptions, Sessions, type SessionsNeeds, type SignedIn } from './sessions.ts'
import { SignInThrottle } from './sign-in-throttle.ts'
import { stepOfCode } from './totp.ts'
import {
  isUserName,
  type PasskeyView,
  type SessionView,
  type StoredPasskey,
  type StoredUser,
  type User,
} from './user.ts'

/** Life of an invitation, in seconds: over a weekend. */
const INVITATION_TTL_S = 72 * 3600

/** An invitation's secret and its end. The secret is shown this once. */
export interface Invitation {
  secret: string
  endsAtMs: number
}

/** What a person signs in with. */
export interface SignIn {
  name: string
  password: string
  /** A code of the authenticator program, or a recovery code; asked for where a second step is set up. */
  code?: string | undefined
}

export interface SignInOptions extends SessionOptions {
  /** At most the person's own, which is the default. */
  role?: PersonRole | undefined
}

/** The people who may use the cluster: who they are, how they sign in, and the sessions they have. Coordinator only. */
export interface People {
  list(): User[]
  /**
   * @param password without one, an invitation is made
   * @throws {RpcError} P2P_AUTH_USER_EXISTS, P2P_AUTH_PASSWORD_WEAK, P2P_RPC_INVALID_PARAMS: that name is not possible
   */
  add(
    person: { name: string; role: PersonRole; password?: string | undefined },
    by: string,
  ): Promise<{ user: User; invitation?: Invitation }>
  /** Ends the person's sessions, which were for another role. @throws {RpcError} P2P_AUTH_USER_UNKNOWN, P2P_AUTH_LAST_ADMIN */
  setRole(name: string, role: PersonRole): Promise<User>
  /**
   * Takes password and second step away and ends all sessions.
   * @param password the new one; without it, an invitation is made
   * @throws {RpcError} P2P_AUTH_USER_UNKNOWN, P2P_AUTH_PASSWORD_WEAK
   */
  reset(name: string, password?: string): Promise<{ user: User; invitation?: Invitation }>
  /** Ends all sessions too; of who is signed in by a provider, only these. @throws {RpcError} P2P_AUTH_USER_UNKNOWN, P2P_AUTH_LAST_ADMIN */
  remove(name: string): Promise<void>

  /** Whose invitation it is. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID: it was used, is too old, or is none */
  invited(secret: string): User
  /** Uses an invitation up. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_AUTH_PASSWORD_WEAK */
  accept(secret: string, password: string, options: { from: string; record: RecordAct }): Promise<User>

  /**
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID: whatever is wrong; P2P_AUTH_CODE_REQUIRED: the password is right;
   *   P2P_RPC_RATE_LIMITED, P2P_RPC_OVERLOADED, P2P_RPC_ACCESS_DENIED: the role asked for is more than the person's
   */
  signIn(credential: SignIn, options: SignInOptions): Promise<SignedIn>
  /**
   * Opens a session for somebody whom a provider of identities vouches for, and who is no user here: the name has a colon, as no
   * user's has.
   */
  open(person: { name: string; role: PersonRole }, options: SessionOptions): Promise<SignedIn>
  /**
   * Trades a refresh token for a token and the next refresh token; durable before it resolves. One that was traded before ends
   * the session: somebody else has it.
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED
   */
  refresh(refreshToken: string, options: { ttlS?: number; record: RecordAct }): Promise<SignedIn>
  /** Ends the session a refresh token is of. @throws {RpcError} as `refresh` */
  revokeRefresh(refreshToken: string, record: RecordAct): Promise<void>

  /** What a person's own page shows; undefined for who is no user (the operator credential's holder). */
  get(name: string): User | undefined
  /** Newest first. */
  sessions(name: string): SessionView[]
  /** @throws {RpcError} P2P_AUTH_SESSION_UNKNOWN */
  endSession(name: string, id: string): Promise<void>
  /** Ends all other sessions. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_AUTH_PASSWORD_WEAK, P2P_RPC_RATE_LIMITED */
  changePassword(
    name: string,
    passwords: { current: string; next: string },
    options: { from: string; sid: string | undefined },
  ): Promise<void>
  /**
   * Begins to set up the second step; nothing is asked for until it was confirmed.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_RATE_LIMITED
   */
  beginCodes(name: string, password: string, from: string): Promise<{ secret: string; address: string }>
  /** @returns recovery codes, shown this once @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID: the code is wrong, or nothing was begun */
  confirmCodes(name: string, code: string): Promise<string[]>
  /** @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_RATE_LIMITED */
  removeCodes(name: string, password: string, from: string): Promise<void>

  /** Oldest first; none for who is no user. */
  passkeys(name: string): PasskeyView[]
  /**
   * What the person's browser is to make a passkey from.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_RATE_LIMITED, P2P_RPC_TOO_MANY_ITEMS
   */
  beginPasskey(name: string, password: string, options: { from: string; party: RelyingParty }): Promise<object>
  /** @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_TOO_MANY_ITEMS */
  addPasskey(
    name: string,
    made: { label: string; registration: PasskeyRegistration },
    party: RelyingParty,
  ): Promise<PasskeyView>
  /** @throws {RpcError} P2P_AUTH_PASSKEY_UNKNOWN */
  removePasskey(name: string, id: string): Promise<void>
  /** What a browser is to sign, whoever sits before it. */
  beginPasskeySignIn(party: RelyingParty): Promise<object>
  /** Whose passkey an authenticator names; nothing of it is verified. */
  ownerOfPasskey(credential: string): string | undefined
  /**
   * Signs in by passkey, which is possession and a finger or PIN: no password and no code are asked for besides.
   * @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_RATE_LIMITED
   */
  signInByPasskey(assertion: PasskeyAssertion, options: SessionOptions & { party: RelyingParty }): Promise<SignedIn>
}

export type PeopleNeeds = SessionsNeeds

const USER_PREFIX = 'auth/users/'

/** Bounds of what people can make the store keep. */
const USERS_MAX = 1_000
const SECRET_BYTES = 32

/** @param options.cluster named in authenticator programs */
export function createPeople(needs: PeopleNeeds, options: { cluster: string }): People & Component {
  return new StoredPeople(needs, options.cluster)
}

class StoredPeople implements People, Component {
  readonly name = 'people'
  readonly #needs: PeopleNeeds
  readonly #log: Logger
  readonly #users = new Map<string, StoredUser>()
  readonly #sessions: Sessions
  readonly #throttle: SignInThrottle
  readonly #hashing = new HashQueue()
  readonly #enrolments: TotpEnrolments
  readonly #passkeys: Passkeys
  /** What nobody's password is, so that an unknown name takes as long as a known one. */
  #nobody: Promise<PasswordHash> | undefined
  #turn: Promise<unknown> = Promise.resolve()

  constructor(needs: PeopleNeeds, cluster: string) {
    this.#needs = needs
    this.#log = needs.log.child('Auth')
    this.#sessions = new Sessions({ ...needs, log: this.#log })
    this.#throttle = new SignInThrottle(needs.clock)
    this.#enrolments = new TotpEnrolments(needs, cluster)
    this.#passkeys = new Passkeys({ ...needs, log: this.#log }, cluster)
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { store } = this.#needs
    for (const { key, value } of await store.range(USER_PREFIX)) {
      this.#users.set(key.slice(USER_PREFIX.length), parsed(value) as StoredUser)
    }
    await this.#sessions.load()
  }

  async stop(): Promise<void> {
    await this.#turn
  }

  list(): User[] {
    return [...this.#users.values()].map((user) => this.#view(user)).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  get(name: string): User | undefined {
    const user = this.#users.get(name)
    return user && this.#view(user)
  }

  async add({ name, role, password }: { name: string; role: PersonRole; password?: string }, by: string) {
    if (!isUserName(name)) {
      throw new RpcError('P2P_RPC_INVALID_PARAMS', `"${name}" cannot be a name: a to z, 0 to 9 and ._@-, 63 at most`, {
        name,
      })
    }
    const known = (): void => {
      if (this.#users.has(name)) throw new RpcError('P2P_AUTH_USER_EXISTS', `There is a user ${name} already`, { name })
      if (this.#users.size >= USERS_MAX)
        throw new RpcError('P2P_RPC_TOO_MANY_ITEMS', `There are ${USERS_MAX} users, the most there may be`)
    }
    known()
    const { invitation, ...way } = await this.#wayIn(name, password, by)
    return this.#exclusive(async () => {
      known()
      const user: StoredUser = { name, role, created_at_ms: this.#needs.clock.wallMs(), created_by: by, ...way.stored }
      await this.#save(user)
      this.#log.info('User added', { name, role, by })
      return { user: this.#view(user), ...(invitation && { invitation }) }
    })
  }

  setRole(name: string, role: PersonRole): Promise<User> {
    return this.#exclusive(async () => {
      const user = this.#known(name)
      if (user.role === role) return this.#view(user)
      if (role !== 'admin') this.#keepAnAdmin(user)
      const changed = { ...user, role }
      await this.#save(changed, this.#sessions.of(name))
      this.#log.info('Role of a user changed', { name, role, was: user.role })
      return this.#view(changed)
    })
  }

  async reset(name: string, password?: string) {
    this.#known(name)
    const { invitation, stored } = await this.#wayIn(name, password, 'reset')
    return this.#exclusive(async () => {
      const { password: _old, invitation: _former, code: _code, passkeys: _keys, ...user } = this.#known(name)
      const changed = { ...user, ...stored }
      await this.#save(changed, this.#sessions.of(name))
      this.#log.info('User reset', { name })
      return { user: this.#view(changed), ...(invitation && { invitation }) }
    })
  }

  remove(name: string): Promise<void> {
    return this.#exclusive(async () => {
      const sessions = this.#sessions.of(name)
      if (sessions.length === 0 || isUserName(name)) this.#keepAnAdmin(this.#known(name))
      await this.#sessions.end(sessions, [{ type: 'delete', key: USER_PREFIX + name }])
      this.#users.delete(name)
      this.#log.info('User removed', { name })
    })
  }

  invited(secret: string): User {
    return this.#view(this.#inviteeOf(secret))
  }

  async accept(secret: string, password: string, { from, record }: { from: string; record: RecordAct }): Promise<User> {
    const { name } = this.#inviteeOf(secret)
    checkNewPassword(password, name)
    const hash = await this.#hashing.run(addressPrefix(from), () => hashPassword(password, this.#needs.random))
    return this.#exclusive(async () => {
      const { invitation: _used, ...user } = this.#inviteeOf(secret)
      await record(user)
      const changed = { ...user, password: hash }
      await this.#save(changed)
      this.#log.info('Invitation taken', { name })
      return this.#view(changed)
    })
  }

  async signIn({ name: typed, password, code }: SignIn, options: SignInOptions): Promise<SignedIn> {
    const name = typed.trim().toLowerCase()
    const checked = await this.#checkPassword(name, password, options.from)
    if (checked.code && code === undefined) {
      throw new RpcError('P2P_AUTH_CODE_REQUIRED', 'The password is right; the code of the authenticator is needed too')
    }
    return this.#exclusive(async () => {
      const user = this.#users.get(name)
      // Whoever was reset while the password was looked at is not let in by the old one.
      if (!user || user.password !== checked.password) throw refused()
      const { role = user.role } = options
      if (!includesRole(user.role, role)) {
        throw new RpcError('P2P_RPC_ACCESS_DENIED', `${name} is ${user.role}, not ${role}`, { role })
      }
      if (!user.code) return this.#sessions.open({ name, role }, options)
      const changed = this.#withUsedCode(user, code ?? '')
      const signedIn = await this.#sessions.open({ name, role }, options, [userPut(changed)])
      this.#users.set(name, changed)
      return signedIn
    })
  }

  open(person: { name: string; role: PersonRole }, options: SessionOptions) {
    assert(!isUserName(person.name), `${person.name} could be a user`)
    return this.#exclusive(() => this.#sessions.open(person, options))
  }

  refresh(refreshToken: string, options: { ttlS?: number; record: RecordAct }): Promise<SignedIn> {
    return this.#exclusive(() => this.#sessions.refresh(refreshToken, options))
  }

  revokeRefresh(refreshToken: string, record: RecordAct): Promise<void> {
    return this.#exclusive(() => this.#sessions.revoke(refreshToken, record))
  }

  sessions(name: string): SessionView[] {
    return this.#sessions.views(name)
  }

  endSession(name: string, id: string): Promise<void> {
    return this.#exclusive(async () => {
      if (!this.#sessions.of(name).includes(id))
        throw new RpcError('P2P_AUTH_SESSION_UNKNOWN', 'There is no such session any more')
      await this.#sessions.end([id])
    })
  }

  async changePassword(
    name: string,
    { current, next }: { current: string; next: string },
    { from, sid }: { from: string; sid: string | undefined },
  ): Promise<void> {
    const checked = await this.#checkPassword(name, current, from)
    checkNewPassword(next, name)
    const hash = await this.#hashing.run(addressPrefix(from), () => hashPassword(next, this.#needs.random))
    await this.#exclusive(async () => {
      const user = this.#sameAs(checked)
      const others = this.#sessions.of(name).filter((id) => id !== sid)
      await this.#save({ ...user, password: hash }, others)
      this.#log.info('Password changed', { name })
    })
  }

  async beginCodes(name: string, password: string, from: string) {
    const checked = await this.#checkPassword(name, password, from)
    return this.#enrolments.begin(checked.name)
  }

  async confirmCodes(name: string, code: string): Promise<string[]> {
    return this.#exclusive(async () => {
      const user = this.#known(name)
      const { secret, step } = this.#enrolments.confirm(name, code)
      const codes = makeRecoveryCodes(this.#needs.random)
      await this.#save({ ...user, code: { secret, last_step: step, recovery: codes.map(recoveryHash) } })
      this.#log.info('Second step set up', { name })
      return codes
    })
  }

  async removeCodes(name: string, password: string, from: string): Promise<void> {
    const checked = await this.#checkPassword(name, password, from)
    await this.#exclusive(async () => {
      const { code: _gone, ...user } = this.#sameAs(checked)
      await this.#save(user)
      this.#log.info('Second step removed', { name })
    })
  }

  passkeys(name: string): PasskeyView[] {
    return (this.#users.get(name)?.passkeys ?? []).map(passkeyView)
  }

  async beginPasskey(name: string, password: string, { from, party }: { from: string; party: RelyingParty }) {
    return this.#passkeys.registrationOptions(await this.#checkPassword(name, password, from), party)
  }

  addPasskey(
    name: string,
    made: { label: string; registration: PasskeyRegistration },
    party: RelyingParty,
  ): Promise<PasskeyView> {
    return this.#exclusive(async () => {
      const user = this.#known(name)
      const passkey = await this.#passkeys.register(user, made, party)
      // An authenticator chooses the name of its key, and could choose that of another person's.
      if (this.#passkeyOf(passkey.credential)) throw passkeyRefused()
      await this.#save({ ...user, passkeys: [...(user.passkeys ?? []), passkey] })
      this.#log.info('Passkey added', { name, label: passkey.label, host: passkey.rp_id })
      return passkeyView(passkey)
    })
  }

  removePasskey(name: string, id: string): Promise<void> {
    return this.#exclusive(async () => {
      const { passkeys = [], ...user } = this.#known(name)
      const left = passkeys.filter((passkey) => passkey.id !== id)
      if (left.length === passkeys.length)
        throw new RpcError('P2P_AUTH_PASSKEY_UNKNOWN', 'There is no such passkey any more')
      await this.#save({ ...user, passkeys: left })
      this.#log.info('Passkey removed', { name })
    })
  }

  beginPasskeySignIn(party: RelyingParty): Promise<object> {
    return this.#passkeys.signInOptions(party)
  }

  ownerOfPasskey(credential: string): string | undefined {
    return this.#passkeyOf(credential)?.user.name
  }

  signInByPasskey(
    assertion: PasskeyAssertion,
    { party, ...options }: SessionOptions & { party: RelyingParty },
  ): Promise<SignedIn> {
    const succeeded = this.#throttle.begin(`passkey ${assertion.id}`, addressPrefix(options.from))
    return this.#exclusive(async () => {
      const found = this.#passkeyOf(assertion.id)
      // Who was reset, or invited anew, comes in no other way than by the new one.
      if (!found?.user.password) throw passkeyRefused()
      const { user, passkey } = found
      const used = await this.#passkeys.verify(user, passkey, assertion, party)
      const passkeys = (user.passkeys ?? []).map((other) => (other === passkey ? used : other))
      const changed = { ...user, passkeys }
      const signedIn = await this.#sessions.open(user, options, [userPut(changed)])
      this.#users.set(user.name, changed)
      succeeded()
      return signedIn
    })
  }

  #passkeyOf(credential: string): { user: StoredUser; passkey: StoredPasskey } | undefined {
    for (const user of this.#users.values()) {
      const passkey = user.passkeys?.find((other) => other.credential === credential)
      if (passkey) return { user, passkey }
    }
    return undefined
  }

  /** The user whose password it is; takes the same time for every wrong answer. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID */
  async #checkPassword(name: string, password: string, from: string): Promise<StoredUser> {
    const source = addressPrefix(from)
    const succeeded = this.#throttle.begin(name, source)
    const user = this.#users.get(name)
    this.#nobody ??= hashPassword(toBase64Url(this.#needs.random.bytes(SECRET_BYTES)), this.#needs.random)
    const nobody = await this.#nobody
    const stored = user?.password ?? nobody
    const isRight = await this.#hashing.run(source, () => matchesPassword(password, stored))
    if (!user?.password || !isRight) {
      this.#log.warning('Sign-in refused', { name: user ? name : 'unknown', from })
      throw refused()
    }
    succeeded()
    return user
  }

  /** The user with the code used up. @throws {RpcError} P2P_AUTH_CREDENTIAL_INVALID, P2P_RPC_RATE_LIMITED */
  #withUsedCode(user: StoredUser, code: string): StoredUser {
    if (!user.code) return user
    // Only who knows the password comes here, so this delay, which holds for every address, keeps nobody else out.
    const succeeded = this.#throttle.count(`code ${user.name}`)
    const { secret, last_step, recovery } = user.code
    const step = stepOfCode(Buffer.from(secret, 'base64url'), code.trim(), this.#needs.clock.wallMs(), last_step)
    const hash = recoveryHash(code)
    if (step === undefined && !recovery.includes(hash)) throw refused()
    succeeded()
    if (step === undefined) this.#log.warning('Recovery code used', { name: user.name, left: recovery.length - 1 })
    const left = recovery.filter((other) => other !== hash)
    return { ...user, code: { secret, last_step: step ?? last_step, recovery: left } }
  }

  #inviteeOf(secret: string): StoredUser {
    const hash = hashOfCredential(secret)
    const user = [...this.#users.values()].find(({ invitation }) => invitation?.hash === hash)
    if (user?.invitation && user.invitation.ends_at_ms > this.#needs.clock.wallMs()) return user
    throw new RpcError(
      'P2P_AUTH_CREDENTIAL_INVALID',
      'The invitation was used already, or is too old; ask an admin for another',
    )
  }

  /** What lets a new person in: a password, or an invitation to set one. */
  async #wayIn(name: string, password: string | undefined, by: string) {
    const { clock, random } = this.#needs
    if (password !== undefined) {
      checkNewPassword(password, name)
      return { stored: { password: await this.#hashing.run(by, () => hashPassword(password, random)) } }
    }
    const secret = toBase64Url(random.bytes(SECRET_BYTES))
    const endsAtMs = clock.wallMs() + INVITATION_TTL_S * 1_000
    const invitation: Invitation = { secret, endsAtMs }
    return { stored: { invitation: { hash: hashOfCredential(secret), ends_at_ms: endsAtMs } }, invitation }
  }

  #known(name: string): StoredUser {
    const user = this.#users.get(name)
    if (user) return user
    throw new RpcError('P2P_AUTH_USER_UNKNOWN', `There is no user ${name}`, { name })
  }

  /** As it is now, unless it is no longer the one whose password was looked at. */
  #sameAs(checked: StoredUser): StoredUser {
    const user = this.#users.get(checked.name)
    if (user && user.password === checked.password) return user
    throw refused()
  }

  #keepAnAdmin(user: StoredUser): void {
    const isUsable = ({ role, password }: StoredUser): boolean => role === 'admin' && password !== undefined
    if (!isUsable(user) || [...this.#users.values()].some((other) => other !== user && isUsable(other))) return
    throw new RpcError(
      'P2P_AUTH_LAST_ADMIN',
      `${user.name} is the last admin with a password; make another one first`,
      {
        name: user.name,
      },
    )
  }

  async #save(user: StoredUser, ended: readonly string[] = []): Promise<void> {
    await this.#sessions.end(ended, [userPut(user)])
    this.#users.set(user.name, user)
  }

  #view(user: StoredUser): User {
    return {
      name: user.name,
      role: user.role,
      createdAtMs: user.created_at_ms,
      createdBy: user.created_by,
      hasPassword: user.password !== undefined,
      hasCode: user.code !== undefined,
      passkeys: user.passkeys?.length ?? 0,
      sessions: this.#sessions.of(user.name).length,
      ...(user.invitation && { invitationEndsMs: user.invitation.ends_at_ms }),
    }
  }

  /** One change at a time: each looks at what the one before it left. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work)
    this.#turn = mine.catch(() => {})
    return mine
  }
}

/** One answer to every wrong name, password and code. */
function refused(): RpcError {
  return new RpcError('P2P_AUTH_CREDENTIAL_INVALID', 'Name, password or code is wrong')
}

function passkeyView({ id, label, rp_id: host, created_at_ms, used_at_ms }: StoredPasskey): PasskeyView {
  return { id, label, host, createdAtMs: created_at_ms, ...(used_at_ms !== undefined && { usedAtMs: used_at_ms }) }
}

function userPut(user: StoredUser): Operation {
  return { type: 'put', key: USER_PREFIX + user.name, value: jsonValue(user) }
}

function parsed(value: Uint8Array): unknown {
  return JSON.parse(Buffer.from(value).toString('utf8'))
}
