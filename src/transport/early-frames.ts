import { FRAME_HEADER_BYTES } from '../base/frames.ts'
import { FRAME_KINDS } from '../base/peer.ts'
import type { Http2Channel } from './channel.ts'

/** A moment's calls and gossip. What is beyond it is lost, as all of it was to a node that had not begun. */
const EARLY_BYTES_MAX = 4 * 1024 * 1024
const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(FRAME_KINDS))

interface EarlyFrame {
  readonly channel: Http2Channel
  readonly kind: number
  readonly payload: Uint8Array
}

/**
 * Frames that came before the node has a handler for them. Its peers reach a node that starts again before its services do, and
 * a call that was dropped then would wait for its deadline.
 */
export class EarlyFrames {
  #frames: EarlyFrame[] = []
  #bytes = 0

  /** @returns false: it is of no kind that there will be a handler for, or there is no room */
  keep(channel: Http2Channel, kind: number, payload: Uint8Array): boolean {
    const bytes = FRAME_HEADER_BYTES + payload.length
    if (!KNOWN_KINDS.has(kind) || this.#bytes + bytes > EARLY_BYTES_MAX) return false
    this.#bytes += bytes
    this.#frames.push({ channel, kind, payload: Buffer.copyBytesFrom(payload) })
    return true
  }

  /** @returns what came for the handler that is there now, in its order; of channels that are still open */
  take(kind: number): EarlyFrame[] {
    const taken = this.#frames.filter((frame) => frame.kind === kind)
    this.#frames = this.#frames.filter((frame) => frame.kind !== kind)
    this.#bytes = this.#frames.reduce((sum, { payload }) => sum + FRAME_HEADER_BYTES + payload.length, 0)
    return taken.filter(({ channel }) => !channel.closed.aborted)
  }
}
