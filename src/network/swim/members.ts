import { createHash } from 'node:crypto'
import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus, NodeRecord } from '../../base/member.ts'
import { type Random, randomInt } from '../../base/random.ts'
import { LIMITS } from './limits.ts'
import type { DigestEntry, RecordEnvelope } from './message.ts'

/** What this node holds of one member, itself included. */
export interface MemberState {
  readonly nodeId: NodeId
  status: MemberStatus
  incarnation: number
  record: NodeRecord
  envelope: RecordEnvelope
  /** Active time at which the status began. */
  statusSinceMs: number
  /** Active time of the last frame that came from the member itself. */
  heardMs: number
  /** Whether a channel to it is open. */
  isConnected: boolean
}

const RANK = { alive: 0, suspect: 1, dead: 2, left: 3 } as const satisfies Record<MemberStatus, number>

/**
 * Whether claim `a` about a member outranks claim `b`: the higher incarnation, then the worse status (SWIM section
 * 4.2). A total order, so that all nodes end with the same view in whatever order they hear.
 */
export function outranks(
  a: { incarnation: number; status: MemberStatus },
  b: { incarnation: number; status: MemberStatus },
): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && RANK[a.status] > RANK[b.status])
}

/** Dead or left: not probed, not gossiped to. */
export function isGone(status: MemberStatus): boolean {
  return status === 'dead' || status === 'left'
}

/** All members this node knows. */
export class Members {
  readonly #random: Random
  readonly #byId = new Map<NodeId, MemberState>()
  #list: MemberState[] = []
  #hash: string | undefined
  #living: number | undefined

  constructor(random: Random) {
    this.#random = random
  }

  get size(): number {
    return this.#byId.size
  }

  get(nodeId: NodeId): MemberState | undefined {
    return this.#byId.get(nodeId)
  }

  /** In no particular order; not to be changed. */
  get all(): readonly MemberState[] {
    return this.#list
  }

  /**
   * Adds a member. A full table drops the one gone for longest.
   * @returns false when the table is full of living members
   */
  add(member: MemberState): boolean {
    if (this.#byId.size >= LIMITS.membersMax && !this.#evict()) return false
    this.#byId.set(member.nodeId, member)
    this.#list.push(member)
    this.changed()
    return true
  }

  /** To be called after a member was changed in place. */
  changed(): void {
    this.#hash = undefined
    this.#living = undefined
  }

  /** Members that count for log n: the living, this node included. */
  get living(): number {
    this.#living ??= this.#list.reduce((count, member) => (isGone(member.status) ? count : count + 1), 0)
    return this.#living
  }

  /** Up to `count` different members, evenly chosen among those that fit. */
  pick(count: number, fits: (member: MemberState) => boolean): MemberState[] {
    const candidates = this.#list.filter(fits)
    const picked: MemberState[] = []
    while (picked.length < count && candidates.length > 0) {
      const index = randomInt(this.#random, candidates.length)
      picked.push(candidates[index] as MemberState)
      candidates[index] = candidates[candidates.length - 1] as MemberState
      candidates.pop()
    }
    return picked
  }

  /** Every member in node id order. */
  digest(): DigestEntry[] {
    return this.#list
      .map(({ nodeId, incarnation, status, record }) => ({
        nodeId,
        incarnation,
        status,
        recordVersion: record.recordVersion,
      }))
      .sort((a, b) => (a.nodeId < b.nodeId ? -1 : 1))
  }

  /** The same for two nodes with equal views. Suspicions are left out: they pass. */
  hash(): string {
    if (this.#hash === undefined) {
      const hash = createHash('sha256')
      for (const { nodeId, incarnation, status, recordVersion } of this.digest()) {
        const settled = status === 'suspect' ? 'alive' : status
        hash.update(`${nodeId} ${incarnation} ${settled} ${recordVersion}\n`)
      }
      this.#hash = hash.digest('base64url').slice(0, 16)
    }
    return this.#hash
  }

  #evict(): boolean {
    const gone = this.#list.filter((member) => isGone(member.status))
    if (gone.length === 0) return false
    const oldest = gone.reduce((a, b) => (a.statusSinceMs <= b.statusSinceMs ? a : b))
    this.#byId.delete(oldest.nodeId)
    this.#list = this.#list.filter((member) => member !== oldest)
    return true
  }
}
