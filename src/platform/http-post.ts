import http, { type IncomingMessage } from 'node:http'
import https from 'node:https'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'

/** What an HTTP server answered; of the body the beginning. */
export interface HttpAnswer {
  status: number
  /** Header `Retry-After` in milliseconds, where it says seconds. */
  retryAfterMs: number | undefined
  body: string
}

const SILENCE_MS_MAX = 10_000
const BODY_CHARACTERS_MAX = 16_384
/** Less is not worth compressing. */
const GZIP_BYTES_MIN = 1_024
const UNSUPPORTED_MEDIA_TYPE = 415

const gzipped = promisify(gzip)

/**
 * Posts JSON to an HTTP or HTTPS server over connections that are kept. Certificates are verified against the system's
 * authorities. Rejects when no answer comes within ten seconds of silence. Bodies of a kilobyte and more are compressed (gzip), until
 * the server says that it does not read that (415).
 * @param baseUrl without a slash at its end; paths are put behind it
 */
export function createHttpPost(baseUrl: string, headers: Readonly<Record<string, string>>) {
  const { Agent, request } = baseUrl.startsWith('https:') ? https : http
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  let isCompressing = true
  const send = async (path: string, body: Buffer, signal: AbortSignal): Promise<HttpAnswer> => {
    const isSmaller = isCompressing && body.byteLength >= GZIP_BYTES_MIN
    const payload = isSmaller ? await gzipped(body) : body
    const about = {
      'content-type': 'application/json',
      'content-length': payload.byteLength,
      ...(isSmaller && { 'content-encoding': 'gzip' }),
    }
    const options = { method: 'POST', agent, signal, timeout: SILENCE_MS_MAX, headers: { ...headers, ...about } }
    return new Promise((resolve, reject) => {
      const outgoing = request(`${baseUrl}${path}`, options, (incoming) => {
        readStart(incoming).then(
          (text) => resolve({ status: incoming.statusCode ?? 0, retryAfterMs: retryAfterOf(incoming), body: text }),
          reject,
        )
      })
      outgoing.on('timeout', () => outgoing.destroy(new Error('no answer in time')))
      outgoing.on('error', reject)
      outgoing.end(payload)
    })
  }
  return async (path: string, text: string, signal: AbortSignal): Promise<HttpAnswer> => {
    const body = Buffer.from(text)
    const answer = await send(path, body, signal)
    if (answer.status !== UNSUPPORTED_MEDIA_TYPE || !isCompressing || body.byteLength < GZIP_BYTES_MIN) return answer
    isCompressing = false
    return send(path, body, signal)
  }
}

/** Reads to the end, so that the connection can be used again. */
async function readStart(incoming: IncomingMessage): Promise<string> {
  incoming.setEncoding('utf8')
  let text = ''
  for await (const chunk of incoming as AsyncIterable<string>) {
    if (text.length < BODY_CHARACTERS_MAX) text += chunk.slice(0, BODY_CHARACTERS_MAX - text.length)
  }
  return text
}

function retryAfterOf({ headers }: IncomingMessage): number | undefined {
  const text = headers['retry-after']
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : undefined
}
