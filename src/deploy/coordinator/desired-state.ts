import { type Compare, type ControlStore, type Entry, jsonValue, type Operation } from '../../base/control-store.ts'
import { DeployError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import type { HistoryEntry } from '../../base/deployment.ts'
import type { ServicePlan } from '../plan/index.ts'

/** Which plan a node was given last. */
export interface GivenPlan {
  revision: number
  /** SHA-256 of what the plan says, without its revision; hex. */
  digest: string
}

/** Generations of one service that the history tells of. */
const HISTORY_MAX = 50

const SERVICES = 'deploy/service/'
const HISTORY = 'deploy/history/'
const REMOVED = 'deploy/removed/'
const DRAINED = 'deploy/drained/'
const NODES = 'deploy/node/'

/**
 * What the coordinator knows of deployments, in the control store and in memory. A change is made in memory once it is durable,
 * and only if nobody else has changed the same since it was read.
 */
export class DesiredState {
  readonly #store: ControlStore
  readonly #plans = new Map<string, ServicePlan>()
  readonly #removed = new Map<string, number>()
  readonly #drained = new Set<NodeId>()
  readonly #given = new Map<NodeId, GivenPlan>()
  /** Of every key that was read or written: the store's revision at that moment. */
  readonly #revisions = new Map<string, number>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    await this.#read(SERVICES, (name, plan) => this.#plans.set(name, plan as ServicePlan))
    await this.#read(REMOVED, (name, generation) => this.#removed.set(name, generation as number))
    await this.#read(DRAINED, (nodeId) => this.#drained.add(nodeId))
    await this.#read(NODES, (nodeId, given) => this.#given.set(nodeId, given as GivenPlan))
  }

  /** By name of the service. */
  plans(): ServicePlan[] {
    return [...this.#plans.values()].sort((a, b) => (a.service < b.service ? -1 : 1))
  }

  plan(service: string): ServicePlan | undefined {
    return this.#plans.get(service)
  }

  /** The highest generation a service of this name ever had, also before it was removed. */
  lastGeneration(service: string): number {
    const plan = this.#plans.get(service)
    if (!plan) return this.#removed.get(service) ?? 0
    return Math.max(plan.rollout.to, ...plan.deployments.map(({ generation }) => generation))
  }

  /** Keeps the plan together with what it means for the history. */
  async setPlan(plan: ServicePlan): Promise<void> {
    const { service } = plan
    const before = this.#plans.get(service)
    const entries = historyChanges(before, plan)
    const { to } = plan.rollout
    await this.#commit([
      { type: 'put', key: SERVICES + service, value: jsonValue(plan) },
      ...entries.map((entry): Operation => {
        return { type: 'put', key: historyKey(service, entry.deployment.generation), value: jsonValue(entry) }
      }),
      ...(before?.rollout.to !== to && to > HISTORY_MAX
        ? [{ type: 'delete' as const, key: historyKey(service, to - HISTORY_MAX) }]
        : []),
    ])
    this.#plans.set(service, plan)
  }

  /** Measured times only: lost with the process, and counted anew. */
  remember(plan: ServicePlan): void {
    this.#plans.set(plan.service, plan)
  }

  async removePlan(service: string): Promise<void> {
    const generation = this.lastGeneration(service)
    const history = await this.#store.range(`${HISTORY}${service}/`)
    await this.#commit([
      { type: 'delete', key: SERVICES + service },
      { type: 'put', key: REMOVED + service, value: jsonValue(generation) },
      ...history.map(({ key }): Operation => ({ type: 'delete', key })),
    ])
    this.#plans.delete(service)
    this.#removed.set(service, generation)
  }

  /** The newest first. */
  async history(service: string): Promise<HistoryEntry[]> {
    const entries = await this.#store.range(`${HISTORY}${service}/`)
    return entries.map((entry) => jsonOf(entry) as HistoryEntry).reverse()
  }

  drained(): ReadonlySet<NodeId> {
    return this.#drained
  }

  async setDrained(nodeId: NodeId, isDrained: boolean): Promise<void> {
    const key = DRAINED + nodeId
    await this.#commit([isDrained ? { type: 'put', key, value: jsonValue(true) } : { type: 'delete', key }])
    if (isDrained) this.#drained.add(nodeId)
    else this.#drained.delete(nodeId)
  }

  /** Nodes that were given a plan. */
  givenNodes(): NodeId[] {
    return [...this.#given.keys()]
  }

  given(nodeId: NodeId): GivenPlan | undefined {
    return this.#given.get(nodeId)
  }

  async setGiven(nodeId: NodeId, given: GivenPlan): Promise<void> {
    await this.#commit([{ type: 'put', key: NODES + nodeId, value: jsonValue(given) }])
    this.#given.set(nodeId, given)
  }

  async #read(prefix: string, each: (name: string, value: unknown) => void): Promise<void> {
    for (const entry of await this.#store.range(prefix)) {
      this.#revisions.set(entry.key, entry.revision)
      each(entry.key.slice(prefix.length), jsonOf(entry))
    }
  }

  async #commit(operations: Operation[]): Promise<void> {
    const compares = operations
      .filter(({ key }) => !key.startsWith(HISTORY))
      .map(({ key }): Compare => ({ key, revision: this.#revisions.get(key) ?? 0 }))
    const { succeeded, revision } = await this.#store.transact({ compares, operations })
    if (!succeeded) {
      const message = 'Another coordinator has changed the same: restart this one, and run one at a time'
      throw new DeployError('P2P_DEPLOY_BUSY', message)
    }
    for (const { type, key } of operations) {
      if (type === 'put') this.#revisions.set(key, revision)
      else this.#revisions.delete(key)
    }
  }
}

/** What a new plan says of the change that was on its way before it, and of its own. */
function historyChanges(before: ServicePlan | undefined, after: ServicePlan): HistoryEntry[] {
  const entries: HistoryEntry[] = []
  if (before && before.rollout.to !== after.rollout.to && before.rollout.state === 'running') {
    const { to, startedAtMs } = before.rollout
    const reason = `generation ${after.rollout.to} took its place`
    push(before, { to, state: 'superseded', reason, endedAtMs: after.rollout.startedAtMs ?? startedAtMs })
  }
  const isNew = before?.rollout.to !== after.rollout.to || before.rollout.state !== after.rollout.state
  if (isNew) push(after, after.rollout)
  return entries

  function push(
    { deployments }: ServicePlan,
    { to, state, reason, endedAtMs }: Pick<ServicePlan['rollout'], 'to' | 'state' | 'reason' | 'endedAtMs'>,
  ): void {
    const deployment = deployments.find(({ generation }) => generation === to)
    if (deployment) entries.push({ deployment, state, reason, endedAtMs })
  }
}

function historyKey(service: string, generation: number): string {
  return `${HISTORY}${service}/${String(generation).padStart(10, '0')}`
}

/** What is in the store was written by us: it is trusted to have its type. */
function jsonOf({ value }: Entry): unknown {
  return JSON.parse(new TextDecoder().decode(value))
}
