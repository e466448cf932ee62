import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request, type RequestOptions } from 'node:https'
import { CliError, codeOf, ERROR_CODES, type ErrorCode, type P2PError, PkiError, RpcError } from '../../base/errors.ts'

export interface ApiTarget {
  /** `https://host:port` of a node. */
  url: string
  /** Root certificate to trust, PEM. */
  caCertificate: string
  accessToken: string | undefined
}

export interface ApiRequest {
  method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** With query, percent-encoded. */
  path: string
  /** Sent as JSON. */
  body?: unknown
  /** Sent as they are, instead of a body of JSON. */
  bytes?: Uint8Array
  /** Takes an answer of lines (application/x-ndjson) line by line as they come; the call then gives undefined. */
  onLine?: (line: string) => void
  /** Told the headers of the answer, unless it is a refusal. */
  onHeaders?: (headers: IncomingHttpHeaders) => void
  /** Gives the request up; it then rejects with the signal's reason. */
  signal?: AbortSignal
  /** Longest silence of the node. @default 30 s */
  timeoutMs?: number
  headers?: Record<string, string>
}

const TIMEOUT_MS_DEFAULT = 30_000
const ANSWER_BYTES_MAX = 32 * 1024 * 1024

/**
 * Sends one request to a node and reads its JSON answer.
 * @returns the parsed body; undefined for an empty one
 * @throws {P2PError} with the node's own code and words when it refused (RFC 9457); P2P_CLI_UNREACHABLE when nobody
 *   answered; P2P_PKI_UNTRUSTED_COORDINATOR when somebody else did
 */
export async function callApi(target: ApiTarget, call: ApiRequest): Promise<unknown> {
  const { status, headers, text } = await exchange(target, call)
  if (status < 400) call.onHeaders?.(headers)
  if (status === 204 || (status < 400 && text === '')) return undefined
  let body: unknown
  try {
    body = JSON.parse(text)
  } catch {
    const shown = headers['content-type'] ?? 'no content-type'
    throw new CliError(
      'P2P_CLI_UNREACHABLE',
      `${target.url} does not answer like a node of P2P Core (status ${status}, ${shown})`,
    )
  }
  if (status >= 400) throw problemError(status, body, `${call.method} ${call.path}`)
  return body
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  text: string
}

function exchange(target: ApiTarget, call: ApiRequest): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const payload = call.bytes ?? (call.body === undefined ? undefined : Buffer.from(JSON.stringify(call.body)))
    const bodyHeaders = payload && {
      'content-type': call.bytes ? 'application/octet-stream' : 'application/json',
      'content-length': String(payload.length),
    }
    const options = requestOptions(target, { ...call, headers: { ...bodyHeaders, ...call.headers } })
    const outgoing = request(
      new URL(call.path, target.url),
      { ...options, ...(call.signal && { signal: call.signal }) },
      (incoming) => {
        if (call.onLine && isLines(incoming)) {
          readLines(incoming, call.onLine).then(
            () => resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, text: '' }),
            (error: Error) => reject(codeOf(error) === undefined ? connectionError(error, target.url) : error),
          )
          return
        }
        const chunks: Buffer[] = []
        let length = 0
        incoming.on('data', (chunk: Buffer) => {
          length += chunk.length
          if (length > ANSWER_BYTES_MAX) outgoing.destroy(new Error('the answer is larger than 32 MiB'))
          else chunks.push(chunk)
        })
        incoming.on('end', () => {
          const { statusCode = 0, headers } = incoming
          resolve({
            status: statusCode,
            headers,
            text: Buffer.concat(chunks).toString('utf8'),
          })
        })
        incoming.on('error', (error) => reject(connectionError(error, target.url)))
      },
    )
    outgoing.on('timeout', () => {
      outgoing.destroy(Object.assign(new Error('no answer in time'), { code: 'ETIMEDOUT' }))
    })
    outgoing.on('error', (error) => {
      reject(call.signal?.aborted ? call.signal.reason : connectionError(error, target.url))
    })
    outgoing.end(payload)
  })
}

function isLines({ statusCode, headers }: IncomingMessage): boolean {
  return statusCode === 200 && headers['content-type']?.startsWith('application/x-ndjson') === true
}

async function readLines(incoming: IncomingMessage, onLine: (line: string) => void): Promise<void> {
  incoming.setEncoding('utf8')
  let text = ''
  for await (const chunk of incoming as AsyncIterable<string>) {
    const [first = '', ...others] = chunk.split('\n')
    text += first
    for (const next of others) {
      onLine(text)
      text = next
    }
    if (text.length > ANSWER_BYTES_MAX) throw new Error('a line of the answer is larger than 32 MiB')
  }
  if (text !== '') throw new Error('the answer broke off')
}

