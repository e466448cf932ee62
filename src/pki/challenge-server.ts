import { createServer, type Server } from 'node:http'
import { messageOf, PkiError } from '../base/errors.ts'
import { CHALLENGE_PATH } from './challenge.ts'

/** Answers the coordinator's challenge while a node enrols. */
export interface ChallengeServer {
  readonly port: number
  /** From now on answers this challenge, and no other. */
  answer(challenge: string, keyAuthorization: string): void
  close(): Promise<void>
}

export type ListenChallenge = (options: {
  /** 0 for any free port. */
  port: number
  /** Undefined for all addresses. */
  address: string | undefined
}) => Promise<ChallengeServer>

/** One request at a time per connection, and the coordinator asks each address once: a few connections are plenty. */
const CONNECTIONS_MAX = 32

/**
 * The real {@link ListenChallenge}: plain HTTP on which exactly one path answers, and everything else is 404.
 * When the port is taken or not permitted, another free one: the port travels in the request.
 * @throws {PkiError} P2P_PKI_CHALLENGE_FAILED when it cannot listen at the address at all
 */
export const listenChallenge: ListenChallenge = async ({ port, address }) => {
  let current: { path: string; body: string } | undefined
  const server = createServer(
    { headersTimeout: 5_000, requestTimeout: 5_000, maxHeaderSize: 4_096, keepAlive: false },
    (request, response) => {
      const isAsked = request.method === 'GET' && current !== undefined && request.url === current.path
      const body = isAsked && current ? current.body : ''
      response.writeHead(isAsked ? 200 : 404, { 'content-type': 'text/plain', connection: 'close' }).end(body)
    },
  )
  server.maxConnections = CONNECTIONS_MAX
  await listenOrElsewhere(server, port, address)
  const bound = server.address()
  return {
    port: typeof bound === 'object' && bound ? bound.port : port,
    answer: (challenge, body) => {
      current = { path: CHALLENGE_PATH + challenge, body }
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function listenOrElsewhere(server: Server, port: number, address: string | undefined): Promise<void> {
  try {
    await listen(server, port, address)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (port !== 0 && (code === 'EADDRINUSE' || code === 'EACCES')) return listenOrElsewhere(server, 0, address)
    throw new PkiError(
      'P2P_PKI_CHALLENGE_FAILED',
      `The challenge server cannot listen on port ${port} of ${address ?? 'this host'}: ${messageOf(error)}`,
      { port, address },
      { cause: error },
    )
  }
}

function listen(server: Server, port: number, host: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ port, host, exclusive: true }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
