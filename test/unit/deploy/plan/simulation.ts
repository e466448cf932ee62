import type { Assignment, AssignmentReport, NodeReport } from '../../../../src/deploy/model.ts'
import type { Deployment } from '../../../../src/base/deployment.ts'
import {
  assignmentsOf,
  changeTo,
  type PlanNode,
  type Presence,
  reconcile,
  type ServicePlan,
} from '../../../../src/deploy/plan/index.ts'
import { SimulatedRandom } from '../../../../src/testing/simulated-random.ts'
import { node } from './fixture.ts'

/** How processes of one generation behave. */
export type Nature = 'good' | 'crashes' | 'crashes-later' | 'fails-check' | 'fails-later' | 'hangs' | 'sick-on-one-node'

const START_MS = 2_000
const LATER_MS = 4_000
const BACKOFF_MS = 2_000
const SUSPECT_MS = 1_000
const DEAD_MS = 4_000

interface Instance {
  id: string
  process: number
  ageMs: number
  restarts: number
  backoffMs: number
}

/** A node that keeps its plan and converges on it alone; it stops the old processes before it starts the new ones. */
class ModelNode {
  readonly nodeId: string
  readonly sim: Simulation
  isAlive = true
  goneForMs = 0
  isDraining = false
  /** Its disk: survives a crash. */
  #plan: readonly Assignment[] = []
  readonly running = new Map<string, Instance[]>()

  constructor(nodeId: string, sim: Simulation) {
    this.nodeId = nodeId
    this.sim = sim
  }

  take(plan: readonly Assignment[]): void {
    this.#plan = plan
  }

  crash(): void {
    this.isAlive = false
    this.goneForMs = 0
    this.running.clear()
  }

  tick(ms: number): void {
    if (!this.isAlive) {
      this.goneForMs += ms
      return
    }
    for (const service of this.running.keys()) {
      if (!this.#plan.some((assignment) => assignment.service === service)) this.running.delete(service)
    }
    for (const { service, instances, deployment } of this.#plan) this.#converge(service, instances, deployment, ms)
  }

  #converge(service: string, wanted: number, { processGeneration }: Deployment, ms: number): void {
    const kept = (this.running.get(service) ?? [])
      .filter(({ process }) => process === processGeneration)
      .slice(0, wanted)
    for (const instance of kept) this.#age(instance, ms)
    while (kept.length < wanted) {
      kept.push({
        id: `${service}#${this.sim.next++}`,
        process: processGeneration,
        ageMs: 0,
        restarts: 0,
        backoffMs: 0,
      })
    }
    this.running.set(service, kept)
  }

  #age(instance: Instance, ms: number): void {
    if (instance.backoffMs > 0) {
      instance.backoffMs = Math.max(0, instance.backoffMs - ms)
      if (instance.backoffMs === 0) {
        instance.restarts++
        instance.ageMs = 0
      }
      return
    }
    instance.ageMs += ms
    const nature = this.natureOf(instance)
    const endsAfterMs =
      nature === 'crashes' ? START_MS / 2 : nature === 'crashes-later' ? START_MS + LATER_MS : Infinity
    if (instance.ageMs >= endsAfterMs) instance.backoffMs = BACKOFF_MS
  }

  natureOf({ process }: Instance): Nature {
    const nature = this.sim.natures.get(process) ?? 'good'
    return nature === 'sick-on-one-node' ? (this.nodeId === 'n2' ? 'crashes' : 'good') : nature
  }

  isHealthy(instance: Instance): boolean {
    const nature = this.natureOf(instance)
    if (instance.backoffMs > 0 || instance.ageMs < START_MS || nature === 'hangs' || nature === 'fails-check')
      return false
    return nature !== 'fails-later' || instance.ageMs < START_MS + LATER_MS
  }

  report(): NodeReport {
    return {
      nodeId: this.nodeId,
      revision: 1,
      assignments: this.#plan.map((assignment) => this.#assignmentReport(assignment)),
    }
  }

