import { once } from 'node:events'
import type { Server } from 'node:net'
import { messageOf, TransportError } from '../base/errors.ts'
import { formatHostPort } from './host-port.ts'

/**
 * Resolves when the server listens.
 * @throws {TransportError} P2P_TRANSPORT_PORT_TAKEN, P2P_TRANSPORT_LISTEN_FAILED
 */
export async function listen(server: Server, host: string, port: number): Promise<void> {
  try {
    const listening = once(server, 'listening')
    server.listen({ host, port })
    await listening
  } catch (cause) {
    throw listenFailure(host, port, cause)
  }
}

function listenFailure(host: string, port: number, cause: unknown): TransportError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'EADDRINUSE') {
    const message = `Port ${port} on ${host} is taken by another program. End that program, or choose another port (--port).`
    return new TransportError('P2P_TRANSPORT_PORT_TAKEN', message, { host, port }, { cause })
  }
  const message = `Cannot listen at ${formatHostPort(host, port)}: ${remedy(code, host) ?? messageOf(cause)}`
  return new TransportError('P2P_TRANSPORT_LISTEN_FAILED', message, { host, port }, { cause })
}

function remedy(code: unknown, host: string): string | undefined {
  if (code === 'EACCES') return 'this user may not. Choose a port from 1024 up, or allow the program to bind low ports.'
  if (code === 'EADDRNOTAVAIL' || code === 'ENOTFOUND')
    return `${host} is not an address of this machine. Set bind_address to one of its addresses, or to 0.0.0.0 for all.`
  return undefined
}
