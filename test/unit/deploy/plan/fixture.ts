import type { NodeReport } from '../../../../src/deploy/model.ts'
import type { Deployment } from '../../../../src/base/deployment.ts'
import { changeTo, type PlanNode, reconcile, type ServicePlan } from '../../../../src/deploy/plan/index.ts'

/** A deployment with nothing special about it. */
export function deployment(fields: Partial<Deployment> = {}): Deployment {
  const generation = fields.generation ?? 1
  return {
    service: 'shop',
    generation,
    processGeneration: generation,
    artifact: 'a'.repeat(64),
    version: `1.${generation}.0`,
    count: 1,
    placement: { labels: {} },
    update: { kind: 'rolling', batch: 1 },
    healthyMs: 5_000,
    deadlineMs: 30_000,
    config: {},
    secrets: {},
    granted: { net: false, childProcess: false, read: [], write: [] },
    dependsOn: [],
    reserve: { memoryMb: 0, cpus: 0 },
    isStopped: false,
    by: 'person:ada',
    atMs: 0,
    reason: 'test',
    ...fields,
  }
}

export const GIB = 1_073_741_824

export function node(nodeId: string, fields: Partial<PlanNode> = {}): PlanNode {
  return {
    nodeId,
    role: 'worker',
    labels: {},
    capacity: { cpus: 4, memoryBytes: 8 * GIB },
    status: 'alive',
    statusForMs: 0,
    isDraining: false,
    ...fields,
  }
}

export function nodes(count: number, fields: Partial<PlanNode> = {}): PlanNode[] {
  return Array.from({ length: count }, (_, i) => node(`n${i + 1}`, fields))
}

/** What a model node does with one service. */
export type Behaviour = 'healthy' | 'crash' | 'failing' | 'slow' | 'no-artifact' | 'refused' | 'stopped-here'

/** Nodes that do at once what their plan says, and a coordinator round the planner; the time is the test's. */
export class Cluster {
  readonly nodes: Map<string, PlanNode>
  /** By `node/processGeneration`, `*` for every node; healthy where nothing is said. */
  readonly behaviour = new Map<string, Behaviour>()
  plan: ServicePlan
  wallMs = 1_700_000_000_000
  changed = 0
  problems: string[] = []
  nextMs: number | undefined
  readonly services = new Map<string, { running: number; healthy: number }>()

  constructor(list: readonly PlanNode[], first: Deployment) {
    this.nodes = new Map(list.map((each) => [each.nodeId, each]))
    this.plan = changeTo(undefined, first, this.wallMs)
    this.pass(0)
  }

  change(next: Deployment): void {
    this.plan = changeTo(this.plan, next, this.wallMs)
    this.pass(0)
  }

  set(nodeId: string, fields: Partial<PlanNode>): void {
    this.nodes.set(nodeId, { ...(this.nodes.get(nodeId) as PlanNode), ...fields })
  }

  /** One pass; what it says goes through JSON, as when it is stored. */
  pass(elapsedMs: number): void {
    this.wallMs += elapsedMs
    for (const each of this.nodes.values()) {
      this.nodes.set(each.nodeId, { ...each, statusForMs: each.statusForMs + elapsedMs })
    }
    const { plans, changed, placements, nextMs } = reconcile({
      elapsedMs,
      wallMs: this.wallMs,
      plans: [this.plan],
      nodes: [...this.nodes.values()],
      reports: this.reports(),
      services: this.services,
    })
    this.plan = JSON.parse(JSON.stringify(plans[0])) as ServicePlan
    this.changed += changed.size
    this.problems = placements.get(this.plan.service)?.problems ?? []
    this.nextMs = nextMs
  }

  /** Seconds pass, a pass in each. */
  run(seconds: number): this {
    for (let i = 0; i < seconds; i++) this.pass(1_000)
    return this
  }

  /** `n1:2 n3:1`: generations in the nodes' plans. */
  get generations(): string {
    return this.plan.nodes.map(({ nodeId, generation }) => `${nodeId}:${generation}`).join(' ')
  }

  /** `n1 n2`: who has how many. */
  get counts(): string {
    return this.plan.nodes.map(({ nodeId, instances }) => `${nodeId}:${instances}`).join(' ')
  }

  get states(): string {
    return this.plan.rollout.nodes.map(({ nodeId, state }) => `${nodeId}:${state}`).join(' ')
  }

  reports(): Map<string, NodeReport> {
    return new Map(
      [...this.nodes.values()]
        .filter(({ status }) => status === 'alive' || status === 'suspect')
        .map(({ nodeId }) => [nodeId, this.#report(nodeId)]),
    )
  }

  #report(nodeId: string): NodeReport {
    const planned = this.plan.nodes.find((each) => each.nodeId === nodeId)
    const { service, deployments } = this.plan
    const of = deployments.find(({ generation }) => generation === planned?.generation)
    if (!planned || !of) return { nodeId, revision: 1, assignments: [] }
    const process = of.processGeneration
    const how = this.behaviour.get(`${nodeId}/${process}`) ?? this.behaviour.get(`*/${process}`) ?? 'healthy'
    const isStarted = how !== 'no-artifact' && how !== 'refused' && how !== 'stopped-here'
    return {
      nodeId,
      revision: 1,
      assignments: [
        {
          service,
          generation: of.generation,
          hasArtifact: how !== 'no-artifact',
          instances: Array.from({ length: isStarted ? planned.instances : 0 }, (_, i) => ({
            id: `${service}#${i}`,
            generation: process,
            state: how === 'slow' ? 'starting' : how === 'crash' ? 'backoff' : 'running',
            health: how === 'failing' ? 'failing' : 'healthy',
            restarts: how === 'crash' ? 1 : 0,
            ...(how === 'crash' && { reason: 'exit code 1 (main.ts:3)' }),
            ...(how === 'failing' && { reason: 'the disk is full' }),
          })),
          ...(how === 'refused' && { failure: 'it asks for the network, which was not granted' }),
          ...(how === 'stopped-here' && { isStoppedHere: true }),
        },
      ],
    }
  }
}
