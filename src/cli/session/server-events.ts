import type { IncomingMessage } from 'node:http'
import { request } from 'node:https'
import { CliError, codeOf } from '../../base/errors.ts'
import { type ApiTarget, connectionError, problemError, requestOptions } from './api-client.ts'

/** One server-sent event (HTML standard, section 9.2); comments are told as `heartbeat`. */
export interface ServerEvent {
  event: string
  id: string | undefined
  data: string
}

export interface EventsRequest {
  /** With query, percent-encoded. */
  path: string
  /** Go on after this event. */
  lastEventId: string | undefined
  signal: AbortSignal
}

/** A node says something every 15 s; after this long without a word it is not there any more. */
const SILENCE_MS_MAX = 45_000
const EVENT_CHARACTERS_MAX = 32 * 1024 * 1024
const REFUSAL_BYTES_MAX = 64 * 1024

/**
 * The events of one connection, until the node ends it.
 * @throws {P2PError} as `callApi`; P2P_CLI_UNREACHABLE also when the connection breaks
 */
export async function* serverEvents(target: ApiTarget, events: EventsRequest): AsyncGenerator<ServerEvent> {
  try {
    yield* parsed(await opened(target, events))
  } catch (error) {
    throw codeOf(error) === undefined ? connectionError(error as Error, target.url) : error
  }
}

async function opened(target: ApiTarget, { path, lastEventId, signal }: EventsRequest): Promise<IncomingMessage> {
  const incoming = await answerTo(target, path, {
    signal,
    headers: { accept: 'text/event-stream', ...(lastEventId !== undefined && { 'last-event-id': lastEventId }) },
  })
  incoming.setEncoding('utf8')
  const { statusCode = 0, headers } = incoming
  if (statusCode === 200 && headers['content-type']?.startsWith('text/event-stream')) return incoming
  let text = ''
  for await (const chunk of incoming) {
    text += chunk
    if (text.length > REFUSAL_BYTES_MAX) break
  }
  if (statusCode >= 400) throw problemError(statusCode, jsonOrUndefined(text), `GET ${path}`)
  throw new CliError(
    'P2P_CLI_UNREACHABLE',
    `${target.url} does not answer like a node of P2P Core (status ${statusCode})`,
  )
}

function answerTo(
  target: ApiTarget,
  path: string,
  { headers, signal }: { headers: Record<string, string>; signal: AbortSignal },
): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>()
  const options = requestOptions(target, { method: 'GET', path, timeoutMs: SILENCE_MS_MAX, headers })
  const outgoing = request(new URL(path, target.url), { ...options, signal }, resolve)
  outgoing.on('timeout', () =>
    outgoing.destroy(Object.assign(new Error('it has been silent for too long'), { code: 'ETIMEDOUT' })),
  )
  outgoing.on('error', reject)
  outgoing.end()
  return promise
}

function jsonOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** An event is lines `field: value` up to an empty one. */
async function* parsed(chunks: AsyncIterable<string>): AsyncGenerator<ServerEvent> {
  let text = ''
  for await (const chunk of chunks) {
    let from = Math.max(0, text.length - 1)
    text += chunk
    for (let end = text.indexOf('\n\n', from); end >= 0; end = text.indexOf('\n\n', from)) {
      const event = eventOf(text.slice(0, end))
      if (event) yield event
      text = text.slice(end + 2)
      from = 0
    }
    if (text.length > EVENT_CHARACTERS_MAX) throw new Error('an event is larger than 32 MiB')
  }
}

/** @returns undefined for a block without data, such as a `retry` alone: it is no event */
function eventOf(block: string): ServerEvent | undefined {
  if (block.startsWith(':')) return { event: 'heartbeat', id: undefined, data: '' }
  const fields = new Map<string, string>()
  for (const line of block.split('\n')) {
    const [, name = '', value = ''] = /^([^:]*): ?(.*)$/.exec(line) ?? [line, line]
    fields.set(name, name === 'data' && fields.has(name) ? `${fields.get(name)}\n${value}` : value)
  }
  const data = fields.get('data')
  return data === undefined ? undefined : { event: fields.get('event') ?? 'message', id: fields.get('id'), data }
}
