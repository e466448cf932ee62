import type { Socket } from 'node:net'
import { plainAddress } from './connection-facts.ts'
import { addressPrefix } from './rate-limiter.ts'

/** Connections that are told, after their handshake, why they are not served; whatever comes beyond them is cut at once. */
const SURPLUS_MAX = 64

/** What becomes of a new connection. `surplus`: it is answered that it is one too many, and not served. */
type Admission = 'admitted' | 'surplus' | 'refused'

/** Every TCP connection of a server, in its TLS handshake or after it, counted by the network it comes from. */
export class SocketTable {
  readonly #perAddressMax: number
  readonly #sockets = new Set<Socket>()
  readonly #counts = new Map<string, number>()
  readonly #surplus = new Set<string>()

  constructor(perAddressMax: number) {
    this.#perAddressMax = perAddressMax
  }

  get size(): number {
    return this.#sockets.size
  }

  /** A socket that is refused is not kept. */
  admit(socket: Socket): Admission {
    const prefix = addressPrefix(plainAddress(socket.remoteAddress))
    const count = this.#counts.get(prefix) ?? 0
    if (count >= this.#perAddressMax) return this.#admitSurplus(socket)
    this.#counts.set(prefix, count + 1)
    this.#sockets.add(socket)
    socket.once('close', () => this.#remove(socket, prefix))
    return 'admitted'
  }

  /** @param socket the TCP connection, or the TLS connection over it */
  isSurplus(socket: Pick<Socket, 'remoteAddress' | 'remotePort'>): boolean {
    return this.#surplus.size > 0 && this.#surplus.has(farEnd(socket))
  }

  cutAll(): void {
    for (const socket of this.#sockets) socket.destroy()
  }

  #admitSurplus(socket: Socket): Admission {
    if (this.#surplus.size >= SURPLUS_MAX) return 'refused'
    const key = farEnd(socket)
    this.#surplus.add(key)
    this.#sockets.add(socket)
    socket.once('close', () => {
      this.#surplus.delete(key)
      this.#sockets.delete(socket)
    })
    return 'surplus'
  }

  #remove(socket: Socket, prefix: string): void {
    this.#sockets.delete(socket)
    const left = (this.#counts.get(prefix) as number) - 1
    if (left === 0) this.#counts.delete(prefix)
    else this.#counts.set(prefix, left)
  }
}

/** Of one port no two connections have the same. */
function farEnd({ remoteAddress, remotePort }: Pick<Socket, 'remoteAddress' | 'remotePort'>): string {
  return `${remoteAddress} ${remotePort}`
}
