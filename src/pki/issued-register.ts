import type { ControlStore, Entry, Operation, Transaction } from '../base/control-store.ts'
import { jsonValue } from '../base/control-store.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { IssuedCertificate } from '../base/enrolment.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'

const ISSUED_PREFIX = 'pki/issued/'
const NODE_PREFIX = 'pki/nodes/'
/**
 * Expired certificates kept of one node, newest first. The newest is what a node that slept past its
 * end comes back with, or the one before it when the last answer got lost; the rest is history.
 */
const EXPIRED_KEPT_PER_NODE = 8

/** A journal record of an issued certificate. */
export interface IssuedRecord extends IssuedCertificate {
  key_fingerprint: string
  /** Key identifier of the issuing CA; absent in records from before there could be two. */
  issuer?: string
}

/** Who holds a node id. */
export interface NodeEntry {
  node_id: NodeId
  role: NodeRole
  /** The key the last certificate was issued for; only it may ask again without renewing. */
  key_fingerprint: string
  /** DNS names a person approved; they stay in later certificates. */
  approved_dns_names: string[]
  /** Set while the node is revoked. */
  revoked_at_ms?: number
}

/** A stored {@link NodeEntry} with the revision that a change of it must still find. */
export interface NodeHolder extends NodeEntry {
  revision: number
}

/** One certificate to be recorded; all of it becomes durable together, or nothing. */
export interface Registration {
  certificate: IssuedRecord & { role: NodeRole }
  /** The holder this was decided on; the registration fails when it has changed since. */
  holder: NodeHolder | undefined
  approvedDnsNames: string[]
  /** Revokes the node's earlier certificates: their key has been replaced by a person's decision. */
  isReplacement: boolean
  alongside: Transaction | undefined
  nowMs: number
}

