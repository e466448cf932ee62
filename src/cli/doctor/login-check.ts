import { codeOf, messageOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { callApi } from '../session/api-client.ts'
import { DEFAULT_PROFILE, type Login, readLogin } from '../session/login-file.ts'
import { type Finding, ok, problem, skipped, warning } from './finding.ts'

/** Whether the login of this user works: the node answers, shows a certificate of the cluster, takes the token. */
export async function checkLogin(host: CliHost): Promise<Finding[]> {
  let login: Login | undefined
  try {
    login = readLogin(host, DEFAULT_PROFILE)
  } catch (error) {
    return [problem('Login', messageOf(error), 'remove the file and run "p2p login"')]
  }
  if (!login) return [skipped('Login', 'not logged in')]
  const end = relativeTime(login.expires_at_ms, host.wallMs())
  const target = { url: login.url, caCertificate: login.ca_certificate, accessToken: login.access_token }
  try {
    await callApi(target, { method: 'GET', path: '/api/status', timeoutMs: 5_000 })
    return [
      ok('TLS trust', `${login.url} shows a certificate of cluster ${login.cluster}`),
      ok('Login', `as ${login.role}; ends ${end}`),
    ]
  } catch (error) {
    return [explain(login, error)]
  }
}

function explain(login: Login, error: unknown): Finding {
  const message = messageOf(error)
  const code = codeOf(error)
  if (code === 'P2P_PKI_UNTRUSTED_COORDINATOR') {
    return problem('TLS trust', message, 'make sure that nobody is in between, then run "p2p login" again')
  }
  if (code === 'P2P_PKI_CLOCK_SKEW') return problem('TLS trust', message, 'correct the clock')
  if (code === 'P2P_CLI_UNREACHABLE')
    return warning('Login', message, `start the node at ${login.url}, or log in to another one`)
  return warning('Login', message, 'run "p2p login" again')
}
