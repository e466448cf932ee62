/*
 * What the planner needs for one placement of many services on many nodes: from nothing, and when all run already.
 *
 *   node --conditions=source bench/planner.ts [--nodes 200] [--services 200] [--rounds 7]
 */
import { parseArgs } from 'node:util'
import type { Deployment } from '../src/base/deployment.ts'
import { place, type PlanNode } from '../src/deploy/plan/index.ts'
import { systemClock } from '../src/platform/index.ts'

export interface PlannerBenchOptions {
  nodes: number
  services: number
  rounds: number
}

export interface PlannerBenchRow {
  name: string
  instances: number
  /** One figure a round. */
  fromNothingMs: number[]
  runningMs: number[]
}

const KINDS: [name: string, count: (nodes: number) => Deployment['count']][] = [
  ['3 of each', () => 3],
  ['a quarter of the nodes', (nodes) => Math.ceil(nodes / 4)],
  ['as many as nodes', (nodes) => nodes],
  ['every node', () => 'every'],
]

export function benchPlanner({ nodes, services, rounds }: PlannerBenchOptions): PlannerBenchRow[] {
  const list = Array.from({ length: nodes }, (_, i) => node(`n${i}`))
  return KINDS.map(([name, count]) => {
    const deployments = Array.from({ length: services }, (_, i) => deployment(`s${i}`, count(nodes)))
    const row: PlannerBenchRow = { name, instances: 0, fromNothingMs: [], runningMs: [] }
    for (let round = 0; round < rounds; round++) {
      const startedMs = systemClock.nowMs()
      const first = place({ deployments, nodes: list, placed: [] })
      const placedMs = systemClock.nowMs()
      const placed = first.services.flatMap(({ service, nodes: at }) =>
        [...at].map(([nodeId, instances]) => ({ service, nodeId, instances })),
      )
      row.instances = placed.reduce((sum, { instances }) => sum + instances, 0)
      const againMs = systemClock.nowMs()
      place({ deployments, nodes: list, placed })
      row.fromNothingMs.push(placedMs - startedMs)
      row.runningMs.push(systemClock.nowMs() - againMs)
    }
    return row
  })
}

function node(nodeId: string): PlanNode {
  const capacity = { cpus: 64, memoryBytes: 2 ** 38 }
  return { nodeId, role: 'worker', labels: {}, capacity, status: 'alive', statusForMs: 0, isDraining: false }
}

function deployment(service: string, count: Deployment['count']): Deployment {
  return {
    service,
    generation: 1,
    processGeneration: 1,
    artifact: '',
    version: '1.0.0',
    count,
    placement: { labels: { role: 'worker' } },
    update: { kind: 'rolling', batch: 1 },
    healthyMs: 0,
    deadlineMs: 0,
    config: {},
    secrets: {},
    granted: { net: false, childProcess: false, read: [], write: [] },
    dependsOn: [],
    reserve: { memoryMb: 16, cpus: 0.01 },
    isStopped: false,
    by: '',
    atMs: 0,
    reason: '',
  }
}

export function formatRow({ name, instances, fromNothingMs, runningMs }: PlannerBenchRow): string {
  return `${name}: ${instances} instances, from nothing ${medianOf(fromNothingMs)} ms, running ${medianOf(runningMs)} ms, n=${runningMs.length}`
}

function medianOf(figures: readonly number[]): string {
  const sorted = [...figures].sort((a, b) => a - b)
  return (sorted[Math.floor(sorted.length / 2)] as number).toFixed(1)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '200' },
      services: { type: 'string', default: '200' },
      rounds: { type: 'string', default: '7' },
    },
  })
  const { nodes, services, rounds } = values
  for (const row of benchPlanner({ nodes: Number(nodes), services: Number(services), rounds: Number(rounds) })) {
    console.log(formatRow(row))
  }
}
