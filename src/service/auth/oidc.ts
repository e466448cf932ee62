import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { PersonRole } from './access-token.ts'
import type { FetchJson } from './oidc-fetch.ts'

/** The provider that signs people in, and what it means here. */
export interface OidcOptions {
  /** `https://…`, as the provider's own documents and tokens name it. */
  issuer: string
  clientId: string
  /** Asked for at each sign-in; undefined: a public client. */
  clientSecret: () => string | undefined
  /** The claim with the person's name. */
  nameClaim: string
  /** The claim with what `roles` maps: a text or a list of texts; dots lead into objects, as in `realm_access.roles`. */
  roleClaim: string
  roles: Readonly<Record<string, PersonRole>>
}

export interface OidcNeeds {
  clock: Clock
  random: Random
  log: Logger
  fetchJson: FetchJson
}

/** Signing in by OpenID Connect: authorization code, PKCE, state and nonce. */
export interface Oidc {
  readonly issuer: string
  /**
   * @returns where to send the browser, and the state, which the browser must bring back besides
   * @throws {RpcError} P2P_AUTH_OIDC_UNAVAILABLE
   */
  begin(redirectUri: string): Promise<{ address: string; state: string }>
  /**
   * Who came back; each state works once, within ten minutes. The name has `oidc:` before it, so that nobody takes a user's.
   * @throws {RpcError} P2P_AUTH_OIDC_REFUSED: state, token or role is not right; P2P_AUTH_OIDC_UNAVAILABLE
   */
  finish(answer: {
    state: string
    code: string
    issuer?: string | undefined
  }): Promise<{ name: string; role: PersonRole }>
}

/** So long a person may take at the provider, in seconds. */
export const OIDC_LOGIN_TTL_S = 600

export function createOidc(needs: OidcNeeds, options: OidcOptions): Oidc {
  // The JOSE library is loaded when the first person comes.
  let flow: Promise<Pick<Oidc, 'begin' | 'finish'>> | undefined
  const load = () => (flow ??= import('./oidc-code-flow.ts').then(({ CodeFlow }) => new CodeFlow(needs, options)))
  return {
    issuer: options.issuer,
    begin: async (redirectUri) => (await load()).begin(redirectUri),
    finish: async (answer) => (await load()).finish(answer),
  }
}
