import type { MessagePort, Worker } from 'node:worker_threads'
import type { BytePipe, HostChannel } from './host-channel.ts'

/**
 * The port to a service's thread, or in it to the node. What the other
 * end has not read is not known: an event loop that stands still is noticed by its heartbeat.
 */
export function portPipe(port: MessagePort | Worker, close: () => void): BytePipe {
  return {
    backlogBytes: 0,
    write(bytes) {
      // What lies in Node's pool of small buffers cannot be handed over.
      const owned = new Uint8Array(bytes)
      port.postMessage(owned, [owned.buffer])
    },
    close,
  }
}

export function readPort(
  port: { on(event: 'message', listener: (bytes: Uint8Array) => void): unknown },
  channel: HostChannel,
): void {
  port.on('message', ({ buffer, byteOffset, byteLength }) =>
    channel.receive(Buffer.from(buffer, byteOffset, byteLength)),
  )
}
