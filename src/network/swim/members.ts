import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus, NodeRecord } from '../../base/member.ts'
import { type Random, randomInt } from '../../base/random.ts'
import type { DigestEntry, SignedRecord } from './message.ts'
import { BUCKET_BITS_MAX, type ClaimHash, claimHash, ViewHash } from './view-hash.ts'

/** What is claimed of a member. */
export interface Claim {
  incarnation: number
  status: MemberStatus
}

/** What this node holds of one member, itself included. It is changed by {@link Members.change} only. */
export interface MemberState extends Readonly<Claim> {
  readonly nodeId: NodeId
  readonly record: NodeRecord
  readonly signed: SignedRecord
  /** Active time of the last frame that came from the member itself; negative infinity before the first. */
  readonly heardMs: number
  /** Wall time in milliseconds at which the status began; only for people. */
  readonly sinceMs: number
}

const STATUSES = ['alive', 'suspect', 'dead', 'left'] as const satisfies readonly MemberStatus[]
/** The worse, the higher. */
const RANK = { alive: 0, suspect: 1, dead: 2, left: 3 } as const satisfies Record<MemberStatus, number>

/**
 * Whether claim `a` about a member outranks claim `b`: the higher incarnation, then the worse status (SWIM section
 * 4.2). A total order, so that all nodes end with the same view in whatever order they hear.
 */
export function outranks(a: Readonly<Claim>, b: Readonly<Claim>): boolean {
  return a.incarnation > b.incarnation || (a.incarnation === b.incarnation && RANK[a.status] > RANK[b.status])
}

/** Dead or left: not probed, not gossiped to. */
export function isGone(status: MemberStatus): boolean {
  return status === 'dead' || status === 'left'
}

/** Rows looked at by chance before all of them are looked at. */
const GUESSES_PER_PICK = 8
/** Room for so many members at first; it doubles. */
const ROWS_MIN = 64

/**
 * All members this node knows, in columns: some 30 bytes a member beside its record and its name, and nothing that grows
 * with the table is done for a single change.
 */
export class Members {
  readonly #random: Random
  readonly #membersMax: number
  readonly #rows = new Map<NodeId, number>()
  readonly #hash = new ViewHash()
  readonly #counts = { alive: 0, suspect: 0, dead: 0, left: 0 }
  readonly #signed: SignedRecord[] = []
  #ranks = new Uint8Array(ROWS_MIN)
  #buckets = new Uint16Array(ROWS_MIN)
  #incarnations = new Float64Array(ROWS_MIN)
  #heardMs = new Float64Array(ROWS_MIN)
  #sinceMs = new Float64Array(ROWS_MIN)

  /** @param membersMax the oldest of the gone make room beyond it */
  constructor(random: Random, membersMax: number) {
    this.#random = random
    this.#membersMax = membersMax
  }

  get size(): number {
    return this.#rows.size
  }

  /** Members that count for log n: the living, this node included. */
  get living(): number {
    return this.#counts.alive + this.#counts.suspect
  }

  count(status: MemberStatus): number {
    return this.#counts[status]
  }

  has(nodeId: NodeId): boolean {
    return this.#rows.has(nodeId)
  }

  /** @returns the member as it is now: ask again after a change */
  get(nodeId: NodeId): MemberState | undefined {
    const row = this.#rows.get(nodeId)
    return row === undefined ? undefined : this.#at(row)
  }

