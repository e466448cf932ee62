import { readFileSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'

/** Who asks: an operator of the cluster. Every node knows the token once it has the coordinator's record. */
export interface Login {
  caCertificate: string
  accessToken: string
}

/** A node, and as whom it is asked. */
export interface NodeApi extends Login {
  url: string
}

interface ApiCall {
  method: 'GET' | 'POST' | 'PUT'
  path: string
  body?: object
  headers?: Record<string, string>
  signal?: AbortSignal
}

/** A node that is there answers long before. */
const SILENCE_MS_MAX = 20_000

/** Signs in at a coordinator with the operator file it wrote. */
export async function signIn(url: string, operatorFile: string): Promise<Login> {
  const { credential, ca_certificate: caCertificate } = JSON.parse(readFileSync(operatorFile, 'utf8')) as {
    credential: string
    ca_certificate: string
  }
  const call: ApiCall = { method: 'POST', path: '/auth/token', body: { credential, ttl_s: 3_600 } }
  const answer = await askJson<{ access_token: string }>({ url, caCertificate, accessToken: '' }, call)
  return { caCertificate, accessToken: answer.access_token }
}

/** Calls a method through a node, on itself or on another. @throws what it answered */
export async function callMethod(
  api: NodeApi,
  call: { method: string; params?: object; node?: string; timeoutMs?: number },
): Promise<unknown> {
  const { method, params = {}, node = 'local', timeoutMs = 2_000 } = call
  const answer = await askJson<{ result?: unknown; error?: { message: string } }>(api, {
    method: 'POST',
    path: `/rpc?node=${encodeURIComponent(node)}`,
    body: { jsonrpc: '2.0', id: 1, method, params },
    headers: { 'x-p2p-timeout-ms': String(timeoutMs) },
  })
  if (answer.error) throw new Error(answer.error.message)
  return answer.result
}

/** A GET whose answer is JSON. */
export function getJson<T>(api: NodeApi, path: string): Promise<T> {
  return askJson<T>(api, { method: 'GET', path })
}

async function askJson<T>(api: NodeApi, call: ApiCall): Promise<T> {
  const answer = await ask(api, call)
  let text = ''
  for await (const chunk of answer) text += chunk
  if (answer.statusCode !== 200) throw new Error(`${api.url}${call.path}: ${answer.statusCode} ${text}`)
  return JSON.parse(text) as T
}

/** The answer's head; tests reach a node at an address that its certificate does not name, so names are not compared. */
export function ask(api: NodeApi, { method, path, body, headers, signal }: ApiCall): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, api.url),
      {
        method,
        ca: api.caCertificate,
        checkServerIdentity: () => undefined,
        agent: false,
        timeout: SILENCE_MS_MAX,
        ...(signal && { signal }),
        headers: {
          ...(api.accessToken && { authorization: `Bearer ${api.accessToken}` }),
          ...(body && { 'content-type': 'application/json' }),
          ...headers,
        },
      },
      (incoming) => resolve(incoming.setEncoding('utf8')),
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${api.url}${path}: no answer`)))
    outgoing.on('error', reject)
    outgoing.end(body && JSON.stringify(body))
  })
}
