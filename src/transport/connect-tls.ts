import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { messageOf, TransportError } from '../base/errors.ts'
import { parseHostPort } from './host-port.ts'

/** What of TLS the two ways of dialling decide for themselves. */
export type TlsOptions = Pick<ConnectionOptions, 'ca' | 'cert' | 'key' | 'minVersion' | 'rejectUnauthorized'>

/**
 * Opens a TLS connection for HTTP/2 to `host:port`. The server's name is not compared with its certificate: a node is
 * known by the SPIFFE id in it, which the caller checks.
 * @throws {TransportError} P2P_TRANSPORT_UNREACHABLE; P2P_TRANSPORT_IDENTITY_MISMATCH when `rejectUnauthorized` is set and the chain
 *   does not lead to `ca`
 * @throws the signal's reason when it is aborted
 */
export function connectTls(address: string, options: TlsOptions, signal: AbortSignal): Promise<TLSSocket> {
  const target = parseHostPort(address)
  if (!target) return Promise.reject(unreachable(address, 'it is not of the form host:port'))
  if (signal.aborted) return Promise.reject(signal.reason)
  return new Promise((resolve, reject) => {
    const socket = connect({ ...options, ...target, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined })
    socket.setNoDelay(true)
    const onAbort = (): void => {
      socket.destroy()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    // Stays for good: whoever takes the socket over hears of its end by 'close'.
    socket.on('error', (cause) => {
      signal.removeEventListener('abort', onAbort)
      reject(dialFailure(address, socket, cause))
    })
    socket.once('secureConnect', () => {
      signal.removeEventListener('abort', onAbort)
      if (socket.alpnProtocol === 'h2') resolve(socket)
      else {
        socket.destroy()
        reject(unreachable(address, 'no P2P Core node answers there (it does not speak HTTP/2)'))
      }
    })
  })
}

function dialFailure(address: string, socket: TLSSocket, cause: Error): TransportError {
  if (socket.authorizationError) {
    const message = `The certificate of ${address} is not to be trusted: ${messageOf(cause)}`
    return new TransportError('P2P_TRANSPORT_IDENTITY_MISMATCH', message, { address }, { cause })
  }
  return unreachable(address, messageOf(cause), cause)
}

export function unreachable(address: string, why: string, cause?: unknown): TransportError {
  return new TransportError('P2P_TRANSPORT_UNREACHABLE', `${address} cannot be reached: ${why}`, { address }, { cause })
}
