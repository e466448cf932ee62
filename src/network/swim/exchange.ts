import type { NodeId } from '../../base/identity.ts'
import type { NodeRecord } from '../../base/member.ts'
import type { Claims } from './claims.ts'
import { missingFrom, replyDigests, wholeDigest } from './digest.ts'
import { LIMITS } from './limits.ts'
import { type MemberState, type Members, outranks } from './members.ts'
import type { Alive, Digest, DigestEntry, Message, RecordEnvelope, RecordMessage, Sync } from './message.ts'
import type { SwimOutput } from './output.ts'
import { Pulls } from './pulls.ts'

export type ExchangeOutput =
  | Extract<SwimOutput, { type: 'outranked' }>
  | { type: 'reply'; to: NodeId; messages: Message[] }

export interface ExchangeNeeds {
  members: Members
  claims: Claims
  /** Checks shape, signature and signer. @returns undefined for a record that is not its node's own */
  verify: (envelope: RecordEnvelope) => NodeRecord | undefined
  emit: (output: ExchangeOutput) => void
}

/**
 * State exchange (push-pull): one hash when both views are equal; otherwise digests, and of records only those that
 * differ. Records are always pulled, whether a rumour or a digest told of them, so that each comes over the wire once.
 */
export class Exchange {
  readonly #members: Members
  readonly #claims: Claims
  readonly #verify: ExchangeNeeds['verify']
  readonly #emit: (output: ExchangeOutput) => void
  readonly #self: MemberState
  readonly #pulls = new Pulls()
  #recordsRefused = 0

  constructor(needs: ExchangeNeeds, self: MemberState) {
    this.#members = needs.members
    this.#claims = needs.claims
    this.#verify = needs.verify
    this.#emit = needs.emit
    this.#self = self
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
    // One message a reply: a digest of a full table would not fit one frame.
    for (const digest of wholeDigest(this.#members.digest())) this.#reply(from, [digest])
  }

  onDigest(nowMs: number, from: NodeId, digest: Digest): void {
    if (!digest.isReply) {
      const missing = missingFrom(digest, this.#members.digest(), isNewer)
      for (const reply of replyDigests(missing)) this.#reply(from, [reply])
    }
    const wanted = digest.entries.filter((entry) => {
      this.#claims.merge(nowMs, entry, from)
      return this.#wants(nowMs, entry.nodeId, entry.recordVersion)
    })
    this.#pull(
      from,
      wanted.map((entry) => entry.nodeId),
    )
  }

  onAlive(nowMs: number, from: NodeId, alive: Alive): void {
    this.#claims.alive(nowMs, alive)
    if (this.#wants(nowMs, alive.nodeId, alive.recordVersion)) this.#pull(from, [alive.nodeId])
  }

  onPull(from: NodeId, nodeIds: readonly NodeId[]): void {
    const records = [...new Set(nodeIds)].flatMap((nodeId): RecordMessage[] => {
      const member = this.#members.get(nodeId)
      if (!member) return []
      const { incarnation, status, envelope } = member
      return [{ type: 'record', incarnation, status, envelope }]
    })
    if (records.length > 0) this.#reply(from, records)
  }

  onRecord(nowMs: number, from: NodeId, message: RecordMessage): void {
    const record = this.#verify(message.envelope)
    if (!record) {
      this.#recordsRefused++
      return
    }
    this.#pulls.end(record.nodeId)
    const member = this.#members.get(record.nodeId)
    if (!member) {
      if (!this.#claims.addMember(nowMs, record, copyOf(message.envelope), message)) this.#recordsRefused++
    } else if (record.recordVersion > member.record.recordVersion) {
      // Our own: from an earlier life with a faster clock.
      if (member === this.#self) this.#emit({ type: 'outranked', recordVersion: record.recordVersion })
      else this.#claims.setRecord(member, record, copyOf(message.envelope))
    }
    this.#claims.merge(nowMs, { nodeId: record.nodeId, ...message }, from)
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

  #reply(to: NodeId, messages: Message[]): void {
    this.#emit({ type: 'reply', to, messages })
  }
}

function isNewer(own: DigestEntry, theirs: DigestEntry): boolean {
  return own.recordVersion > theirs.recordVersion || outranks(own, theirs)
}

/** What is kept must not point into the frame it came in. */
function copyOf(envelope: RecordEnvelope): RecordEnvelope {
  return { ...envelope, bytes: envelope.bytes.slice(), signature: envelope.signature.slice() }
}
