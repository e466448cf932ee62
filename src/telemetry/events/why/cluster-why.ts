import type { LogLine, LogReader } from '../../../base/log-line.ts'
import type { Membership } from '../../../base/member.ts'
import type { Clock } from '../../../base/time.ts'
import type { Timeline, TimelineEvent } from '../../../base/timeline.ts'
import type { DashboardSource, NodeService, WhyAnswer, WhyTeller } from '../../../service/index.ts'
import type { ServiceWhyFacts } from './why-facts.ts'
import { whyNode } from './why-node.ts'
import { whyService } from './why-service.ts'

/** What is asked of a coordinator's orchestrator; it fits by its structure. */
export interface WhyDeployments {
  list(): readonly {
    deployment: { service: string; version: string; by: string; isStopped: boolean }
    wanted: number
    rollout: { state: string; reason?: string; nodes: readonly { nodeId: string; reason?: string }[] } | undefined
    problems: readonly string[]
    instances: readonly { nodeId: string; state: string; reason?: string }[]
  }[]
}

export interface ClusterWhyNeeds {
  clock: Clock
  membership: Membership
  metrics: Pick<DashboardSource, 'services' | 'attention' | 'metrics'>
  deployments: WhyDeployments
  timeline: Timeline
  logs: Pick<LogReader, 'query'>
}

const EVENTS_MAX = 100
const LINES_MAX = 20
const NODES_MAX = 8
const SINCE_MS = 7 * 86_400_000
const ILL = new Set(['backoff', 'failed'])

/** Gathers what a coordinator knows, and answers from it. */
export function createClusterWhy(needs: ClusterWhyNeeds): WhyTeller {
  return {
    why: (kind, name) => (kind === 'service' ? serviceAnswer(needs, name) : nodeAnswer(needs, name)),
  }
}

async function serviceAnswer(needs: ClusterWhyNeeds, name: string): Promise<WhyAnswer | undefined> {
  const { clock, membership, metrics, deployments, timeline, logs } = needs
  const figures = metrics.services().find((service) => service.name === name)
  const deployed = deployments.list().find(({ deployment }) => deployment.service === name)
  const ownEvents = await eventsOf(timeline, clock.wallMs(), { service: name })
  if (!figures && !deployed && ownEvents.length === 0) return undefined
  const told = ownEvents.flatMap(({ nodeId }) => (nodeId === undefined ? [] : [nodeId]))
  const nodeIds = [
    ...new Set([...(figures?.nodes ?? []), ...(deployed?.instances.map(({ nodeId }) => nodeId) ?? []), ...told]),
  ]
  const nodes = nodeIds.slice(0, NODES_MAX).flatMap((nodeId) => {
    const member = membership.get(nodeId)
    return member ? [{ nodeId, status: member.status }] : []
  })
  const deaths = await Promise.all(
    nodes.map(({ nodeId }) => eventsOf(timeline, clock.wallMs(), { nodeId, kinds: ['member'] })),
  )
  const events = [...ownEvents, ...deaths.flat()].sort(newestFirst)
  // A service's lines bear its name as logger; what its node says of it names it.
  const [own, named] = await Promise.all([
    logs.query({ logger: name, level: 'WARNING' }, { limit: LINES_MAX }),
    logs.query({ logger: 'Services', search: name, level: 'WARNING' }, { limit: LINES_MAX }),
  ])
  const facts: ServiceWhyFacts = {
    nowMs: clock.wallMs(),
    name,
    wanted: deployed?.wanted ?? figures?.wanted ?? 0,
    running: figures?.running ?? 0,
    healthy: figures?.healthy ?? 0,
    versions: figures?.versions ?? [],
    nodes,
    failing: [...failingOf(metrics, name), ...illInstances(deployed?.instances ?? [])],
    events,
    attention: metrics.attention().filter(({ service }) => service === name),
    lines: [...own.lines, ...named.lines].sort((a, b) => b.cursor - a.cursor).filter(isFirst),
    ...(deployed && {
      deployment: {
        ...deployed.deployment,
        problems: deployed.problems,
        change: deployed.rollout?.state === 'running' ? { waitsBecause: waitsBecause(deployed.rollout) } : undefined,
      },
    }),
  }
  return whyService(facts)
}

/** What the whole of it, or one node, waits for. */
function waitsBecause({
  reason,
  nodes,
}: NonNullable<ReturnType<WhyDeployments['list']>[number]['rollout']>): string | undefined {
  const node = nodes.find((each) => each.reason !== undefined)
  return reason ?? (node && `${node.nodeId}: ${node.reason}`)
}

async function nodeAnswer(needs: ClusterWhyNeeds, nodeId: string): Promise<WhyAnswer | undefined> {
  const { clock, membership, metrics, timeline, logs } = needs
  const member = membership.get(nodeId)
  if (!member) return undefined
  const [events, { lines }] = await Promise.all([
    eventsOf(timeline, clock.wallMs(), { nodeId }),
    logs.query({ nodeId, level: 'WARNING' }, { limit: LINES_MAX }),
  ])
  const { coordinator, workers } = metrics.metrics()
  const services = nodeId === coordinator.node_id ? coordinator.services : workers[nodeId]?.services
  const isIll = (service: NodeService): boolean => service.status === 'error' || service.healthy < service.running
  return whyNode({
    nowMs: clock.wallMs(),
    name: nodeId,
    role: member.record.role,
    status: member.status,
    sinceMs: member.sinceMs,
    startedAtMs: member.record.startedAtMs,
    failing: Object.entries(services ?? {})
      .filter(([, service]) => isIll(service))
      .map(([service, { reason }]) => ({ service, reason })),
    events,
    attention: metrics.attention().filter(({ node_id: about }) => about === nodeId),
    lines,
  })
}

async function eventsOf(
  timeline: Timeline,
  nowMs: number,
  filter: Parameters<Timeline['query']>[0],
): Promise<TimelineEvent[]> {
  const page = await timeline.query({ ...filter, sinceMs: nowMs - SINCE_MS }, { limit: EVENTS_MAX })
  // What an alert or a count of lines says, its cause says itself.
  return page.events.filter(({ kind }) => kind !== 'alert')
}

/** What the nodes that report say of it. */
function failingOf(metrics: Pick<DashboardSource, 'metrics'>, name: string): ServiceWhyFacts['failing'] {
  const { coordinator, workers } = metrics.metrics()
  const all = [
    [coordinator.node_id, coordinator.services] as const,
    ...Object.entries(workers).map(([id, { services }]) => [id, services] as const),
  ]
  return all.flatMap(([nodeId, services]) => {
    const service = services[name]
    if (!service || (service.status !== 'error' && service.healthy >= service.running)) return []
    return [{ nodeId, reason: service.reason }]
  })
}

function illInstances(
  instances: readonly { nodeId: string; state: string; reason?: string }[],
): { nodeId: string; reason: string | undefined }[] {
  return instances.filter(({ state }) => ILL.has(state)).map(({ nodeId, reason }) => ({ nodeId, reason }))
}

function newestFirst(a: TimelineEvent, b: TimelineEvent): number {
  return b.timeMs - a.timeMs || b.id - a.id
}

function isFirst({ cursor }: LogLine, index: number, lines: readonly LogLine[]): boolean {
  return lines.findIndex((line) => line.cursor === cursor) === index
}
