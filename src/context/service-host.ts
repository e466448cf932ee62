import { Socket } from 'node:net'
import { isMainThread, type MessagePort, parentPort } from 'node:worker_threads'
import { lastKnown, systemClock, systemRandom } from '../platform/index.ts'
import { ChildHost, HostChannel, portPipe, readPort, readSocket, socketPipe } from '../service/host/index.ts'

/** The descriptor on which a node opens the link to a service's process. */
const LINK_FD = 3
/** For the last lines to leave; a node that does not read them does not keep the process alive. */
const EXIT_MS_MAX = 1_000

const residentBytes = lastKnown(() => process.memoryUsage.rss())
const heapBytes = lastKnown(() => process.memoryUsage().heapUsed)

/** The program of a service's process, or of its thread: all it does comes as orders over the link. */
export function runServiceHost(): void {
  const host = isMainThread ? hostOverSocket() : hostOverPort(parentPort as MessagePort)
  process.on('uncaughtException', (error) => host.crashed(error))
  process.on('unhandledRejection', (error) => host.crashed(error))
}

function hostOverSocket(): ChildHost {
  const socket = new Socket({ fd: LINK_FD, readable: true, writable: true })
  // A terminal's Ctrl-C is the node's to answer; whoever means this process sends SIGTERM.
  process.on('SIGINT', () => {})
  return new ChildHost({
    clock: systemClock,
    random: systemRandom,
    usage: () => usage(residentBytes()),
    connect(handlers) {
      const channel = new HostChannel({ label: 'the node', pipe: socketPipe(socket), ...handlers })
      readSocket(socket, channel)
      return channel
    },
    exit(code) {
      if (socket.destroyed || socket.writableFinished) process.exit(code)
      socket.once('finish', () => process.exit(code))
      socket.once('close', () => process.exit(code))
      systemClock.after(EXIT_MS_MAX, () => process.exit(code))
    },
  })
}

function hostOverPort(port: MessagePort): ChildHost {
  return new ChildHost({
    clock: systemClock,
    random: systemRandom,
    usage: () => usage(heapBytes()),
    connect(handlers) {
      const pipe = portPipe(port, () => port.close())
      const channel = new HostChannel({ label: 'the node', pipe, ...handlers })
      readPort(port, channel)
      port.once('close', () => channel.ended('the node has closed it'))
      return channel
    },
    exit: (code) => process.exit(code),
  })
}

function usage(memoryBytes: number): { memoryBytes: number; cpuMs: number } {
  const { user, system } = process.cpuUsage()
  return { memoryBytes, cpuMs: (user + system) / 1_000 }
}
