import { codeOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { callApi } from '../session/api-client.ts'
import { checkedUrl } from '../session/connect.ts'
import { chooseCredentialFile } from '../session/credential-file.ts'
import { loginLink } from '../session/login-link.ts'
import { DEFAULT_PROFILE, type Login, profileFiles, readLogin, removeLogin, writeLogin } from '../session/login-file.ts'
import { signIn } from '../session/sign-in.ts'
import { type NameFlags, signInByName } from '../session/sign-in-by-name.ts'

/** `p2p login [URL]`, and `p2p login --link`, which signs in nobody here */
export async function login(
  host: CliHost,
  url: string | undefined,
  flags: { credentialFile?: string; profile?: string; link?: boolean } & Partial<NameFlags>,
): Promise<void> {
  if (flags.link) {
    const file = chooseCredentialFile(host, flags.credentialFile)
    host.output.write(`${await loginLink(file, checkedUrl(url ?? host.environment.P2P_URL))}\n`)
    host.talk.write('Open it in a browser within ten minutes; it works once.\n')
    return
  }
  const profile = flags.profile ?? DEFAULT_PROFILE
  // A bad name is refused before a token is asked for.
  profileFiles(host, profile)
  const asked = checkedUrl(url ?? host.environment.P2P_URL)
  const { name } = flags
  const made =
    name === undefined
      ? await signIn(host, chooseCredentialFile(host, flags.credentialFile), asked)
      : await signInByName(host, asked, { ...flags, name, profile })
  const files = writeLogin(host, profile, made)
  const more = profile === DEFAULT_PROFILE ? '' : ` --profile ${profile}`
  const who = name === undefined ? made.role : `${name}, ${made.role}`
  host.talk.write(`Logged in to cluster ${made.cluster} at ${made.url} as ${who}; ${endOf(made, host.wallMs())}
Try:
  p2p nodes${more}
  curl -K ${quoted(files.curl)} ${made.url}/cluster/nodes
`)
}

/** A session goes on by itself for whoever uses this program; curl has the token of the moment. */
function endOf({ session_ends_at_ms: sessionEndsMs, expires_at_ms: tokenEndsMs }: Login, nowMs: number): string {
  if (sessionEndsMs === undefined) return `the token ends ${relativeTime(tokenEndsMs, nowMs)}`
  return `the session ends ${relativeTime(sessionEndsMs, nowMs)}, the token for curl ${relativeTime(tokenEndsMs, nowMs)} (any p2p command renews it)`
}

/** For a shell, when the path needs it. */
function quoted(path: string): string {
  return /^[\w./~:\\-]+$/.test(path) ? path : `"${path}"`
}

/** `p2p logout` */
export async function logout(host: CliHost, flags: { profile?: string }): Promise<void> {
  const profile = flags.profile ?? DEFAULT_PROFILE
  const stored = readLogin(host, profile)
  if (stored && Math.max(stored.expires_at_ms, stored.session_ends_at_ms ?? 0) > host.wallMs())
    await revoke(host, stored)
  const wasKnown = removeLogin(host, profile)
  host.talk.write(wasKnown ? 'Logged out\n' : 'There was no login to forget\n')
}

/** The files go in any case; a coordinator that is away lets the token live until its end, which must be said. */
async function revoke(host: CliHost, stored: Login): Promise<void> {
  const { url, ca_certificate: caCertificate, access_token: accessToken, refresh_token } = stored
  try {
    // The refresh token names the session also when the access token has ended.
    const session = refresh_token === undefined ? {} : { body: { refresh_token } }
    await callApi({ url, caCertificate, accessToken }, { method: 'POST', path: '/auth/revoke', ...session })
  } catch (error) {
    if (codeOf(error)?.startsWith('P2P_AUTH_TOKEN_')) return
    const end = relativeTime(stored.expires_at_ms, host.wallMs())
    host.talk.write(`warning: the token could not be withdrawn at ${stored.url} and stays good; it ends ${end}\n`)
  }
}
