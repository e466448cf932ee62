import { existsSync } from 'node:fs'
import { CliError, codeOf, RpcError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { type ApiRequest, type ApiTarget, callApi } from './api-client.ts'
import { chooseCredentialFile, type OperatorCredential, readCredential } from './credential-file.ts'
import { DEFAULT_PROFILE, type Login, readLogin, writeLogin } from './login-file.ts'
import { type EventsRequest, type ServerEvent, serverEvents } from './server-events.ts'
import { refreshLogin, sessionEnded } from './refresh-login.ts'
import { signIn } from './sign-in.ts'

/** Which node to talk to, from the command line. */
export interface ConnectionFlags {
  url?: string
  profile?: string
}

/** A signed-in connection to one node. */
export interface Session {
  /** Of the node. */
  readonly url: string
  readonly login: Login
  /** As {@link callApi}; an expired token is renewed once, where the operator credential is readable. */
  call<T>(request: ApiRequest): Promise<T>
  /** As {@link serverEvents}; an expired token is renewed once, likewise. */
  events(request: EventsRequest): AsyncGenerator<ServerEvent>
  /** The same login at another node of the cluster. */
  at(url: string): Session
}

/** Renewed this long before the end, so that a token does not expire on its way. */
const EXPIRY_MARGIN_MS = 10_000

/**
 * Finds the node and the credential: `--url` and `--profile`, then P2P_URL, then the login file, then the operator
 * credential of a coordinator that was started in this folder.
 * @throws {CliError} P2P_CLI_NOT_LOGGED_IN, P2P_CLI_USAGE, and what signing in throws
 */
export async function connect(host: CliHost, flags: ConnectionFlags): Promise<Session> {
  const profile = flags.profile ?? DEFAULT_PROFILE
  const asked = checkedUrl(flags.url ?? host.environment.P2P_URL)
  const stored = readLogin(host, profile)
  if (!stored && flags.profile !== undefined) {
    throw new CliError(
      'P2P_CLI_NOT_LOGGED_IN',
      `There is no profile "${profile}"; make it with: p2p login --profile ${profile}`,
    )
  }
  // A login found by chance is not remembered: the next one, from another folder, may be of another cluster.
  if (!stored) {
    const login = await signIn(host, chooseCredentialFile(host, undefined))
    return new NodeSession(asked ?? login.url, login, async () => signIn(host, login.credential_file))
  }
  const renew = async (login: Login): Promise<Login> => {
    if (login.refresh_token !== undefined) return refreshLogin(host, profile, login)
    const url = stored.url === stored.credential_url ? undefined : stored.url
    const renewed = await signIn(host, stored.credential_file, url)
    writeLogin(host, profile, renewed)
    return renewed
  }
  const login = isStale(stored, host.wallMs()) ? await renewOrExplain(stored, renew) : stored
  return new NodeSession(asked ?? login.url, login, (refused) => renewOrExplain(refused, renew))
}

/** The origin of a URL a person typed; `https://` may be left out. @throws {CliError} P2P_CLI_USAGE */
export function checkedUrl(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined
  const url = URL.parse(text.includes('://') ? text : `https://${text}`)
  if (url?.protocol === 'https:' && url.hostname !== '') return url.origin
  throw new CliError('P2P_CLI_USAGE', `"${text}" is not the URL of a node; it looks like https://192.168.1.100:8001`)
}

function isStale(login: Login, nowMs: number): boolean {
  if (nowMs > login.expires_at_ms - EXPIRY_MARGIN_MS) return true
  const current = readIfPossible(login.credential_file)
  return (
    current !== undefined && (current.ca_certificate !== login.ca_certificate || current.url !== login.credential_url)
  )
}

function readIfPossible(path: string): OperatorCredential | undefined {
  try {
    return existsSync(path) ? readCredential(path) : undefined
  } catch {
    return undefined
  }
}

async function renewOrExplain(login: Login, renew: (login: Login) => Promise<Login>): Promise<Login> {
  if (login.refresh_token !== undefined || readIfPossible(login.credential_file)) return renew(login)
  if (login.name !== undefined) throw sessionEnded(login)
  throw new CliError(
    'P2P_CLI_NOT_LOGGED_IN',
    `The login to ${login.url} has expired, and ${login.credential_file} cannot be read to renew it; run "p2p login --credential-file FILE"`,
  )
}

class NodeSession implements Session {
  readonly url: string
  #login: Login
  readonly #renew: (refused: Login) => Promise<Login>

  constructor(url: string, login: Login, renew: (refused: Login) => Promise<Login>) {
    this.url = url
    this.#login = login
    this.#renew = renew
  }

  get login(): Login {
    return this.#login
  }

  async call<T>(request: ApiRequest): Promise<T> {
    try {
      return (await this.#send(request)) as T
    } catch (error) {
      if (!isTokenRefused(error)) throw error
      this.#login = await this.#renew(this.#login)
      return (await this.#send(request)) as T
    }
  }

  async *events(request: EventsRequest): AsyncGenerator<ServerEvent> {
    try {
      yield* serverEvents(this.#target(), request)
    } catch (error) {
      if (!isTokenRefused(error)) throw error
      this.#login = await this.#renew(this.#login)
      yield* serverEvents(this.#target(), request)
    }
  }

  at(url: string): Session {
    return new NodeSession(url, this.#login, this.#renew)
  }

  #send(request: ApiRequest): Promise<unknown> {
    return callApi(this.#target(), request)
  }

  #target(): ApiTarget {
    const { ca_certificate: caCertificate, access_token: accessToken } = this.#login
    return { url: this.url, caCertificate, accessToken }
  }
}

/** Refused for the token and not for the role: a new token can help. */
function isTokenRefused(error: unknown): boolean {
  return error instanceof RpcError && (error.facts.http === 401 || codeOf(error) === 'P2P_RPC_AUTHENTICATION_REQUIRED')
}
