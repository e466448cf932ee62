import { createHash, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { request } from 'node:https'
import { isAbsolute, join } from 'node:path'
import { CliError, codeOf, messageOf, PkiError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { askSecret } from '../prompt.ts'
import { callApi, connectionError } from './api-client.ts'
import { chooseCredentialFile, readCredential } from './credential-file.ts'
import { type Login, readLogin } from './login-file.ts'
import { userPassword } from './new-password.ts'
import { PERSON_TOKEN_TTL_S, type TokenAnswer, tokensOf } from './refresh-login.ts'

const ANSWER_BYTES_MAX = 64 * 1_024
const TIMEOUT_MS = 10_000

/** How a person signs in. */
export interface NameFlags {
  name: string
  passwordFd?: number
  caFile?: string
  fingerprint?: string
}

/**
 * Signs in with name and password, and with a code where the person has a second step.
 * @param url of the coordinator; by default the one signed in to before, or the one whose files are here
 * @throws {CliError} P2P_CLI_USAGE, P2P_CLI_UNREACHABLE; {PkiError} P2P_PKI_UNTRUSTED_COORDINATOR; what the coordinator refuses with
 */
export async function signInByName(
  host: CliHost,
  url: string | undefined,
  flags: NameFlags & { profile: string },
): Promise<Login> {
  const place = await coordinatorOf(host, url, flags)
  const target = { url: place.url, caCertificate: place.caCertificate, accessToken: undefined }
  const password = await userPassword(host, `Password of ${flags.name}`, {
    descriptor: flags.passwordFd,
    isNew: false,
  })
  const ask = async (code?: string) =>
    (await callApi(target, {
      method: 'POST',
      path: '/auth/token',
      body: { name: flags.name, password, ttl_s: PERSON_TOKEN_TTL_S, ...(code !== undefined && { code }) },
    })) as TokenAnswer
  const answer = await ask().catch(async (error: unknown) => {
    if (codeOf(error) !== 'P2P_AUTH_CODE_REQUIRED' || !host.input.isTTY) throw error
    return ask(await askSecret(host, 'Code of the authenticator'))
  })
  const status = (await callApi(
    { ...target, accessToken: answer.access_token },
    { method: 'GET', path: '/api/status' },
  )) as { cluster: string }
  return {
    url: target.url,
    cluster: status.cluster,
    ca_certificate: target.caCertificate,
    ...tokensOf(answer, host.wallMs()),
    name: flags.name,
    credential_file: '',
    credential_url: target.url,
  }
}

interface Place {
  url: string
  caCertificate: string
}

/** Where the coordinator is, and the root by which it is known. */
async function coordinatorOf(
  host: CliHost,
  url: string | undefined,
  { caFile, fingerprint, profile }: NameFlags & { profile: string },
): Promise<Place> {
  if (caFile !== undefined || fingerprint !== undefined) {
    if (url === undefined) throw new CliError('P2P_CLI_USAGE', 'Give the URL of the coordinator, https://HOST:PORT')
    return {
      url,
      caCertificate: caFile === undefined ? await rootOf(url, fingerprint as string) : readRoot(host, caFile),
    }
  }
  const known = readLogin(host, profile)
  if (known && (url === undefined || url === known.url)) return { url: known.url, caCertificate: known.ca_certificate }
  try {
    const operator = readCredential(chooseCredentialFile(host, undefined))
    return { url: url ?? operator.url, caCertificate: operator.ca_certificate }
  } catch (error) {
    throw new CliError(
      'P2P_CLI_USAGE',
      'How is the coordinator known? Give --fingerprint HEX, as "p2p ca show" and the invitation name it, or --ca-file FILE',
      {},
      { cause: error },
    )
  }
}

function readRoot(host: CliHost, file: string): string {
  const path = isAbsolute(file) ? file : join(host.workingDirectory, file)
  if (!existsSync(path)) throw new CliError('P2P_CLI_USAGE', `There is no file ${file}`)
  const pem = readFileSync(path, 'utf8')
  try {
    return new X509Certificate(pem).toString()
  } catch (error) {
    throw new CliError('P2P_CLI_USAGE', `${file} is no certificate in PEM: ${messageOf(error)}`)
  }
}

/** The root that a node of nobody's trust shows, when it has the fingerprint a person was told: nothing is sent to it before. */
async function rootOf(url: string, fingerprint: string): Promise<string> {
  const wanted = fingerprint.toLowerCase().replace(/[\s:]/g, '')
  if (!/^[\da-f]{64}$/.test(wanted)) {
    throw new CliError('P2P_CLI_USAGE', 'A fingerprint is 64 hexadecimal digits; "p2p ca show" has it')
  }
  const { ca_certificate: pem } = JSON.parse(await fetchUnverified(new URL('/internal/ca-cert', url))) as {
    ca_certificate: string
  }
  const key = new X509Certificate(pem).publicKey.export({ type: 'spki', format: 'der' })
  if (createHash('sha256').update(key).digest('hex') === wanted) return pem
  throw new PkiError(
    'P2P_PKI_UNTRUSTED_COORDINATOR',
    `${url} is of another cluster: its root has another fingerprint`,
    { url },
  )
}

function fetchUnverified(url: URL): Promise<string> {
  return new Promise((resolve, reject) => {
    const refuse = (error: Error): void => reject(connectionError(error, url.origin))
    const outgoing = request(url, { rejectUnauthorized: false, agent: false, timeout: TIMEOUT_MS }, (incoming) => {
      let text = ''
      incoming.setEncoding('utf8')
      incoming.on('data', (chunk: string) => {
        text += chunk
        if (text.length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('the answer is too large'))
      })
      incoming.on('end', () => {
        if (incoming.statusCode === 200) resolve(text)
        else refuse(new Error(`it is no coordinator (status ${incoming.statusCode})`))
      })
      incoming.on('error', refuse)
    })
    outgoing.on('timeout', () => outgoing.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' })))
    outgoing.on('error', refuse)
    outgoing.end()
  })
}
