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

/** Gives the channel what comes over the socket, and its end. */
export function readSocket(socket: Duplex, channel: HostChannel): void {
  socket.on('data', (chunk: Buffer) => channel.receive(chunk))
  socket.on('error', (error) => channel.ended(messageOf(error)))
  socket.once('end', () => channel.close('the other end closed it'))
  socket.once('close', () => channel.ended('the other end is gone'))
}
