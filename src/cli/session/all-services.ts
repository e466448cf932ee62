import { codeOf, P2PError } from '../../base/errors.ts'
import type { Session } from './connect.ts'
import { deploymentPath, type DeploymentStatusView } from './deployments.ts'
import type { ClusterNode, ClusterNodes } from './wire.ts'

/** One service as the whole cluster runs it. */
export interface ServiceSummary {
  service: string
  status: string
  /** Healthy instances, and how many there should be. */
  healthy: number
  wanted: number
  /** More than one in the moments of an update. */
  versions: string[]
  nodes: string[]
  /** Undefined for what lies in a folder of a node: only its own node counts them. */
  restarts?: number
  description: string
  /** Why fewer run than wanted. */
  problems: string[]
}

/** The services that run in the cluster or should, by name. */
export async function allServices(session: Session): Promise<ServiceSummary[]> {
  const [{ nodes }, deployments] = await Promise.all([
    session.call<ClusterNodes>({ method: 'GET', path: '/cluster/nodes' }),
    allDeployments(session),
  ])
  const present = nodes.filter((node) => node.status === 'alive' || node.status === 'suspected')
  const deployed = new Map(deployments.map((status) => [status.deployment.service, status]))
  const names = new Set([...present.flatMap((node) => Object.keys(node.services)), ...deployed.keys()])
  return [...names].toSorted((a, b) => a.localeCompare(b)).map((name) => summary(name, present, deployed.get(name)))
}

/** Only a coordinator has them; other nodes are asked for what they know. */
async function allDeployments(session: Session): Promise<DeploymentStatusView[]> {
  try {
    const path = '/api/deployments'
    return (await session.call<{ deployments: DeploymentStatusView[] }>({ method: 'GET', path })).deployments
  } catch (error) {
    if (isNotTold(error)) return []
    throw error
  }
}

/** The deployment of a service; undefined when it was not deployed, or the node asked is no coordinator. */
export async function findDeployment(session: Session, service: string): Promise<DeploymentStatusView | undefined> {
  try {
    return await session.call<DeploymentStatusView>({ method: 'GET', path: deploymentPath(service) })
  } catch (error) {
    if (codeOf(error) === 'P2P_DEPLOY_UNKNOWN_SERVICE' || isNotTold(error)) return undefined
    throw error
  }
}

/** By a worker, or by a node of an earlier version. */
function isNotTold(error: unknown): boolean {
  return error instanceof P2PError && ['P2P_HTTP_COORDINATOR_ONLY', 'P2P_HTTP_NOT_FOUND'].includes(error.code)
}

function summary(
  service: string,
  present: readonly ClusterNode[],
  deployed: DeploymentStatusView | undefined,
): ServiceSummary {
  const owners = present.filter((node) => Object.hasOwn(node.services, service))
  const records = owners.flatMap((node) => node.services[service] ?? [])
  const description = records[0]?.description ?? ''
  if (!deployed) {
    const healthy = records.filter((record) => record.status === 'healthy').length
    return {
      service,
      status: healthy > 0 && healthy < records.length ? 'degraded' : (records[0]?.status ?? 'unknown'),
      healthy,
      wanted: records.length,
      versions: distinct(records.map((record) => record.version)),
      nodes: owners.map((node) => node.node_id),
      description,
      problems: [],
    }
  }
  const { healthy, wanted, instances, problems, deployment } = deployed
  return {
    service,
    status: statusOf(deployed),
    healthy,
    wanted,
    versions: instances.length > 0 ? distinct(instances.map(({ version }) => version)) : [deployment.version],
    nodes: distinct(instances.map((instance) => instance.node_id)),
    restarts: instances.reduce((sum, instance) => sum + instance.restarts, 0),
    description,
    problems,
  }
}

function statusOf({ deployment, rollout, healthy, running, wanted, job }: DeploymentStatusView): string {
  if (deployment.is_stopped) return 'stopped'
  if (rollout?.state === 'running') return 'updating'
  if (job) return 'job'
  if (rollout?.state === 'failed' && running === 0) return 'failed'
  if (healthy >= wanted) return 'healthy'
  return healthy > 0 ? 'degraded' : 'failing'
}

function distinct(values: readonly string[]): string[] {
  return [...new Set(values)].toSorted()
}
