import type { NodeId } from '../../base/identity.ts'
import type { AssignmentReport, NodeReport } from '../model.ts'
import type { RolloutStatus, ServiceStatus } from '../../base/deployment.ts'
import { deploymentOf, isKeptStopped, type ServicePlan } from '../plan/index.ts'

export interface StatusInput {
  plan: ServicePlan
  /** Of nodes that are there. */
  reports: ReadonlyMap<NodeId, NodeReport>
  wanted: number
  /** Why fewer can be placed. */
  problems: readonly string[]
}

/** What people are shown of a service: what is wanted, what the nodes say, and why that is not the same. */
export function serviceStatus({ plan, reports, wanted, problems }: StatusInput): ServiceStatus {
  const told = [...reports].flatMap(([nodeId, { assignments }]) =>
    assignments.filter(({ service }) => service === plan.service).map((report) => ({ nodeId, report })),
  )
  const instances = told.flatMap(({ nodeId, report }) =>
    report.instances.map(({ id, generation = 0, state, health, restarts, reason, ports }) => ({
      nodeId,
      id,
      version: versionOf(plan, generation),
      generation,
      state,
      health,
      restarts,
      ...(reason !== undefined && { reason }),
      ...(ports && { ports }),
    })),
  )
  const running = instances.filter(({ state }) => state === 'running')
  const job = jobStatus(plan)
  return {
    deployment: deploymentOf(plan),
    healthy: running.filter(({ health }) => health === 'healthy').length,
    running: running.length,
    wanted,
    instances,
    rollout: rolloutStatus(plan),
    problems: [...keptStopped(plan), ...problems, ...told.flatMap(({ nodeId, report }) => problemsOf(nodeId, report))],
    ...(job && { job }),
  }
}

export function rolloutStatus({ service, rollout }: ServicePlan): RolloutStatus {
  const { to, fromVersion, toVersion, state, reason, done, wanted, nodes, startedAtMs, endedAtMs } = rollout
  return {
    service,
    generation: to,
    fromVersion,
    toVersion,
    state,
    reason,
    done,
    wanted,
    nodes: nodes.map(({ nodeId, state: progress, reason: why }) => ({
      nodeId,
      state: progress,
      ...(why !== undefined && { reason: why }),
    })),
    startedAtMs,
    endedAtMs,
  }
}

/** A first version that failed has nothing to go back to. */
function keptStopped({ service, rollout }: ServicePlan): string[] {
  if (!isKeptStopped(rollout)) return []
  const { toVersion, reason = 'it failed' } = rollout
  return [`${toVersion} is kept stopped: ${reason}. Deploy a mended one; p2p start ${service} tries this one again`]
}

function problemsOf(nodeId: NodeId, report: AssignmentReport): string[] {
  const { service, failure, waitsFor, isStoppedHere } = report
  const failing = report.instances.filter(({ state, health }) => state === 'failed' || health === 'failing')
  return [
    ...(failure === undefined ? [] : [`${nodeId}: ${failure}`]),
    ...(waitsFor === undefined ? [] : [`${nodeId}: waits for service ${waitsFor}: deploy or start it`]),
    ...(isStoppedHere ? [`${nodeId}: a person stopped it there: p2p start ${service} --node ${nodeId}`] : []),
    ...failing.map(({ id, state, reason }) => `${nodeId}: ${id} is ${state}${reason ? `: ${reason}` : ''}`),
  ]
}

function versionOf({ deployments }: ServicePlan, processGeneration: number): string {
  return deployments.find((deployment) => deployment.processGeneration === processGeneration)?.version ?? 'unknown'
}

function jobStatus({ job }: ServicePlan): ServiceStatus['job'] {
  if (!job) return undefined
  const underWay = (job.run?.slots ?? []).filter(({ state }) => state === 'running')
  return {
    nextRunMs: job.nextRunMs,
    runs: [
      ...underWay.map(({ nodeId, startedAtMs }) => ({ atMs: startedAtMs, nodeId, state: 'running' as const })),
      ...job.ended.map(({ atMs, nodeId, state, exit }) => ({
        atMs,
        nodeId,
        state,
        ...(exit !== undefined && { exit }),
      })),
    ],
  }
}
