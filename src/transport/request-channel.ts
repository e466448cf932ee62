import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  type IncomingHttpHeaders,
  type IncomingHttpStatusHeader,
} from 'node:http2'
import { readBody } from './body.ts'
import { WINDOW_BYTES } from './channel.ts'
import { unreachable } from './connect-tls.ts'
import type { PeerConnection } from './connect-to-peer.ts'
import { type DialId, formatDialId, parseDialId } from './dial-id.ts'

export const CHANNEL_PATH = '/p2p/v1/channel'
export const PROTOCOL_VERSION = '1'
/** Says that the channel that is there works, and that this one is to take its place: calls under way are not to be cut. */
export const MOVE_HEADER = 'p2p-move'

/** What a node asks for a channel with. */
export interface ChannelRequest {
  dial: DialId
  isMove: boolean
}

/** The peer's answer to a request for a channel. */
export type ChannelAnswer =
  | { isOpen: true; session: ClientHttp2Session; stream: ClientHttp2Stream; peerDial: DialId }
  | { isOpen: false; status: number; detail: string }

const REFUSAL_BYTES_MAX = 4 * 1024

/**
 * Asks a verified peer for a channel, on its connection, which then carries nothing else; ends the connection unless
 * the answer is a channel.
 * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE
 * @throws the signal's reason when it is aborted
 */
export async function requestChannel(
  { socket, address }: PeerConnection,
  request: ChannelRequest,
  signal: AbortSignal,
): Promise<ChannelAnswer> {
  const session = connect(`https://${address}`, {
    createConnection: () => socket,
    settings: { enablePush: false, initialWindowSize: WINDOW_BYTES },
  })
  // Its stream tells of its end.
  session.on('error', () => {})
  const onAbort = (): void => session.destroy()
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    signal.throwIfAborted()
    const { stream, headers } = await ask(session, address, request)
    const peerDial = parseDialId(headers['p2p-dial'])
    if (headers[':status'] === 200 && peerDial && !stream.destroyed) return { isOpen: true, session, stream, peerDial }
    const body = await readBody(stream, REFUSAL_BYTES_MAX, headers['content-length'])
    const status = headers[':status'] ?? 0
    session.destroy()
    return { isOpen: false, status, detail: detailOf(body) ?? `it answered ${status}` }
  } catch (error) {
    session.destroy()
    throw signal.aborted ? signal.reason : error
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

type AnswerHeaders = IncomingHttpHeaders & IncomingHttpStatusHeader

function ask(
  session: ClientHttp2Session,
  address: string,
  { dial, isMove }: ChannelRequest,
): Promise<{ stream: ClientHttp2Stream; headers: AnswerHeaders }> {
  return new Promise((resolve, reject) => {
    const headers = {
      ':method': 'POST',
      ':path': CHANNEL_PATH,
      'content-type': 'application/octet-stream',
      'p2p-protocol': PROTOCOL_VERSION,
      'p2p-dial': formatDialId(dial),
      ...(isMove && { [MOVE_HEADER]: '1' }),
    }
    const stream = session.request(headers, { endStream: false })
    const onLost = (): void => reject(unreachable(address, 'the connection ended before the peer answered'))
    stream.once('close', onLost)
    stream.on('error', onLost)
    stream.once('response', (answer) => resolve({ stream, headers: answer }))
  })
}

function detailOf(problem: Buffer | undefined): string | undefined {
  try {
    const { detail } = JSON.parse(problem?.toString('utf8') ?? '') as { detail?: unknown }
    return typeof detail === 'string' ? detail : undefined
  } catch {
    return undefined
  }
}
