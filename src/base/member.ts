import type { NodeId, NodeRole } from './identity.ts'

/** What a node says of one of its services. */
export interface ServiceRecord {
  name: string
  version: string
  description: string
  health: 'starting' | 'healthy' | 'failing' | 'stopping'
  /** Names of the callable methods, without the service's name. */
  methods: string[]
  /** Those of `methods` that may run twice without harm: calls of them are made again when they failed on the way. */
  idempotent?: string[]
  /** Topics its instance listens to: `orders.created`, `orders.*`; with `all:` before it, it gets what every instance gets. */
  events?: string[]
}

/** More than these do not fit a record beside the rest of it (32 KiB); the revocation list at /internal/crl has all. */
export const REVOKED_SERIALS_MAX = 300

/**
 * What a node says of itself, signed with its certificate's key; others relay it unchanged.
 * `recordVersion` rises at every change and decides which of two records is newer.
 */
export interface NodeRecord {
  nodeId: NodeId
  role: NodeRole
  cluster: string
  recordVersion: number
  /** Version of the P2P Core program. */
  softwareVersion: string
  /** Every `host:port` (IPv6 in brackets) at which the node can be dialled, best first. */
  addresses: string[]
  services: ServiceRecord[]
  labels: Record<string, string>
  capacity: { cpus: number; memoryBytes: number }
  certificateSerial: string
  /** SHA-256 fingerprints of the root keys it trusts. */
  trustedRoots?: string[]
  /** Coordinator only: key identifier of the CA it issues with, hex. */
  issuerId?: string
  /** Unix milliseconds. */
  startedAtMs: number
  /** Coordinator only: public JWKs (JSON text) that verify people's access tokens. */
  tokenKeys?: string
  /** Coordinator only: serials of revoked certificates that have not expired, newest first; at most {@link REVOKED_SERIALS_MAX}. */
  revokedSerials?: string[]
}

/** SWIM's view of a member. `left` announced its departure, `dead` did not answer. */
export type MemberStatus = 'alive' | 'suspect' | 'dead' | 'left'

export interface Member {
  record: NodeRecord
  status: MemberStatus
  /** Raised by the member itself to refute a suspicion (SWIM section 4.2). */
  incarnation: number
  /** Wall time in milliseconds at which this node saw the status begin. */
  sinceMs: number
}

export interface MemberEvent {
  member: Member
  /** Undefined for a member seen for the first time. */
  previous: MemberStatus | undefined
}

/** Read side of the cluster's membership: always this node's own view, in memory. */
export interface Membership {
  self(): Member
  /** All known members, this node included, ordered by node id. */
  members(): Member[]
  get(nodeId: NodeId): Member | undefined
  /** Status and record changes, this node's own included. @returns a function that unregisters */
  onChange(listener: (event: MemberEvent) => void): () => void
}
