import type { CliHost } from '../host.ts'
import { callApi } from './api-client.ts'
import { readCredential } from './credential-file.ts'
import type { Login } from './login-file.ts'

/** A working day: the longest a coordinator gives. */
const TOKEN_TTL_S = 12 * 3600

/** Exchanges the credential in the file for an access token at `url`, by default the URL in the file. */
export async function signIn(host: CliHost, credentialFile: string, url?: string): Promise<Login> {
  const operator = readCredential(credentialFile)
  const target = { url: url ?? operator.url, caCertificate: operator.ca_certificate, accessToken: undefined }
  const answer = (await callApi(target, {
    method: 'POST',
    path: '/auth/token',
    body: { credential: operator.credential, ttl_s: TOKEN_TTL_S },
  })) as { access_token: string; expires_in: number; role: string }
  return {
    url: target.url,
    cluster: operator.cluster,
    ca_certificate: operator.ca_certificate,
    access_token: answer.access_token,
    expires_at_ms: host.wallMs() + answer.expires_in * 1_000,
    role: answer.role,
    credential_file: credentialFile,
    credential_url: operator.url,
  }
}
