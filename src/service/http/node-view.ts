import type { Member, MemberStatus, Membership } from '../../base/member.ts'
import type { DrainState, Orchestrator } from '../../base/orchestrator.ts'
import { parseHostPort } from '../../transport/index.ts'
import type { ServiceDescription } from '../definition/descriptor.ts'
import type { InstanceFacts, ServiceState } from '../definition/service-spec.ts'

/** Names of SWIM's states on the HTTP surface, where the Python program says `suspected`. */
export const STATUS_NAMES = {
  alive: 'alive',
  suspect: 'suspected',
  dead: 'dead',
  left: 'left',
} as const satisfies Record<MemberStatus, string>

/** How many members are in each state. */
export function memberCounts(membership: Membership) {
  const counts = { alive: 0, suspected: 0, dead: 0, left: 0 }
  for (const { status } of membership.members()) counts[STATUS_NAMES[status]]++
  return counts
}

/** A member with the field names of the Python program. @param drain as a coordinator knows it */
export function clusterNode({ record, status, sinceMs }: Member, wallMs: number, drain?: DrainState) {
  const places = record.addresses.map(parseHostPort).filter((place) => place !== undefined)
  return {
    node_id: record.nodeId,
    address: places[0]?.host ?? '',
    port: places[0]?.port ?? 0,
    role: record.role,
    status: STATUS_NAMES[status],
    ...(drain && { drain }),
    services: Object.fromEntries(
      record.services.map(({ name, version, health, description, methods }) => [
        name,
        { version, status: health, description, methods },
      ]),
    ),
    addresses: [...new Set(places.map((place) => place.host))],
    last_seen: isoTime(status === 'alive' ? wallMs : sinceMs),
    metadata: {
      started_at: isoTime(record.startedAtMs),
      version: record.softwareVersion,
      cpus: record.capacity.cpus,
      memory_bytes: record.capacity.memoryBytes,
      labels: record.labels,
    },
    capabilities: record.services.filter(({ health }) => health === 'healthy').map(({ name }) => name),
  }
}

/** All members as this node sees them, and how many of them are present. */
export function clusterNodes(
  { membership, deployments }: { membership: Membership; deployments?: Pick<Orchestrator, 'drains'> },
  wallMs: number,
) {
  const drains = deployments?.drains()
  const nodes = membership.members().map((member) => clusterNode(member, wallMs, drains?.get(member.record.nodeId)))
  const present = nodes.filter(({ status }) => status === 'alive' || status === 'suspected')
  const coordinators = present.filter(({ role }) => role === 'coordinator').length
  return { nodes, cluster_size: present.length, coordinators, workers: present.length - coordinators }
}

/** A service with the field names of the Python program. Only public methods appear: nobody outside the node can call the others. */
export function serviceView(service: ServiceDescription, state: ServiceState | undefined) {
  const methods = service.methods.filter((method) => method.isPublic)
  return {
    status: service.status,
    health: service.health ?? null,
    info: {
      name: service.name,
      version: service.version,
      description: service.description,
      exposed_methods: methods.map((method) => method.name),
      metadata: {
        builtin: service.isBuiltin,
        started_at: service.startedAtMs === undefined ? null : isoTime(service.startedAtMs),
        failure: service.failure ?? service.healthReason ?? null,
      },
    },
    methods: methods.map((method) => `${method.service}/${method.name}`),
    ...(state && { runtime: runtimeView(state) }),
  }
}

function runtimeView({ kind, origin, isStopped, wanted, instances }: ServiceState) {
  return { kind, origin, is_stopped: isStopped, wanted, instances: instances.map(instanceView) }
}

/** Undefined values are left out of the answer. */
function instanceView(instance: InstanceFacts) {
  return {
    id: instance.id,
    state: instance.state,
    health: instance.health,
    version: instance.version,
    generation: instance.generation,
    pid: instance.pid,
    restarts: instance.restarts,
    reason: instance.reason,
    started_at: instance.startedAtMs === undefined ? undefined : isoTime(instance.startedAtMs),
    memory_bytes: instance.memoryBytes,
    cpu_percent: instance.cpuPercent,
    ports: instance.ports,
  }
}

/** {@link serviceView} with everything needed to call the methods. */
export function serviceDetails(service: ServiceDescription, state: ServiceState | undefined) {
  return {
    ...serviceView(service, state),
    method_details: service.methods
      .filter((method) => method.isPublic)
      .map((method) => ({
        name: method.name,
        description: method.description,
        params: method.params ?? null,
        result: method.result ?? null,
        ...(method.isStream === true && { stream: true, item: method.item ?? null }),
        required_role: method.requiredRole,
        timeout_ms: method.timeoutMs,
        cache_ttl_ms: method.cacheTtlMs,
      })),
  }
}

/** Unix milliseconds as ISO 8601 in UTC. */
export function isoTime(unixMs: number): string {
  return new Date(unixMs).toISOString()
}
