import { ApiError, request, setBearer } from './http.ts'
import type { Me, Role } from './types.ts'

/** Forgotten with the tab. Used only where the node gives no session cookie. */
const TOKEN_KEY = 'p2p-token'
const TOKEN_TTL_S = 12 * 3600

/** Who we are, and whether the node knows it by its cookie: a WebSocket can say it no other way. */
export interface Session {
  me: Me
  hasCookie: boolean
}

/** Takes the secret of a login link or an invitation out of the address, so that it is in no history and no copied link. */
export function takeSecret(kind: 'login' | 'invitation'): string | undefined {
  const match = /^#(login|invitation)=(.+)$/.exec(window.location.hash)
  if (match?.[1] !== kind || match[2] === undefined) return undefined
  window.history.replaceState(null, '', window.location.pathname + window.location.search)
  return decodeURIComponent(match[2])
}

/** The session this browser already has: by cookie, by this tab's token, or because the node asks nobody. */
export async function resumeSession(): Promise<Session | undefined> {
  const byCookie = await sessionByCookie()
  if (byCookie) return byCookie
  const token = sessionStorage.getItem(TOKEN_KEY)
  setBearer(token ?? undefined)
  try {
    await request('/api/status', { isLogin: true })
  } catch (error) {
    if (!(error instanceof ApiError) || error.status === 0) throw error
    sessionStorage.removeItem(TOKEN_KEY)
    setBearer(undefined)
    return undefined
  }
  // Without a token the node let us in as it lets in everybody on its machine.
  return { me: token === null ? { name: 'this machine', role: 'admin' } : meOf(token), hasCookie: false }
}

async function sessionByCookie(): Promise<Session | undefined> {
  try {
    const { body } = await request<Me & { expires_at: string }>('/auth/session', { isLogin: true })
    return { me: { name: body.name, role: body.role }, hasCookie: true }
  } catch (error) {
    if (error instanceof ApiError && error.status > 0) return undefined
    throw error
  }
}

/** Has the node give the cookie a longer life, where it is past half of it. */
export async function renewSession(): Promise<void> {
  await request('/auth/session').catch(() => {})
}

/** Trades the secret of a one-time link. @throws {ApiError} it was used, is too old, or is none */
export async function loginByLink(link: string): Promise<Session> {
  return sessionOpenedBy({ link })
}

/** What a person types to sign in; `code` where the account has a second step. */
export interface NameAndPassword {
  name: string
  password: string
  code?: string
}

/** @throws {ApiError} P2P_AUTH_CODE_REQUIRED: the password is right; or the node refused */
export async function loginByName(credential: NameAndPassword): Promise<Session> {
  return sessionOpenedBy(credential)
}

/** The session that the node opens for a credential. @throws {ApiError} */
export async function sessionOpenedBy(credential: object): Promise<Session> {
  setBearer(undefined)
  await request('/auth/session', { method: 'POST', body: credential, isLogin: true })
  return (await sessionByCookie()) ?? refuse()
}

/** How people sign in at this node. */
export interface SignInMethods {
  password: boolean
  /** The address of this page is a name: passkeys belong to names. */
  passkey: boolean
  oidc: { issuer: string } | null
}

/** Asks the node; one that does not know the question takes passwords. */
export async function readSignInMethods(): Promise<SignInMethods> {
  try {
    return (await request<SignInMethods>('/auth/methods', { isLogin: true })).body
  } catch {
    return { password: true, passkey: false, oidc: null }
  }
}

/** Why a sign-in at the provider did not work, as the node put it into the address; taken out of it. */
export function takeOidcRefusal(): string | undefined {
  const [, reason] = /^#oidc=(refused|unavailable)$/.exec(window.location.hash) ?? []
  if (reason === undefined) return undefined
  window.history.replaceState(null, '', window.location.pathname + window.location.search)
  return reason === 'unavailable'
    ? 'The provider of identities does not answer. Try again, or use name and password.'
    : 'The provider of identities did not vouch for you, or gives you no role here.'
}

/** Whose invitation it is. @throws {ApiError} it was used, is too old, or is none */
export async function readInvitation(secret: string): Promise<Me> {
  return (await request<Me>('/auth/invitation', { method: 'POST', body: { secret }, isLogin: true })).body
}

/** Sets the password and signs in with it. @throws {ApiError} */
export async function takeInvitation(secret: string, password: string): Promise<Session> {
  const body = { secret, password }
  const { name } = (await request<Me>('/auth/invitation', { method: 'POST', body, isLogin: true })).body
  return loginByName({ name, password })
}

/**
 * Trades what a person pasted: an operator credential, or an access token as `p2p login` writes it.
 * @throws {ApiError} the node refused it
 */
export async function loginByCredential(pasted: string): Promise<Session> {
  const token = /(?:Bearer\s+)?([\w-]+\.[\w-]+\.[\w-]+)/.exec(pasted)?.[1]
  if (token !== undefined) return keepToken(token)
  const credential = pasted.trim()
  setBearer(undefined)
  try {
    await request('/auth/session', { method: 'POST', body: { credential }, isLogin: true })
    return (await sessionByCookie()) ?? refuse()
  } catch (error) {
    if (!isWithoutSessions(error)) throw error
  }
  const body = { credential, ttl_s: TOKEN_TTL_S }
  const answer = await request<{ access_token: string }>('/auth/token', { method: 'POST', body, isLogin: true })
  return keepToken(answer.body.access_token)
}

/** Ends the session here and on the node. */
export async function logout({ hasCookie }: Session): Promise<void> {
  const path = hasCookie ? '/auth/session' : '/auth/revoke'
  try {
    await request(path, { method: hasCookie ? 'DELETE' : 'POST', isLogin: true })
  } finally {
    forgetToken()
  }
}

/** Forgets this tab's token. */
export function forgetToken(): void {
  sessionStorage.removeItem(TOKEN_KEY)
  setBearer(undefined)
}

async function keepToken(token: string): Promise<Session> {
  setBearer(token)
  try {
    await request('/api/status', { isLogin: true })
  } catch (error) {
    setBearer(undefined)
    throw error
  }
  sessionStorage.setItem(TOKEN_KEY, token)
  return { me: meOf(token), hasCookie: false }
}

/** A node that keeps no sessions knows no such route: 404, or 401 to strangers, who are not told which routes there are. */
function isWithoutSessions(error: unknown): boolean {
  return (
    error instanceof ApiError &&
    ([403, 404, 405].includes(error.status) || error.code === 'P2P_RPC_AUTHENTICATION_REQUIRED')
  )
}

function refuse(): never {
  throw new ApiError(401, 'NO_SESSION', 'The browser did not keep the session; are cookies blocked for this address?')
}

/** What a token says of its holder, for display: the node alone decides what it is good for. */
function meOf(token: string): Me {
  try {
    const payload = (token.split('.')[1] ?? '').replaceAll('-', '+').replaceAll('_', '/')
    const claims = JSON.parse(atob(payload)) as { sub?: string; role?: Role }
    return { name: claims.sub ?? 'operator', role: claims.role ?? 'viewer' }
  } catch {
    return { name: 'operator', role: 'viewer' }
  }
}

const ROLES: readonly Role[] = ['viewer', 'operator', 'admin']

/** Whether one role includes the other. */
export function hasRole(me: Me | undefined, needed: Role): boolean {
  return me !== undefined && ROLES.indexOf(me.role) >= ROLES.indexOf(needed)
}
