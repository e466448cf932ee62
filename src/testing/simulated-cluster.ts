import { AssertionError } from '../base/assert.ts'
import { silentLogger } from '../base/log.ts'
import type { NodeId, NodeRole } from '../base/identity.ts'
import type { MemberEvent, MemberStatus, NodeRecord } from '../base/member.ts'
import type { Random } from '../base/random.ts'
import type { Component } from '../base/component.ts'
import { type Acquaintable, createGossip, type Gossip } from '../network/index.ts'
import type { ServiceProxy } from '../service/sdk/index.ts'
import { SimulatedClock } from './simulated-clock.ts'
import { LAN_CONDITIONS, type NetworkConditions, SimulatedNetwork } from './simulated-network.ts'
import { SimulatedRandom } from './simulated-random.ts'
import { type ServicesOf, type SimulatedServices, startServices } from './simulated-services.ts'
import { shareRecords, simulatedSigner, simulatedVerifier } from './simulated-signature.ts'

export interface SimulatedClusterOptions {
  /** `n0` is the coordinator, the others are workers that know its address. */
  nodes: number
  /** The same seed gives the same run. */
  seed: number
  conditions?: Partial<NetworkConditions>
  /** Nodes start at random moments within this time. */
  startWithinMs?: number
  /** What each node runs. */
  services?: ServicesOf
  /** So many services that nodes only tell of, to have records of a realistic size. */
  exampleServices?: number
  /** Nodes start all at once and know each other already: thousands would take longer to join than to be watched. */
  isEstablished?: boolean
}

/** One line of what happened, for tests and figures. */
export interface ObservedChange {
  atMs: number
  observer: NodeId
  target: NodeId
  status: MemberStatus
  previous: MemberStatus | undefined
}

/** What a node holds by default; larger clusters are simulated with room for all. */
const MEMBERS_MAX = 4_096

const NAMES_SHOWN = 8
/** An orderly stop takes so long at most: gossip a second, services ten. */
const STOP_MS_MAX = 15_000
/** Longer than calls wait for their answers. */
const SETTLED_MS_MAX = 60_000

/** After a fault ended, a node's death may still be announced for so long. */
const RECOVERY_MS = 30_000

