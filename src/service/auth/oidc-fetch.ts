import { request } from 'node:https'
import { messageOf, RpcError } from '../../base/errors.ts'

/**
 * Asks a provider of identities, over TLS and without following redirects.
 * @param call.form sent by POST as application/x-www-form-urlencoded; without it, a GET
 * @throws {RpcError} P2P_AUTH_OIDC_UNAVAILABLE: nobody answered, or not with JSON
 */
export type FetchJson = (
  url: string,
  call?: { form?: string; headers?: Record<string, string> },
) => Promise<{ status: number; body: unknown }>

const TIMEOUT_MS = 10_000
const ANSWER_BYTES_MAX = 256 * 1_024

/** @param options.ca roots to trust instead of the system's, PEM */
export function createFetchJson(options: { ca?: string | undefined } = {}): FetchJson {
  return async (url, { form, headers } = {}) => {
    try {
      const { status, text } = await exchange(url, form, headers, options.ca)
      return { status, body: JSON.parse(text) as unknown }
    } catch (error) {
      const { host } = new URL(url)
      throw new RpcError(
        'P2P_AUTH_OIDC_UNAVAILABLE',
        `The OpenID Connect provider at ${host} cannot be asked: ${messageOf(error)}`,
        { host },
        { cause: error },
      )
    }
  }
}

function exchange(
  url: string,
  form: string | undefined,
  headers: Record<string, string> | undefined,
  ca: string | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      url,
      {
        method: form === undefined ? 'GET' : 'POST',
        agent: false,
        minVersion: 'TLSv1.2',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(ca !== undefined && { ca }),
        headers: {
          accept: 'application/json',
          ...(form !== undefined && { 'content-type': 'application/x-www-form-urlencoded' }),
          ...headers,
        },
      },
      (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text += chunk
          if (text.length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('its answer is too large'))
        })
        incoming.on('end', () => resolve({ status: incoming.statusCode ?? 0, text }))
        incoming.on('error', reject)
      },
    )
    outgoing.on('error', reject)
    outgoing.end(form)
  })
}
