import type { AuditTrail } from '../../../../src/base/audit.ts'
import type { Component } from '../../../../src/base/component.ts'
import type { NodeId, NodeIdentity, NodeRole, Principal } from '../../../../src/base/identity.ts'
import { type Logger, silentLogger } from '../../../../src/base/log.ts'
import type { Member, MemberEvent, MemberStatus, ServiceRecord } from '../../../../src/base/member.ts'
import type { Random } from '../../../../src/base/random.ts'
import type { PeerTarget } from '../../../../src/base/peer.ts'
import { systemFiles } from '../../../../src/platform/index.ts'
import {
  createServiceManager,
  type ResultCache,
  type ServiceDefinition,
  type ServiceManager,
  type SpanListener,
} from '../../../../src/service/index.ts'
import type { DiallableMembership } from '../../../../src/service/calls/router.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryNetwork, type MemoryPeers } from './memory-peers.ts'

export const SDK_URL = new URL('../../../../src/service/sdk/index.ts', import.meta.url).href
export const TRACE = '0123456789abcdef0123456789abcdef'
export const ADMIN: Principal = { kind: 'person', name: 'ada', role: 'admin' }
export const VIEWER: Principal = { kind: 'person', name: 'vic', role: 'viewer' }

/** Counts up: unpredictable enough for tests, and the same every time. */
export const countingRandom = { bytes: (length: number) => new Uint8Array(length).fill(7), float: () => 0.5 }

export class StubMembership implements DiallableMembership {
  readonly #members = new Map<NodeId, Member>()
  readonly #listeners = new Set<(event: MemberEvent) => void>()
  readonly #self: NodeId

  constructor(self: NodeId) {
    this.#self = self
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

  targetOf(nodeId: NodeId): PeerTarget | undefined {
    const record = this.#members.get(nodeId)?.record
    return record && { nodeId, addresses: record.addresses }
  }

  onChange(listener: (event: MemberEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  set(identity: NodeIdentity, services: ServiceRecord[], status: MemberStatus = 'alive'): void {
    const { nodeId, role, cluster } = identity
    const record = {
      nodeId,
      role,
      cluster,
      recordVersion: 1,
      softwareVersion: '3.0.0',
      addresses: ['127.0.0.1:1'],
      services,
      labels: {},
      capacity: { cpus: 1, memoryBytes: 1 },
      certificateSerial: '01',
      startedAtMs: 0,
    }
    const member: Member = { record, status, incarnation: 1, sinceMs: 0 }
    const previous = this.#members.get(nodeId)?.status
    this.#members.set(nodeId, member)
    for (const listener of this.#listeners) listener({ member, previous })
  }
}

export interface TestNode {
  identity: NodeIdentity
  manager: ServiceManager & Component
  membership: StubMembership
  peers: MemoryPeers
  clock: ManualClock
}

export interface NodeOptions {
  nodeId?: NodeId
  role?: NodeRole
  services?: ServiceDefinition[]
  servicesDirectory?: string
  clock?: ManualClock
  network?: MemoryNetwork
  log?: Logger
  cache?: ResultCache
  audit?: AuditTrail
  spans?: SpanListener
  random?: Random
}

/** A node's services on a clock that stands still and a network in memory; started. */
export async function startNode(options: NodeOptions = {}): Promise<TestNode> {
  const { nodeId = 'n1', role = 'worker', services = [], log = silentLogger, cache, audit, servicesDirectory } = options
  const { clock = new ManualClock(), network = new MemoryNetwork() } = options
  const identity: NodeIdentity = { cluster: 'test', role, nodeId }
  const peers = network.join(identity)
  const membership = new StubMembership(nodeId)
  const manager = createServiceManager(
    {
      clock,
      random: options.random ?? countingRandom,
      log,
      files: systemFiles,
      membership,
      peers,
      ...(cache && { cache }),
      ...(audit && { audit }),
      ...(options.spans && { spans: options.spans }),
    },
    { identity, sdkUrl: SDK_URL, kindDefault: 'inline', ...(servicesDirectory !== undefined && { servicesDirectory }) },
  )
  manager.onChange(() => membership.set(identity, manager.records()))
  for (const service of services) manager.register(service)
  await manager.start(new AbortController().signal)
  membership.set(identity, manager.records())
  return { identity, manager, membership, peers, clock }
}

/** Tells every node of every other, as gossip would. */
export function introduce(...nodes: TestNode[]): void {
  for (const node of nodes) {
    for (const other of nodes) node.membership.set(other.identity, other.manager.records())
  }
}

/** A call as it comes from outside. */
export function call(
  node: TestNode,
  method: string,
  params?: unknown,
  options: { caller?: Principal; target?: string; timeoutMs?: number; signal?: AbortSignal } = {},
): Promise<unknown> {
  const { caller = ADMIN, target, timeoutMs = 10_000, signal } = options
  const deadlineMs = node.clock.nowMs() + timeoutMs
  return node.manager.call(method, params, { caller, traceId: TRACE, deadlineMs, ...(signal && { signal }) }, target)
}

/** Lets everything that waits for nothing but microtasks go on. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