interface SimulatedNode {
  nodeId: NodeId
  role: NodeRole
  address: string
  gossip: (Gossip & Acquaintable & Component) | undefined
  servicesOf: ServicesOf | undefined
  services: SimulatedServices | undefined
  random: SimulatedRandom
  /** When a fault of this node or of its links last began or ended. */
  disturbedMs: number
  isStarved: boolean
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
  readonly #shared = shareRecords()

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
        servicesOf: options.services,
        services: undefined,
        random: random.fork(),
        disturbedMs: 0,
        isStarved: false,
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
    if (this.#options.isEstablished) {
      for (const nodeId of this.#nodes.keys()) this.boot(nodeId)
      const gossips = [...this.#nodes.values()].flatMap(({ gossip }) => gossip ?? [])
      const all = gossips.map((gossip) => gossip.acquaintance())
      for (const gossip of gossips) gossip.acquaint(all)
      return
    }
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
    const { identity, host } = this.network.nodeOf(nodeId)
    const clock = host.clock()
    this.#disturb(nodeId)
    node.isStarved = false
    node.incarnations = new Map()
    const gossip = createGossip(
      {
        peers,
        clock,
        random: node.random.fork(),
        log: silentLogger,
        signer: simulatedSigner(identity),
        verifier: simulatedVerifier,
        interfaces: () => [],
        shared: this.#shared,
      },
      {
        nodeId,
        role: node.role,
        cluster: identity.cluster,
        softwareVersion: '3.0.0',
        record: {
          addresses: [node.address],
          capacity: { cpus: 8, memoryBytes: 16 * 2 ** 30 },
          services: exampleRecords(this.#options.exampleServices ?? 0),
        },
        seeds: node.role === 'worker' ? [this.#node('n0').address] : [],
        intervalMsMin: 5_000,
        intervalMsMax: 30_000,
        compressionEnabled: true,
        compressionThresholdBytes: 1_024,
        membersMax: Math.max(MEMBERS_MAX, 2 * this.#options.nodes),
      },
    )
    node.gossip = gossip
    gossip.onChange((event) => this.#onChange(node, gossip, event))
    // Starting waits for nothing; a failure would be a defect and ends the test as an unhandled rejection.
    void gossip.start(new AbortController().signal)
    node.services =
      node.servicesOf && startServices({ gossip, peers, clock, random: node.random.fork() }, identity, node.servicesOf)
  }

  /** Ends a node's process in order and starts it with other services: one step of a rollout. */
  async deploy(nodeId: NodeId, services: ServicesOf): Promise<void> {
    this.#node(nodeId).servicesOf = services
    await this.leave(nodeId)
    this.boot(nodeId)
  }

  /** Calls services as a service on this node does; the calls are answered as time passes, see {@link settled}. */
  proxy(nodeId: NodeId): ServiceProxy {
    const { services } = this.#node(nodeId)
    if (!services) throw new Error(`No services run on node ${nodeId}.`)
    return services.proxy
  }

  /** SIGKILL: connections are reset. */
  kill(nodeId: NodeId): void {
    this.#end(nodeId, 'killed')
  }

  /** The machine loses its power: nobody is told. */
  crash(nodeId: NodeId): void {
    this.#end(nodeId, 'silent')
  }

  /** An orderly stop: announces that it leaves, lets calls end, then ends. */
  async leave(nodeId: NodeId): Promise<void> {
    const { gossip, services } = this.#node(nodeId)
    if (!gossip) return
    const stop = async (): Promise<void> => {
      await gossip.leave()
      await services?.stop()
      await gossip.stop()
    }
    await this.settled(stop(), STOP_MS_MAX)
    for (const channel of this.network.nodeOf(nodeId).peers.list()) channel.close('the node is stopping')
    this.kill(nodeId)
  }

  /** SIGSTOP. */
  stop(nodeId: NodeId): void {
    this.network.stop(nodeId)
    this.#disturb(nodeId)
  }

  /** SIGCONT; ends {@link starve} as well. */
  resume(nodeId: NodeId): void {
    this.#disturb(nodeId)
    this.#node(nodeId).isStarved = false
    this.network.resume(nodeId)
  }

  /** Too little CPU: from now on the process runs for `runMs` and hangs for `hangMs`, in turns. */
  starve(nodeId: NodeId, { runMs, hangMs }: { runMs: number; hangMs: number }): void {
    const node = this.#node(nodeId)
    const { host } = this.network.nodeOf(nodeId)
    const { life } = host
    const inTurns = (isHanging: boolean): void => {
      if (!node.isStarved || host.life !== life) return
      this.#disturb(nodeId)
      if (isHanging) host.stop()
      else host.resume()
      this.clock.after(isHanging ? hangMs : runMs, () => inTurns(!isHanging))
    }
    node.isStarved = true
    inTurns(true)
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

  /** From now on nobody can dial the node; its own dials work. */
  hide(nodeId: NodeId): void {
    this.network.hide(nodeId)
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

  /**
   * Lets time pass until the promise is settled, and gives what it gives.
   * @throws {AssertionError} with the seed, when it is not in time or an invariant broke
   */
  async settled<Settling extends Promise<unknown>>(
    promise: Settling,
    withinMs = SETTLED_MS_MAX,
  ): Promise<Awaited<Settling>> {
    let isSettled = false
    const settle = (): void => {
      isSettled = true
    }
    promise.then(settle, settle)
    await this.runUntil('a promise settled', () => isSettled, withinMs)
    return await promise
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
    const { running } = this
    const gossips = running.map((nodeId) => this.gossip(nodeId))
    const [first] = gossips
    if (!first) return true
    const hash = first.viewHash()
    if (gossips.some((gossip) => gossip.viewHash() !== hash || gossip.stats().suspects > 0)) return false
    const alive = first.members().flatMap(({ record, status }) => (status === 'alive' ? [record.nodeId] : []))
    return alive.toSorted().join() === running.toSorted().join()
  }

  /** Who holds what, for messages of failed tests: a line for each different view. */
  describe(): string {
    const observers = new Map<string, NodeId[]>()
    for (const observer of this.running) {
      const members = this.gossip(observer).members()
      const others = members.filter(({ record, status }) => status !== 'alive' || !this.#isNewest(record))
      const alive = members.length - others.length
      const text = others.map((m) => `${m.record.nodeId}=${m.status}@${m.incarnation}/${m.record.recordVersion}`)
      const view = [`${alive} alive`, ...text].join(' ')
      observers.set(view, [...(observers.get(view) ?? []), observer])
    }
    return [...observers].map(([view, nodeIds]) => `${listed(nodeIds)}: ${view}`).join('\n')
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
    const isRunning = this.network.nodeOf(target).host.state === 'running'
    if (!isRunning || calmMs < RECOVERY_MS || this.network.isCutOff(target)) return
    const observers = this.running.filter((observer) => observer !== target)
    const accusers = observers.filter((observer) => this.statusOf(observer, target) === 'dead')
    if (accusers.length * 2 > observers.length) {
      this.#broken.push(`${target} runs and is reachable, but ${accusers.join(', ')} hold it for dead`)
    }
  }

  #isNewest({ nodeId, recordVersion }: NodeRecord): boolean {
    return this.#node(nodeId).gossip?.self().record.recordVersion === recordVersion
  }

  #end(nodeId: NodeId, state: 'killed' | 'silent'): void {
    const node = this.#node(nodeId)
    this.network.kill(nodeId, state)
    node.gossip = undefined
    node.services = undefined
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

/** The first few, and how many there are. */
function listed(nodeIds: readonly NodeId[]): string {
  const shown = nodeIds.slice(0, NAMES_SHOWN).join(' ')
  return nodeIds.length > NAMES_SHOWN ? `${shown} … (${nodeIds.length})` : shown
}

function exampleRecords(count: number) {
  return Array.from({ length: count }, (_, i) => ({
    name: `service_${i}`,
    version: '1.2.3',
    description: 'Watches a folder and reports what changed in it.',
    health: 'healthy' as const,
    methods: ['list', 'report', 'watch', 'unwatch'],
  }))
}