  /** In no particular order. */
  *all(): IterableIterator<MemberState> {
    for (let row = 0; row < this.#rows.size; row++) yield this.#at(row)
  }

  /**
   * Adds a member. A full table drops the gone member that was not heard for longest; the first member, this node
   * itself, always stays.
   * @param hash that of the claim, where it is known already
   * @returns false when the table is full of living members
   */
  add(signed: SignedRecord, claim: Readonly<Claim>, hash?: ClaimHash): boolean {
    if (this.#rows.size >= this.#membersMax && !this.#evict()) return false
    const row = this.#rows.size
    if (row === this.#ranks.length) this.#grow()
    const { nodeId, recordVersion } = signed.record
    const known = hash ?? claimHash(nodeId, claim, recordVersion)
    this.#rows.set(nodeId, row)
    this.#signed[row] = signed
    this.#ranks[row] = RANK[claim.status]
    this.#buckets[row] = known.bucket
    this.#incarnations[row] = claim.incarnation
    this.#heardMs[row] = Number.NEGATIVE_INFINITY
    this.#sinceMs[row] = 0
    this.#counts[claim.status]++
    this.#hash.toggle(known)
    return true
  }

  /** What is left out stays as it is. */
  change(nodeId: NodeId, change: Partial<Claim & { signed: SignedRecord }>): void {
    const row = this.#rows.get(nodeId)
    if (row === undefined) return
    const before = this.#at(row)
    this.#toggle(row)
    if (change.incarnation !== undefined) this.#incarnations[row] = change.incarnation
    if (change.signed !== undefined) this.#signed[row] = change.signed
    if (change.status !== undefined) {
      this.#counts[before.status]--
      this.#counts[change.status]++
      this.#ranks[row] = RANK[change.status]
    }
    this.#toggle(row)
  }

  heard(nodeId: NodeId, activeMs: number): void {
    const row = this.#rows.get(nodeId)
    if (row !== undefined) this.#heardMs[row] = activeMs
  }

  noteSince(nodeId: NodeId, wallMs: number): void {
    const row = this.#rows.get(nodeId)
    if (row !== undefined) this.#sinceMs[row] = wallMs
  }

  /** Up to `count` different members, evenly chosen among those that fit. */
  pick(count: number, fits: (member: MemberState) => boolean): MemberState[] {
    if (count <= 0) return []
    const picked = new Map<NodeId, MemberState>()
    // By chance first: in a large table where most fit, looking at all would be most of the work.
    for (let guess = 0; guess < count * GUESSES_PER_PICK && picked.size < count; guess++) {
      const member = this.#at(randomInt(this.#random, this.#rows.size))
      if (!picked.has(member.nodeId) && fits(member)) picked.set(member.nodeId, member)
    }
    if (picked.size === count) return [...picked.values()]
    const others = [...this.all()].filter((member) => !picked.has(member.nodeId) && fits(member))
    while (picked.size < count && others.length > 0) {
      const index = randomInt(this.#random, others.length)
      const member = others[index] as MemberState
      picked.set(member.nodeId, member)
      others[index] = others.at(-1) as MemberState
      others.pop()
    }
    return [...picked.values()]
  }

  /** The same for two nodes with equal views. */
  hash(): string {
    return this.#hash.whole()
  }

  /** {@link ViewHash.buckets} */
  bucketHashes(bits: number): Uint8Array {
    return this.#hash.buckets(bits)
  }

  /** {@link ViewHash.differing} */
  differingBuckets(bits: number, theirs: Uint8Array): number[] {
    return this.#hash.differing(bits, theirs)
  }

  /** Members of some of `2 ** bits` buckets, by bucket. */
  digest(bits: number, buckets: readonly number[]): Map<number, DigestEntry[]> {
    const entries = new Map<number, DigestEntry[]>(buckets.map((bucket) => [bucket, []]))
    for (let row = 0; row < this.#rows.size; row++) {
      const bucket = (this.#buckets[row] as number) >>> (BUCKET_BITS_MAX - bits)
      const { nodeId, incarnation, status, record } = this.#at(row)
      entries.get(bucket)?.push({ nodeId, incarnation, status, recordVersion: record.recordVersion })
    }
    return entries
  }

  #at(row: number): MemberState {
    const signed = this.#signed[row] as SignedRecord
    return {
      nodeId: signed.record.nodeId,
      record: signed.record,
      signed,
      status: STATUSES[this.#ranks[row] as number] as MemberStatus,
      incarnation: this.#incarnations[row] as number,
      heardMs: this.#heardMs[row] as number,
      sinceMs: this.#sinceMs[row] as number,
    }
  }

  #toggle(row: number): void {
    const { nodeId, record, ...claim } = this.#at(row)
    this.#hash.toggle(claimHash(nodeId, claim, record.recordVersion))
  }

  #evict(): boolean {
    let oldest: number | undefined
    for (let row = 1; row < this.#rows.size; row++) {
      if (!isGone(this.#at(row).status)) continue
      if (oldest === undefined || (this.#heardMs[row] as number) < (this.#heardMs[oldest] as number)) oldest = row
    }
    if (oldest === undefined) return false
    const { nodeId, status } = this.#at(oldest)
    this.#toggle(oldest)
    this.#counts[status]--
    this.#rows.delete(nodeId)
    this.#moveLastTo(oldest)
    return true
  }

  #moveLastTo(row: number): void {
    const last = this.#rows.size
    const signed = this.#signed.pop() as SignedRecord
    if (row === last) return
    this.#signed[row] = signed
    for (const column of this.#columns()) column[row] = column[last] as number
    this.#rows.set(signed.record.nodeId, row)
  }

  #columns() {
    return [this.#ranks, this.#buckets, this.#incarnations, this.#heardMs, this.#sinceMs]
  }

  #grow(): void {
    const larger = <Column extends { length: number; set(from: Column): void }>(
      column: Column,
      make: new (length: number) => Column,
    ): Column => {
      const grown = new make(column.length * 2)
      grown.set(column)
      return grown
    }
    this.#ranks = larger(this.#ranks, Uint8Array)
    this.#buckets = larger(this.#buckets, Uint16Array)
    this.#incarnations = larger(this.#incarnations, Float64Array)
    this.#heardMs = larger(this.#heardMs, Float64Array)
    this.#sinceMs = larger(this.#sinceMs, Float64Array)
  }
}
