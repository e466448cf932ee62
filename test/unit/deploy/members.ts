import type { NodeId, NodeRole } from '../../../src/base/identity.ts'
import type { Member, MemberEvent, Membership, MemberStatus, ServiceRecord } from '../../../src/base/member.ts'

/** A node's view of its cluster, as a test wants it. */
export class StubMembers implements Membership {
  readonly #members = new Map<NodeId, Member>()
  readonly #listeners = new Set<(event: MemberEvent) => void>()
  readonly #self: NodeId
  readonly #wallMs: () => number

  constructor(self: NodeId, wallMs: () => number) {
    this.#self = self
    this.#wallMs = wallMs
  }

  self(): Member {
    return this.#members.get(this.#self) as Member
  }

  members(): Member[] {
    return [...this.#members.values()].sort((a, b) => (a.record.nodeId < b.record.nodeId ? -1 : 1))
  }

  get(nodeId: NodeId): Member | undefined {
    return this.#members.get(nodeId)
  }

  onChange(listener: (event: MemberEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  set(
    nodeId: NodeId,
    role: NodeRole,
    options: {
      status?: MemberStatus
      services?: ServiceRecord[]
      startedAtMs?: number
      labels?: Record<string, string>
    } = {},
  ): void {
    const before = this.#members.get(nodeId)
    const { status = 'alive', services = [], startedAtMs = before?.record.startedAtMs ?? 0, labels = {} } = options
    const record = {
      nodeId,
      role,
      cluster: 'test',
      recordVersion: 1,
      softwareVersion: '3.0.0',
      addresses: ['127.0.0.1:1'],
      services,
      labels,
      capacity: { cpus: 4, memoryBytes: 8_000_000_000 },
      certificateSerial: '01',
      startedAtMs,
    }
    const sinceMs = before?.status === status ? before.sinceMs : this.#wallMs()
    const member: Member = { record, status, incarnation: 1, sinceMs }
    this.#members.set(nodeId, member)
    for (const listener of this.#listeners) listener({ member, previous: before?.status })
  }
}

export function serviceRecord(name: string, health: ServiceRecord['health'] = 'healthy'): ServiceRecord {
  return { name, version: '1.0.0', description: '', health, methods: [] }
}
