import { AssertionError } from '../base/assert.ts'
import { silentLogger } from '../base/log.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { MemberEvent, MemberStatus } from '../base/member.ts'
import type { Random } from '../base/random.ts'
import type { Component } from '../base/component.ts'
import { createGossip, type Gossip } from '../network/index.ts'
import { SimulatedClock } from './simulated-clock.ts'
import { LAN_CONDITIONS, type NetworkConditions, SimulatedNetwork } from './simulated-network.ts'
import { SimulatedRandom } from './simulated-random.ts'
import { simulatedSigner, simulatedVerifier } from './simulated-signature.ts'

export interface SimulatedClusterOptions {
  /** `n0` is the coordinator, the others are workers that know its address. */
  nodes: number
  /** The same seed gives the same run. */
  seed: number
  conditions?: Partial<NetworkConditions>
  /** Nodes start at random moments within this time. */
  startWithinMs?: number
  /** What nodes offer, to have records of a realistic size. */
  services?: number
}

/** One line of what happened, for tests and figures. */
export interface ObservedChange {
  atMs: number
  observer: NodeId
  target: NodeId
  status: MemberStatus
  previous: MemberStatus | undefined
}

/** After a fault ended, a node's death may still be announced for so long. */
const RECOVERY_MS = 30_000

interface SimulatedNode {
  nodeId: NodeId
  role: NodeRole
  address: string
  gossip: (Gossip & Component) | undefined
  random: SimulatedRandom
  /** When a fault of this node or of its links last began or ended. */
  disturbedMs: number
  incarnations: Map<NodeId, number>
}

/** Many nodes running the production gossip in one process, in virtual time, over a simulated network. */
export function createSimulatedCluster(options: SimulatedClusterOptions): SimulatedCluster {
  return new SimulatedCluster(options)
}

/**
 * Checks all along that no reachable node is held for dead by most others and that incarnations only rise. Whatever
 * breaks, and every condition that is not met in time, is reported with the seed that repeats it.
 */
export class SimulatedCluster {
  readonly seed: number
  readonly clock = new SimulatedClock()
  readonly network: SimulatedNetwork
  /** For the test's own choices, so that they repeat with the seed. */
  readonly random: Random
  /** Every status change that any node saw. */
  readonly changes: ObservedChange[] = []
  readonly #options: SimulatedClusterOptions
  readonly #nodes = new Map<NodeId, SimulatedNode>()
  readonly #broken: string[] = []

