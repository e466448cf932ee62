import type { IncomingHttpHeaders } from 'node:http'
import { isIP } from 'node:net'
import { ConfigError, RpcError } from '../../base/errors.ts'
import { ANONYMOUS, type NodeIdentity, type Principal } from '../../base/identity.ts'
import { sessionTokenOf } from './session-cookie.ts'
import type { TokenVerifier, TokenVerifierNeeds } from './token-verifier.ts'

/** What authentication looks at: the request's headers and what the transport knows of its connection. */
export interface Credentialed {
  headers: IncomingHttpHeaders
  connection: { readonly identity: NodeIdentity | undefined }
}

/** Says who a request comes from. */
export interface Authenticator {
  /**
   * The verified certificate of a node of this cluster, else a bearer token, else the session cookie of one of the node's own
   * pages; without any the caller is anonymous.
   * @throws {RpcError} P2P_AUTH_TOKEN_INVALID, P2P_AUTH_TOKEN_EXPIRED, P2P_AUTH_TOKEN_REVOKED: a token was shown and does not hold
   */
  authenticate(request: Credentialed): Promise<Principal>
}

export interface AuthenticatorOptions {
  /** A function, because a worker knows it only after joining. */
  cluster: () => string
  /** `open`: everybody who reaches the port is admin; only on loopback. */
  securityProfile: 'standard' | 'open'
  bindAddress: string
}

/**
 * Authenticates by node certificate and by access token, never by anything else.
 * @throws {ConfigError} P2P_CONFIG_INVALID: the open profile on an address that others can reach
 */
export function createAuthenticator(needs: TokenVerifierNeeds, options: AuthenticatorOptions): Authenticator {
  if (options.securityProfile === 'standard') return new StandardAuthenticator(needs, options.cluster)
  if (!isLoopback(options.bindAddress)) {
    throw new ConfigError(
      'P2P_CONFIG_INVALID',
      `security_profile "open" lets everybody in, so it works on loopback only: bind_address is ${options.bindAddress}; set it to 127.0.0.1 or remove security_profile`,
      { key: 'security_profile', bind_address: options.bindAddress },
    )
  }
  return new OpenAuthenticator(options.cluster)
}

class StandardAuthenticator implements Authenticator {
  readonly #needs: TokenVerifierNeeds
  readonly #cluster: () => string
  #verifier: Promise<TokenVerifier> | undefined

  constructor(needs: TokenVerifierNeeds, cluster: () => string) {
    this.#needs = needs
    this.#cluster = cluster
  }

  async authenticate({ headers, connection }: Credentialed): Promise<Principal> {
    if (connection.identity) return nodePrincipal(connection.identity, this.#cluster())
    const token = tokenOf(headers)
    if (token === undefined) return ANONYMOUS
    // Nodes know each other by certificate: the JOSE library is loaded when the first person comes.
    this.#verifier ??= import('./token-verifier.ts').then(({ createTokenVerifier }) =>
      createTokenVerifier(this.#needs, { cluster: this.#cluster }),
    )
    return (await (await this.#verifier).verify(token)).principal
  }
}

/** The access token a request carries, in its header or its cookie. @throws {RpcError} P2P_AUTH_TOKEN_INVALID */
export function tokenOf(headers: IncomingHttpHeaders): string | undefined {
  if (headers.authorization === undefined) return sessionTokenOf(headers)
  const token = /^Bearer +([\w.-]+)$/i.exec(headers.authorization)?.[1]
  if (token !== undefined) return token
  throw new RpcError('P2P_AUTH_TOKEN_INVALID', 'The Authorization header must read "Bearer <access token>"')
}

class OpenAuthenticator implements Authenticator {
  readonly #cluster: () => string

  constructor(cluster: () => string) {
    this.#cluster = cluster
  }

  async authenticate({ headers, connection }: Credentialed): Promise<Principal> {
    if (connection.identity) return nodePrincipal(connection.identity, this.#cluster())
    // Without credentials the browser of the person at this machine is the way in for any web page it shows:
    // pages of other origins, and names that were made to resolve to loopback, stay strangers.
    return isFromForeignPage(headers) ? ANONYMOUS : { kind: 'person', name: 'open', role: 'admin' }
  }
}

/** The transport has verified the chain; a certificate of another cluster under the same root would still be a stranger's. */
function nodePrincipal(identity: NodeIdentity, cluster: string): Principal {
  if (identity.cluster !== cluster) return ANONYMOUS
  return { kind: 'node', nodeId: identity.nodeId, role: identity.role }
}

function isFromForeignPage(headers: IncomingHttpHeaders): boolean {
  const host = headers.host ?? (headers as Record<string, unknown>)[':authority']
  if (typeof host !== 'string' || !isLoopbackAuthority(host)) return true
  return headers.origin !== undefined && headers.origin !== `https://${host}`
}

function isLoopbackAuthority(authority: string): boolean {
  const host = /^(\[[\da-f:.]+\]|[\w.-]+)(?::\d+)?$/i.exec(authority)?.[1]
  return host !== undefined && isLoopback(host)
}

/** Whether a bind address or host name means this machine only. */
function isLoopback(host: string): boolean {
  const bare = host.replace(/^\[|\]$/g, '').toLowerCase()
  if (bare === 'localhost' || bare === '::1') return true
  return isIP(bare) === 4 && bare.startsWith('127.')
}