/** How every request to a node is made. */
export function requestOptions(target: ApiTarget, call: ApiRequest): RequestOptions {
  return {
    method: call.method,
    ca: target.caCertificate,
    minVersion: 'TLSv1.2',
    agent: false,
    timeout: call.timeoutMs ?? TIMEOUT_MS_DEFAULT,
    headers: {
      accept: 'application/json, application/problem+json',
      ...(target.accessToken !== undefined && { authorization: `Bearer ${target.accessToken}` }),
      ...call.headers,
    },
  }
}

const UNREACHABLE: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there. Is the node running?',
  ECONNRESET: 'it closed the connection',
  EHOSTUNREACH: 'there is no route to that machine',
  ENETUNREACH: 'there is no route to that network',
  ENOTFOUND: 'that host name is not known',
  EAI_AGAIN: 'the name server does not answer',
  ETIMEDOUT: 'it does not answer in time; a firewall may be in between',
}

const CLOCK_CODES = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID'])
const UNTRUSTED_CODES = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
])

/** What a failed connection means to the person, by the code of the system or of OpenSSL. */
export function connectionError(error: Error, url: string): P2PError {
  // Node tries every address of a name and reports all failures together.
  const single = error instanceof AggregateError && error.errors[0] instanceof Error ? error.errors[0] : error
  const code = (single as NodeJS.ErrnoException).code ?? ''
  const details = { url, reason: code }
  if (UNTRUSTED_CODES.has(code)) {
    const message = `${url} shows a certificate of another cluster. If this cluster was made anew, run "p2p login" again`
    return new PkiError('P2P_PKI_UNTRUSTED_COORDINATOR', message, details, { cause: error })
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    const message = `The certificate of ${url} does not name that host; use an address it names: ${altNames(single)}`
    return new PkiError('P2P_PKI_UNTRUSTED_COORDINATOR', message, details, { cause: error })
  }
  if (CLOCK_CODES.has(code)) {
    const message = `The certificate of ${url} is not valid now; compare this machine's clock with the node's`
    return new PkiError('P2P_PKI_CLOCK_SKEW', message, details, { cause: error })
  }
  const why = UNREACHABLE[code] ?? single.message
  return new CliError('P2P_CLI_UNREACHABLE', `Cannot reach ${url}: ${why}`, details, { cause: error })
}

function altNames(error: Error): string {
  const { cert } = error as Error & { cert?: { subjectaltname?: string } }
  return cert?.subjectaltname ?? 'it names none'
}

const CODE_BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  401: 'P2P_RPC_AUTHENTICATION_REQUIRED',
  403: 'P2P_RPC_ACCESS_DENIED',
  404: 'P2P_HTTP_NOT_FOUND',
  429: 'P2P_RPC_RATE_LIMITED',
}

/** The error behind problem details. A newer node may know codes we do not: then the status decides. */
export function problemError(status: number, body: unknown, what: string): P2PError {
  const { code, detail, title, trace_id, details, issues } = recordOf(body)
  const text = [detail, title].find((part) => typeof part === 'string') ?? `${what} was refused with status ${status}`
  const lines = Array.isArray(issues)
    ? issues.map(recordOf).map(({ path, message }) => `\n  ${String(path)}: ${String(message)}`)
    : []
  const facts = { ...recordOf(details), ...(trace_id !== undefined && { trace_id }) }
  const fallback = CODE_BY_STATUS[status] ?? (status >= 500 ? 'P2P_RPC_INTERNAL' : 'P2P_RPC_INVALID_REQUEST')
  return new RpcError(knownCode(code) ?? fallback, `${text as string}${lines.join('')}`, facts)
}

/** The error behind the `error` member of a JSON-RPC 2.0 response (section 5.1). */
export function rpcError(member: unknown): RpcError {
  const { message, data } = recordOf(member)
  const { code, details, trace_id } = recordOf(data)
  const text = typeof message === 'string' ? message : 'The call failed, and the node does not say why'
  return new RpcError(knownCode(code) ?? 'P2P_RPC_INTERNAL', text, {
    ...recordOf(details),
    ...(trace_id !== undefined && { trace_id }),
  })
}

function knownCode(code: unknown): ErrorCode | undefined {
  return typeof code === 'string' && Object.hasOwn(ERROR_CODES, code) ? (code as ErrorCode) : undefined
}

function recordOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {}
}