  constructor(options: SimulatedClusterOptions) {
    this.#options = options
    this.seed = options.seed
    const random = new SimulatedRandom(options.seed)
    this.random = random.fork()
    this.network = new SimulatedNetwork(this.clock, random.fork(), { ...LAN_CONDITIONS, ...options.conditions })
    for (let i = 0; i < options.nodes; i++) {
      const nodeId = `n${i}`
      const role = i === 0 ? 'coordinator' : 'worker'
      const address = `10.0.${i >> 8}.${i & 255}:8001`
      this.network.add({ cluster: 'sim', role, nodeId }, [address])
      this.#nodes.set(nodeId, {
        nodeId,
        role,
        address,
        gossip: undefined,
        random: random.fork(),
        disturbedMs: 0,
        incarnations: new Map(),
      })
    }
  }

  get nodeIds(): NodeId[] {
    return [...this.#nodes.keys()]
  }

  /** Nodes whose process runs, stopped ones left out. */
  get running(): NodeId[] {
    return this.nodeIds.filter((nodeId) => this.network.nodeOf(nodeId).host.state === 'running')
  }

  gossip(nodeId: NodeId): Gossip {
    const { gossip } = this.#node(nodeId)
    if (!gossip) throw new Error(`Node ${nodeId} does not run.`)
    return gossip
  }

  /** Starts all nodes. */
  async start(): Promise<void> {
    for (const nodeId of this.#nodes.keys()) {
      const withinMs = this.#options.startWithinMs ?? 1_000
      this.clock.after(this.random.float() * withinMs, () => this.boot(nodeId))
    }
    await this.run(this.#options.startWithinMs ?? 1_000)
  }

  /** Starts a node's process, also after it was killed. */
  boot(nodeId: NodeId): void {
    const node = this.#node(nodeId)
    const peers = this.network.boot(nodeId)
    const identity = this.network.nodeOf(nodeId).identity
    this.#disturb(nodeId)
    node.incarnations = new Map()
    const gossip = createGossip(
      {
        peers,
        clock: this.network.nodeOf(nodeId).host.clock(),
        random: node.random.fork(),
        log: silentLogger,
        signer: simulatedSigner(identity),
        verifier: simulatedVerifier,
        interfaces: () => [],
      },
      {
        nodeId,
        role: node.role,
        cluster: identity.cluster,
        softwareVersion: '3.0.0',
        record: {
          addresses: [node.address],
          capacity: { cpus: 8, memoryBytes: 16 * 2 ** 30 },
          services: exampleServices(this.#options.services ?? 0),
        },
        seeds: node.role === 'worker' ? [this.#node('n0').address] : [],
        intervalMsMin: 5_000,
        intervalMsMax: 30_000,
        compressionEnabled: true,
        compressionThresholdBytes: 1_024,
      },
    )
    node.gossip = gossip
    gossip.onChange((event) => this.#onChange(node, gossip, event))
    // Starting waits for nothing; a failure would be a defect and ends the test as an unhandled rejection.
    void gossip.start(new AbortController().signal)
  }

  /** SIGKILL: connections are reset. */
  kill(nodeId: NodeId): void {
    this.network.kill(nodeId, 'killed')
    this.#node(nodeId).gossip = undefined
  }

  /** The machine loses its power: nobody is told. */
  crash(nodeId: NodeId): void {
    this.network.kill(nodeId, 'silent')
    this.#node(nodeId).gossip = undefined
  }

  /** An orderly stop: announces that it leaves, then ends. */
  async leave(nodeId: NodeId): Promise<void> {
    const node = this.#node(nodeId)
    const { gossip } = node
    if (!gossip) return
    let hasLeft = false
    const leaving = gossip.leave().finally(() => {
      hasLeft = true
    })
    await this.clock.runUntil(() => hasLeft, 5_000)
    await leaving
    await gossip.stop()
    for (const channel of this.network.nodeOf(nodeId).peers.list()) channel.close('the node is stopping')
    this.kill(nodeId)
  }

  /** SIGSTOP. */
  stop(nodeId: NodeId): void {
    this.network.stop(nodeId)
    this.#disturb(nodeId)
  }

  /** SIGCONT. */
  resume(nodeId: NodeId): void {
    this.#disturb(nodeId)
    this.network.resume(nodeId)
  }

  partition(groups: readonly (readonly NodeId[])[]): void {
    for (const nodeId of groups.flat()) this.#disturb(nodeId)
    this.network.partition(groups)
  }

  /** Only one direction. */
  block(from: NodeId, to: NodeId): void {
    for (const nodeId of [from, to]) this.#disturb(nodeId)
    this.network.block(from, to)
  }

  heal(): void {
    this.network.heal()
    for (const nodeId of this.running) this.#disturb(nodeId)
  }

  async run(durationMs: number): Promise<void> {
    await this.clock.run(durationMs)
    this.#assertUnbroken()
  }

  /**
   * Lets time pass until the condition holds. @returns the time it took
   * @throws {AssertionError} with the seed, when it does not in time or an invariant broke
   */
  async runUntil(what: string, condition: () => boolean, withinMs: number): Promise<number> {
    const startMs = this.clock.nowMs()
    const holds = await this.clock.runUntil(() => this.#broken.length > 0 || condition(), withinMs)
    this.#assertUnbroken()
    if (!holds) this.fail(`not within ${withinMs} ms: ${what}`)
    return this.clock.nowMs() - startMs
  }

  /** How one running node sees another. */
  statusOf(observer: NodeId, target: NodeId): MemberStatus | undefined {
    return this.gossip(observer).get(target)?.status
  }

  /** Whether all running nodes that know of `target` at all say that it is in one of these states. */
  allSee(target: NodeId, ...statuses: MemberStatus[]): boolean {
    return this.running
      .filter((observer) => observer !== target)
      .every((observer) => statuses.includes(this.statusOf(observer, target) as MemberStatus))
  }

  /** All running nodes have equal views, in which exactly they are alive. */
  isConverged(): boolean {
    const running = new Set(this.running)
    const views = new Set<string>()
    for (const observer of running) {
      const members = this.gossip(observer).members()
      if (members.some(({ record, status }) => (status === 'alive') !== running.has(record.nodeId))) return false
      if (members.filter(({ status }) => status === 'alive').length !== running.size) return false
      views.add(members.map((m) => `${m.record.nodeId} ${m.status} ${m.incarnation} ${m.record.recordVersion}`).join())
      if (views.size > 1) return false
    }
    return true
  }

  /** What each running node holds, for messages of failed tests. */
  describe(): string {
    return this.running
      .map((observer) => {
        const view = this.gossip(observer)
          .members()
          .map(({ record, status, incarnation }) => `${record.nodeId}=${status}@${incarnation % 1_000_000}`)
        return `${observer}: ${view.join(' ')}`
      })
      .join('\n')
  }

  fail(message: string): never {
    const atS = (this.clock.nowMs() / 1_000).toFixed(1)
    throw new AssertionError(`Simulation with seed ${this.seed}, at ${atS} s: ${message}\n${this.describe()}`)
  }

  #onChange(node: SimulatedNode, gossip: Gossip, { member, previous }: MemberEvent): void {
    // An earlier life of this node may still come to an end.
    if (node.gossip !== gossip) return
    const target = member.record.nodeId
    const known = node.incarnations.get(target) ?? 0
    if (member.incarnation < known) this.#broken.push(`${node.nodeId} lowered the incarnation of ${target}`)
    node.incarnations.set(target, member.incarnation)
    if (member.status === previous) return
    const { nodeId: observer } = node
    this.changes.push({ atMs: this.clock.nowMs(), observer, target, status: member.status, previous })
    // Who hears of a member only as of a dead one declares nothing.
    if (member.status === 'dead' && previous !== undefined) this.#checkDeath(target)
  }

  #checkDeath(target: NodeId): void {
    const calmMs = this.clock.nowMs() - this.#node(target).disturbedMs
    if (!this.running.includes(target) || this.network.isCutOff(target) || calmMs < RECOVERY_MS) return
    const observers = this.running.filter((observer) => observer !== target)
    const accusers = observers.filter((observer) => this.statusOf(observer, target) === 'dead')
    if (accusers.length * 2 > observers.length) {
      this.#broken.push(`${target} runs and is reachable, but ${accusers.join(', ')} hold it for dead`)
    }
  }

  #disturb(nodeId: NodeId): void {
    this.#node(nodeId).disturbedMs = this.clock.nowMs()
  }

  #assertUnbroken(): void {
    if (this.#broken.length > 0) this.fail(this.#broken.join('; '))
  }

  #node(nodeId: NodeId): SimulatedNode {
    const node = this.#nodes.get(nodeId)
    if (!node) throw new Error(`The simulated cluster has no node ${nodeId}.`)
    return node
  }
}

function exampleServices(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    name: `service_${i}`,
    version: '1.2.3',
    description: 'Watches a folder and reports what changed in it.',
    health: 'healthy' as const,
    methods: ['list', 'report', 'watch', 'unwatch'],
  }))
}
