import type { NodeId } from '../../base/identity.ts'
import { type Random, shuffle } from '../../base/random.ts'
import type { Claims } from './claims.ts'
import { coveringDigests, missingFrom, replyDigests } from './digest.ts'
import { LIMITS } from './limits.ts'
import { type Members, outranks } from './members.ts'
import type {
  Alive,
  Digest,
  DigestEntry,
  Message,
  RecordEnvelope,
  RecordMessage,
  SignedRecord,
  Summary,
  Sync,
} from './message.ts'
import type { SwimOutput } from './output.ts'
import { Pulls } from './pulls.ts'
import { bucketBits } from './view-hash.ts'

export type ExchangeOutput =
  | Extract<SwimOutput, { type: 'outranked' }>
  | { type: 'reply'; to: NodeId; messages: Message[] }

export interface ExchangeNeeds {
  random: Random
  members: Members
  claims: Claims
  /** Checks shape, signature and signer. @returns undefined for a record that is not its node's own */
  open: (envelope: RecordEnvelope) => SignedRecord | undefined
  emit: (output: ExchangeOutput) => void
}

/**
 * State exchange (push-pull, as a hash tree of two levels): one hash when both views are equal; otherwise the hashes of
 * buckets of members, digests of the buckets that differ, and of records only those that differ. Records are always
 * pulled, whether a rumour or a digest told of them, so that each comes over the wire once.
 */
export class Exchange {
  readonly #random: Random
  readonly #members: Members
  readonly #claims: Claims
  readonly #open: ExchangeNeeds['open']
  readonly #emit: (output: ExchangeOutput) => void
  readonly #selfId: NodeId
  readonly #pulls = new Pulls()
  #recordsRefused = 0

  constructor(needs: ExchangeNeeds, selfId: NodeId) {
    this.#random = needs.random
    this.#members = needs.members
    this.#claims = needs.claims
    this.#open = needs.open
    this.#emit = needs.emit
    this.#selfId = selfId
  }

  /** Records that did not verify, or came for a full table. */
  get recordsRefused(): number {
    return this.#recordsRefused
  }

  opening(): Sync {
    return { type: 'sync', hash: this.#members.hash() }
  }

  onSync(from: NodeId, sync: Sync): void {
    if (sync.hash === this.#members.hash()) return
    const bits = bucketBits(this.#members.size)
    if (bits === 0) this.#sendDigests(from, bits, [0])
    else this.#sendSummary(from, bits)
  }

  onSummary(from: NodeId, { bits, hashes }: Summary): void {
    const ownBits = bucketBits(this.#members.size)
    // The sender knows fewer members: its buckets are too coarse for what is here.
    if (ownBits > bits) this.#sendSummary(from, ownBits)
    else this.#sendDigests(from, bits, this.#members.differingBuckets(bits, hashes))
  }

  onDigest(nowMs: number, from: NodeId, { covers, entries }: Digest): void {
    if (covers) {
      const own = [...this.#members.digest(covers.bits, covers.buckets).values()].flat()
      const missing = missingFrom({ type: 'digest', entries }, own, isNewer)
      for (const reply of replyDigests(missing)) this.#reply(from, [reply])
    }
    const wanted = entries.filter((entry) => {
      this.#claims.merge(nowMs, entry, from)
      return this.#wants(nowMs, entry.nodeId, entry.recordVersion)
    })
    this.#pull(
      from,
      wanted.map((entry) => entry.nodeId),
    )
  }

  onAlive(nowMs: number, from: NodeId, alive: Alive): void {
    this.#claims.alive(alive)
    if (this.#wants(nowMs, alive.nodeId, alive.recordVersion)) this.#pull(from, [alive.nodeId])
  }

  onPull(from: NodeId, nodeIds: readonly NodeId[]): void {
    const records = [...new Set(nodeIds)].flatMap((nodeId): RecordMessage[] => {
      const member = this.#members.get(nodeId)
      if (!member) return []
      const { incarnation, status, signed } = member
      return [{ type: 'record', incarnation, status, envelope: signed.envelope }]
    })
    if (records.length > 0) this.#reply(from, records)
  }

  onRecord(nowMs: number, from: NodeId, message: RecordMessage): void {
    const signed = this.#open(message.envelope)
    if (!signed) {
      this.#recordsRefused++
      return
    }
    const { nodeId, recordVersion } = signed.record
    this.#pulls.end(nodeId)
    const member = this.#members.get(nodeId)
    if (!member) {
      if (!this.#claims.addMember(signed, message)) this.#recordsRefused++
    } else if (recordVersion > member.record.recordVersion) {
      // Our own: from an earlier life with a faster clock.
      if (nodeId === this.#selfId) this.#emit({ type: 'outranked', recordVersion })
      else this.#claims.setRecord(nodeId, signed)
    }
    this.#claims.merge(nowMs, { nodeId, ...message }, from)
  }

  #wants(nowMs: number, nodeId: NodeId, recordVersion: number): boolean {
    // A higher version of our own record is pulled like any other: only its signature shows that it exists.
    const member = this.#members.get(nodeId)
    const isNews = !member || recordVersion > member.record.recordVersion
    return isNews && this.#pulls.begin(nowMs, nodeId, recordVersion)
  }

  #pull(from: NodeId, nodeIds: readonly NodeId[]): void {
    for (let start = 0; start < nodeIds.length; start += LIMITS.pullNodesMax) {
      this.#reply(from, [{ type: 'pull', nodeIds: nodeIds.slice(start, start + LIMITS.pullNodesMax) }])
    }
  }

  #sendSummary(to: NodeId, bits: number): void {
    this.#reply(to, [{ type: 'summary', bits, hashes: this.#members.bucketHashes(bits) }])
  }

  /** Of so many buckets, chosen by chance, as one exchange may carry: the next ones, with whomever, do the others. */
  #sendDigests(to: NodeId, bits: number, buckets: number[]): void {
    const sent = new Map<number, DigestEntry[]>()
    let count = 0
    for (const [bucket, entries] of this.#members.digest(bits, shuffle(this.#random, buckets))) {
      count += entries.length
      if (sent.size > 0 && count > LIMITS.exchangeEntriesMax) break
      sent.set(bucket, entries)
    }
    // One message a reply, so that each fits a frame.
    for (const digest of coveringDigests(bits, sent)) this.#reply(to, [digest])
  }

  #reply(to: NodeId, messages: Message[]): void {
    this.#emit({ type: 'reply', to, messages })
  }
}

function isNewer(own: DigestEntry, theirs: DigestEntry): boolean {
  return own.recordVersion > theirs.recordVersion || outranks(own, theirs)
}