/** All certificates issued and the holders of node ids: in memory for look-ups, in the control store for keeps. */
export class IssuedRegister implements RevocationList {
  readonly #store: ControlStore
  readonly #certificates = new Map<string, IssuedRecord>()
  readonly #ofNode = new Map<NodeId, IssuedRecord[]>()
  readonly #holders = new Map<NodeId, NodeHolder>()
  readonly #revokedSerials = new Set<string>()
  readonly #revokedKeys = new Set<string>()
  readonly #listeners = new Set<() => void>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    for (const entry of await this.#store.range(ISSUED_PREFIX)) this.#remember(parse(entry) as IssuedRecord)
    for (const entry of await this.#store.range(NODE_PREFIX)) {
      const holder = parse(entry) as NodeEntry
      this.#holders.set(holder.node_id, { ...holder, revision: entry.revision })
    }
  }

  certificate(serial: string): IssuedRecord | undefined {
    return this.#certificates.get(serial)
  }

  /** All that are kept, in order of issue. */
  certificates(): IssuedRecord[] {
    return [...this.#certificates.values()].sort((a, b) => a.not_before_ms - b.not_before_ms)
  }

  /** How many certificates of the node are valid now. */
  validCount(nodeId: NodeId, nowMs: number): number {
    const records = this.#ofNode.get(nodeId) ?? []
    return records.filter((record) => record.not_after_ms > nowMs && record.revoked_at_ms === undefined).length
  }

  holder(nodeId: NodeId): NodeHolder | undefined {
    return this.#holders.get(nodeId)
  }

  /** Fingerprints of the keys that the node's certificates, as far as they are kept, were issued for. */
  keysOf(nodeId: NodeId): string[] {
    return [...new Set((this.#ofNode.get(nodeId) ?? []).map((record) => record.key_fingerprint))]
  }

  isRevoked(serialHex: string): boolean {
    return this.#revokedSerials.has(serialHex)
  }

  /** Whether a certificate for this key was ever revoked. */
  isRevokedKey(keyFingerprint: string): boolean {
    return this.#revokedKeys.has(keyFingerprint)
  }

  /** Issuing CAs that were dropped: what they signed is not to be trusted. Kept by whoever keeps the CAs. */
  revokeIssuing(serials: readonly string[]): void {
    const before = this.#revokedSerials.size
    for (const serial of serials) this.#revokedSerials.add(serial)
    if (this.#revokedSerials.size !== before) this.#notify()
  }

  /** Node ids that hold a valid certificate. */
  validNodes(nowMs: number): NodeId[] {
    return [...this.#holders.keys()].filter((nodeId) => this.validCount(nodeId, nowMs) > 0)
  }

  /** Called after each revocation. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Resolves once the certificate is durable; false when the holder or an `alongside` compare has changed: decide again. */
  async register(registration: Registration): Promise<boolean> {
    const { certificate, holder, alongside } = registration
    const earlier = this.#ofNode.get(certificate.node_id) ?? []
    const revoked = registration.isReplacement ? revokedAt(earlier, registration.nowMs) : []
    const forgotten = registration.isReplacement ? [] : outdated(earlier, registration.nowMs)
    const entry: NodeEntry = {
      node_id: certificate.node_id,
      role: certificate.role,
      key_fingerprint: certificate.key_fingerprint,
      approved_dns_names: registration.approvedDnsNames,
    }
    const result = await this.#store.transact({
      compares: [nodeCompare(certificate.node_id, holder), ...(alongside?.compares ?? [])],
      operations: [
        ...[certificate, ...revoked].map(putCertificate),
        ...forgotten.map(({ serial }): Operation => ({ type: 'delete', key: ISSUED_PREFIX + serial })),
        putNode(entry),
        ...(alongside?.operations ?? []),
      ],
    })
    if (!result.succeeded) return false
    for (const record of forgotten) this.#forget(record)
    for (const record of [...revoked, certificate]) this.#remember(record)
    this.#holders.set(entry.node_id, { ...entry, revision: result.revision })
    if (revoked.length > 0) this.#notify()
    return true
  }

  /** Resolves once the certificate of a server is durable: it has no holder of a node id. */
  async registerServer(record: IssuedRecord, alongside: Operation[], nowMs: number): Promise<void> {
    const forgotten = outdated(this.#ofNode.get(record.node_id) ?? [], nowMs)
    await this.#store.transact({
      operations: [
        putCertificate(record),
        ...forgotten.map(({ serial }): Operation => ({ type: 'delete', key: ISSUED_PREFIX + serial })),
        ...alongside,
      ],
    })
    for (const old of forgotten) this.#forget(old)
    this.#remember(record)
  }

  /** @returns false when it was revoked before, or is not known */
  async revokeSerial(serial: string, nowMs: number): Promise<boolean> {
    const record = this.#certificates.get(serial)
    if (!record || record.revoked_at_ms !== undefined) return false
    const revoked = { ...record, revoked_at_ms: nowMs }
    await this.#store.transact({ operations: [putCertificate(revoked)] })
    this.#remember(revoked)
    this.#notify()
    return true
  }

  /**
   * Revokes every certificate of the node that is not yet revoked, expired ones too: they could be used to renew.
   * @returns the certificates revoked now; empty when the node is unknown or was revoked before
   */
  async revokeNode(nodeId: NodeId, nowMs: number): Promise<IssuedRecord[]> {
    for (;;) {
      const holder = this.#holders.get(nodeId)
      const revoked = revokedAt(this.#ofNode.get(nodeId) ?? [], nowMs)
      if (!holder || revoked.length === 0) return []
      const { revision: _, ...entry } = { ...holder, revoked_at_ms: nowMs }
      const result = await this.#store.transact({
        compares: [nodeCompare(nodeId, holder)],
        operations: [...revoked.map(putCertificate), putNode(entry)],
      })
      // A certificate issued in between moved the revision: it is revoked in the next round.
      if (!result.succeeded) continue
      for (const record of revoked) this.#remember(record)
      this.#holders.set(nodeId, { ...entry, revision: result.revision })
      this.#notify()
      return revoked
    }
  }

  #remember(record: IssuedRecord): void {
    this.#certificates.set(record.serial, record)
    const others = (this.#ofNode.get(record.node_id) ?? []).filter(({ serial }) => serial !== record.serial)
    this.#ofNode.set(record.node_id, [...others, record])
    if (record.revoked_at_ms === undefined) return
    this.#revokedSerials.add(record.serial)
    this.#revokedKeys.add(record.key_fingerprint)
  }

  #forget(record: IssuedRecord): void {
    this.#certificates.delete(record.serial)
    const kept = (this.#ofNode.get(record.node_id) ?? []).filter(({ serial }) => serial !== record.serial)
    this.#ofNode.set(record.node_id, kept)
  }

  #notify(): void {
    for (const listener of this.#listeners) listener()
  }
}

function nodeCompare(nodeId: NodeId, holder: NodeHolder | undefined): { key: string; revision: number } {
  return { key: NODE_PREFIX + nodeId, revision: holder?.revision ?? 0 }
}

function putNode(entry: NodeEntry): Operation {
  return { type: 'put', key: NODE_PREFIX + entry.node_id, value: jsonValue(entry) }
}

function putCertificate(record: IssuedRecord): Operation {
  return { type: 'put', key: ISSUED_PREFIX + record.serial, value: jsonValue(record) }
}

function revokedAt(records: readonly IssuedRecord[], nowMs: number): IssuedRecord[] {
  return records
    .filter((record) => record.revoked_at_ms === undefined)
    .map((record) => ({ ...record, revoked_at_ms: nowMs }))
}

/** What need not be kept: expired, never revoked, and not among the newest. */
function outdated(records: readonly IssuedRecord[], nowMs: number): IssuedRecord[] {
  return records
    .filter((record) => record.not_after_ms < nowMs && record.revoked_at_ms === undefined)
    .sort((a, b) => b.not_after_ms - a.not_after_ms)
    .slice(EXPIRED_KEPT_PER_NODE)
}

const decoder = new TextDecoder()

function parse(entry: Entry): unknown {
  return JSON.parse(decoder.decode(entry.value))
}
