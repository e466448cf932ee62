import type { NodeId } from '../../base/identity.ts'
import { LIMITS } from './limits.ts'

/** After so long a record that did not come may be asked for again. */
const PULL_TIMEOUT_MS = 2_000

/** Records asked for and not here yet, so that one change is not pulled from everybody who tells of it. */
export class Pulls {
  readonly #asked = new Map<NodeId, { recordVersion: number; askedMs: number }>()

  /** Whether to ask for this version now; notes that it was asked for. */
  begin(nowMs: number, nodeId: NodeId, recordVersion: number): boolean {
    const asked = this.#asked.get(nodeId)
    if (asked && asked.recordVersion >= recordVersion && nowMs - asked.askedMs < PULL_TIMEOUT_MS) return false
    this.#asked.delete(nodeId)
    this.#asked.set(nodeId, { recordVersion, askedMs: nowMs })
    if (this.#asked.size > LIMITS.membersMax) {
      for (const oldest of this.#asked.keys()) {
        this.#asked.delete(oldest)
        break
      }
    }
    return true
  }

  end(nodeId: NodeId): void {
    this.#asked.delete(nodeId)
  }
}