  #assignmentReport({ service, generation }: Assignment): AssignmentReport {
    return {
      service,
      generation,
      hasArtifact: true,
      instances: (this.running.get(service) ?? []).map((instance) => ({
        id: instance.id,
        generation: instance.process,
        state:
          instance.backoffMs > 0
            ? 'backoff'
            : instance.ageMs < START_MS || this.natureOf(instance) === 'hangs'
              ? 'starting'
              : 'running',
        health: this.isHealthy(instance) || instance.ageMs < START_MS ? 'healthy' : 'failing',
        restarts: instance.restarts,
      })),
    }
  }
}

/** A coordinator that may be killed at any moment, model nodes, and a seeded source of chance. */
export class Simulation {
  readonly nodes: ModelNode[]
  readonly natures = new Map<number, Nature>()
  next = 1
  wallMs = 1_700_000_000_000
  isCoordinatorUp = true
  /** What the coordinator has on its disk, and in memory. */
  #stored = '[]'
  plans: ServicePlan[] = []
  #reports = new Map<string, NodeReport>()
  #elapsedMs: number | undefined
  readonly #random: SimulatedRandom
  /** Given plans that have not arrived yet. */
  readonly #post = new Map<string, Assignment[]>()

  constructor(seed: number, nodeCount: number) {
    this.#random = new SimulatedRandom(seed)
    this.nodes = Array.from({ length: nodeCount }, (_, i) => new ModelNode(`n${i + 1}`, this))
  }

  chance(): number {
    return this.#random.float()
  }

  pick<T>(list: readonly T[]): T {
    return list[Math.floor(this.chance() * list.length)] as T
  }

  plan(service: string): ServicePlan | undefined {
    return this.plans.find((each) => each.service === service)
  }

  deploy(next: Deployment): void {
    const changed = changeTo(this.plan(next.service), next, this.wallMs)
    this.plans = [...this.plans.filter(({ service }) => service !== next.service), changed]
    this.#stored = JSON.stringify(this.plans)
    this.pass(0)
  }

  killCoordinator(): void {
    this.isCoordinatorUp = false
    this.#post.clear()
  }

  startCoordinator(): void {
    this.isCoordinatorUp = true
    this.plans = JSON.parse(this.#stored) as ServicePlan[]
    this.#reports = new Map()
    this.#elapsedMs = undefined
  }

  tick(ms: number): void {
    this.wallMs += ms
    for (const each of this.nodes) {
      const given = this.#post.get(each.nodeId)
      if (given && each.isAlive && this.chance() < 0.8) {
        each.take(given)
        this.#post.delete(each.nodeId)
      }
      each.tick(ms)
    }
    if (!this.isCoordinatorUp) return
    for (const each of this.nodes) {
      if (!each.isAlive) this.#reports.delete(each.nodeId)
      else if (this.chance() < 0.9) this.#reports.set(each.nodeId, each.report())
    }
    this.pass(this.#elapsedMs === undefined ? 0 : ms)
    this.#elapsedMs = ms
  }

  pass(elapsedMs: number): void {
    const { plans, changed } = reconcile({
      elapsedMs,
      wallMs: this.wallMs,
      plans: this.plans,
      nodes: this.planNodes(),
      reports: this.#reports,
      services: this.#services(),
    })
    this.plans = plans
    // What is not stored may be lost at any moment; what is stored comes before the nodes are told.
    if (changed.size > 0) this.#stored = JSON.stringify(plans)
    for (const { nodeId } of this.nodes) this.#post.set(nodeId, assignmentsOf(plans, nodeId))
  }

  planNodes(): PlanNode[] {
    return this.nodes.map(({ nodeId, isAlive, goneForMs, isDraining }) => {
      const status = isAlive || goneForMs < SUSPECT_MS ? 'alive' : goneForMs < DEAD_MS ? 'suspect' : 'dead'
      return node(nodeId, { status, statusForMs: status === 'dead' ? goneForMs - DEAD_MS : 0, isDraining })
    })
  }

  /** Healthy instances on nodes that live. */
  healthy(service: string): number {
    return this.nodes.reduce((sum, each) => {
      return sum + (each.running.get(service) ?? []).filter((instance) => each.isHealthy(instance)).length
    }, 0)
  }

  #services(): Map<string, Presence> {
    return new Map(
      this.plans.map(({ service }) => {
        const running = this.nodes.reduce((sum, each) => sum + (each.running.get(service)?.length ?? 0), 0)
        return [service, { running, healthy: this.healthy(service) }]
      }),
    )
  }
}
