import { get } from '../api/http.ts'
import type { Attention, ClusterFacts, ClusterNode, DeploymentStatus, LogLine, ServiceSummary } from '../api/types.ts'
import type { ClusterData } from './cluster-view.ts'

interface Status {
  node_id: string
  cluster: string
  version: string
  role: string
}

/**
 * What the HTTP routes know of the cluster, for a page whose WebSocket is refused: everything but metrics.
 * @throws {ApiError} the node does not answer, or no longer knows us
 */
export async function askCluster(signal: AbortSignal): Promise<ClusterData> {
  const [{ nodes }, status, deployments] = await Promise.all([
    get<{ nodes: ClusterNode[] }>('/cluster/nodes', signal),
    get<Status>('/api/status', signal),
    askDeployments(signal),
  ])
  const services = summariesOf(nodes, deployments)
  const cluster: ClusterFacts = { name: status.cluster, node_id: status.node_id, version: status.version }
  return { cluster, nodes, services, attention: attentionOf(nodes, services, deployments) }
}

/** A page of log lines, newest first; older ones come with `cursor=next_cursor`. */
export interface LogPage {
  logs: LogLine[]
  next_cursor?: number | null
}

/** @throws {ApiError} */
export function askLogs(query: URLSearchParams, signal?: AbortSignal): Promise<LogPage> {
  return get<LogPage>(`/api/logs?${query}`, signal)
}

/** A worker keeps none: there, nothing is deployed as far as the page can tell. */
async function askDeployments(signal: AbortSignal): Promise<DeploymentStatus[]> {
  try {
    return (await get<{ deployments: DeploymentStatus[] }>('/api/deployments', signal)).deployments
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'P2P_HTTP_COORDINATOR_ONLY') return []
    throw error
  }
}

/** Services by name: deployed ones as the coordinator counts them, others by the nodes that say they run them. */
export function summariesOf(nodes: ClusterNode[], deployments: DeploymentStatus[]): ServiceSummary[] {
  const byName = new Map<string, ServiceSummary>()
  for (const node of nodes) {
    for (const [name, { version, status }] of Object.entries(node.services)) {
      const summary = byName.get(name) ?? { name, wanted: 0, running: 0, healthy: 0, versions: [], nodes: [] }
      const isUp = node.status === 'alive'
      summary.wanted += isUp ? 1 : 0
      summary.running += isUp ? 1 : 0
      summary.healthy += isUp && status === 'healthy' ? 1 : 0
      if (!summary.versions.includes(version)) summary.versions.push(version)
      summary.nodes.push(node.node_id)
      byName.set(name, summary)
    }
  }
  for (const { deployment, wanted, running, healthy, instances } of deployments) {
    const nodesOf = [...new Set(instances.map((instance) => instance.node_id))]
    const versions = [...new Set(instances.map((instance) => instance.version))]
    byName.set(deployment.service, {
      name: deployment.service,
      wanted,
      running,
      healthy,
      versions: versions.length > 0 ? versions : [deployment.version],
      nodes: nodesOf,
    })
  }
  return [...byName.values()]
}

/** What needs a person, worst first, as far as these facts tell. */
export function attentionOf(
  nodes: ClusterNode[],
  services: ServiceSummary[],
  deployments: DeploymentStatus[],
): Attention[] {
  const found: Attention[] = []
  for (const node of nodes) {
    if (node.status === 'dead' || node.status === 'suspected') {
      found.push({
        severity: node.status === 'dead' ? 'error' : 'warning',
        title: node.status === 'dead' ? `${node.node_id} is down` : `${node.node_id} answers late`,
        detail: 'Other nodes cannot reach it.',
        node_id: node.node_id,
        ...(node.last_seen !== undefined && { since: node.last_seen }),
      })
    }
  }
  for (const { name, wanted, healthy } of services) {
    if (healthy >= wanted) continue
    const problem = deployments.find(({ deployment }) => deployment.service === name)?.problems[0]
    found.push({
      severity: healthy === 0 ? 'error' : 'warning',
      title: `${name}: ${healthy} of ${wanted} healthy`,
      service: name,
      ...(problem !== undefined && { detail: problem }),
    })
  }
  return found.sort((a, b) => Number(b.severity === 'error') - Number(a.severity === 'error'))
}
