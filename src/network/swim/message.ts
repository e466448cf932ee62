import type { NodeId } from '../../base/identity.ts'
import type { MemberStatus, NodeRecord } from '../../base/member.ts'

/** A signed node record as it travels: relayed byte for byte. */
export interface RecordEnvelope {
  /** Canonical JSON of the NodeRecord. */
  bytes: Uint8Array
  signature: Uint8Array
  /** PEM, leaf first, root left out. */
  certificateChainPem: string
}

/** A record whose signature holds, and what it came in. Never changed. */
export interface SignedRecord {
  readonly record: NodeRecord
  readonly envelope: RecordEnvelope
}

/** What one node holds of a member, without the record itself. */
export interface DigestEntry {
  nodeId: NodeId
  incarnation: number
  status: MemberStatus
  recordVersion: number
}

/** `seq` ties an answer to its probe and means something only to the prober. */
export type Ping = { type: 'ping'; seq: number }
/** Asks the receiver to ping `target` and to pass on its ack; without one in time it answers nack. */
export type PingReq = { type: 'ping-req'; seq: number; target: NodeId }
export type Ack = { type: 'ack'; seq: number }
/** The asked member is healthy but had no answer itself (Lifeguard section 4.1). */
export type Nack = { type: 'nack'; seq: number }
/** `isRefused`: `from` found nobody listening at the member's addresses. */
export type Suspect = { type: 'suspect'; nodeId: NodeId; incarnation: number; from: NodeId; isRefused: boolean }
/** A member is alive in this incarnation, and this version of its record exists: who lacks it pulls it from the sender. */
export type Alive = { type: 'alive'; nodeId: NodeId; incarnation: number; recordVersion: number }
/** `from` the member itself means that it left. */
export type Dead = { type: 'dead'; nodeId: NodeId; incarnation: number; from: NodeId }
/** Opens a state exchange: who has another hash answers with a summary, or with its digest when that is short. */
export type Sync = { type: 'sync'; hash: string }
/** The sender's view in `2 ** bits` buckets of members, a hash each: who has others sends a digest of those. */
export type Summary = { type: 'summary'; bits: number; hashes: Uint8Array }
/** What the sender holds of members. With `covers` that is all it has in these buckets; without, only what the receiver lacks. */
export type Digest = { type: 'digest'; covers?: { bits: number; buckets: number[] }; entries: DigestEntry[] }
export type Pull = { type: 'pull'; nodeIds: NodeId[] }
export type RecordMessage = { type: 'record'; incarnation: number; status: MemberStatus; envelope: RecordEnvelope }

export type Rumour = Suspect | Alive | Dead
export type Message = Ping | PingReq | Ack | Nack | Rumour | Sync | Summary | Digest | Pull | RecordMessage
