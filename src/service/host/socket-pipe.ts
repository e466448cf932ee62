import type { Duplex } from 'node:stream'
import { messageOf } from '../../base/errors.ts'
import type { BytePipe, HostChannel } from './host-channel.ts'

/** The socket to a service's process, or in it to the node. */
export function socketPipe(socket: Duplex): BytePipe {
  return {
    get backlogBytes() {
      return socket.writableLength
    },
    write: (bytes) => void (socket.destroyed || socket.write(bytes)),
    close: () => void socket.end(),
  }
}

/**
 * Gives the channel what comes over the socket, and its end.
 * @param gone why the channel ends when the other end does; without it, what the socket says
 */
export function readSocket(socket: Duplex, channel: HostChannel, gone?: string): void {
  socket.on('data', (chunk: Buffer) => channel.receive(chunk))
  socket.on('error', (error) => channel.ended(gone ?? messageOf(error)))
  socket.once('end', () => channel.close(gone ?? 'the other end closed it'))
  socket.once('close', () => channel.ended(gone ?? 'the other end is gone'))
}
