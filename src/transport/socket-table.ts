import type { Socket } from 'node:net'
import { plainAddress } from './connection-facts.ts'
import { addressPrefix } from './rate-limiter.ts'

/** Every TCP connection of a server, in its TLS handshake or after it, counted by the network it comes from. */
export class SocketTable {
  readonly #perAddressMax: number
  readonly #sockets = new Set<Socket>()
  readonly #counts = new Map<string, number>()

  constructor(perAddressMax: number) {
    this.#perAddressMax = perAddressMax
  }

  get size(): number {
    return this.#sockets.size
  }

  /** @returns false when the socket's address has as many open as it may; it is then not kept */
  admit(socket: Socket): boolean {
    const prefix = addressPrefix(plainAddress(socket.remoteAddress))
    const count = this.#counts.get(prefix) ?? 0
    if (count >= this.#perAddressMax) return false
    this.#counts.set(prefix, count + 1)
    this.#sockets.add(socket)
    socket.once('close', () => this.#remove(socket, prefix))
    return true
  }

  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #remove(socket: Socket, prefix: string): void {
    this.#sockets.delete(socket)
    const left = (this.#counts.get(prefix) as number) - 1
    if (left === 0) this.#counts.delete(prefix)
    else this.#counts.set(prefix, left)
  }
}
