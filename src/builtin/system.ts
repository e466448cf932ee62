import { z } from 'zod'
import { RpcError } from '../base/errors.ts'
import type { Clock } from '../base/time.ts'
import { defineService, method, type ServiceDefinition, type ServiceDirectory } from '../service/index.ts'
import { gossipStatsMethod, type GossipStatsNeeds } from './gossip-stats.ts'
import type { HostFacts } from './host-facts.ts'

export interface SystemServiceNeeds extends GossipStatsNeeds {
  clock: Clock
  host: HostFacts
  services: ServiceDirectory
  /** The configuration as it may be shown: secrets already replaced. */
  shownConfig: () => Record<string, unknown>
  /** Begins to renew the node's certificate now. */
  renewCertificate: () => void
}

export interface SystemServiceOptions {
  nodeId: string
  role: string
  softwareVersion: string
  /** The file system whose space is told: that of the node's state. */
  statePath: string
}

const NOTHING = z.strictObject({})

const DISK = z.object({
  percent: z.number().describe('Share in use, 0 to 100'),
  free: z.number().describe('Bytes'),
  used: z.number().describe('Bytes'),
  total: z.number().describe('Bytes'),
})

const SYSTEM_INFO = z.object({
  node_id: z.string(),
  role: z.string(),
  version: z.string().describe('Of the P2P Core program'),
  hostname: z.string(),
  platform: z.string(),
  architecture: z.string(),
  cpu_count: z.number(),
  memory_total: z.number().describe('Bytes'),
  boot_time: z.number().describe('Unix seconds'),
  disk_usage: DISK,
  network_interfaces: z.array(
    z.object({
      name: z.string(),
      address: z.string(),
      family: z.enum(['IPv4', 'IPv6']),
      prefix_length: z.number(),
      is_loopback: z.boolean(),
      is_tunnel: z.boolean(),
    }),
  ),
  timestamp: z.string().describe('ISO 8601, UTC'),
})

const SYSTEM_METRICS = z.object({
  cpu_percent: z.number().describe('Share of all processors, 0 to 100, since the previous question'),
  cpu_count: z.number(),
  memory: z.object({
    percent: z.number().describe('Share in use, 0 to 100'),
    available: z.number().describe('Bytes'),
    used: z.number().describe('Bytes'),
    total: z.number().describe('Bytes'),
  }),
  memory_usage_mb: z.number().describe('Of the P2P Core process, MiB'),
  disk: DISK,
  load_average: z.array(z.number()).describe('Over 1, 5 and 15 minutes'),
  uptime_seconds: z.number().describe('Of the machine'),
  timestamp: z.number().describe('Unix seconds'),
})

const SERVICE_LIST = z.object({
  services: z.array(
    z.object({
      name: z.string(),
      version: z.string(),
      description: z.string(),
      status: z.string(),
      health: z.string().optional(),
      failure: z.string().optional(),
      builtin: z.boolean(),
      methods: z.array(z.string()),
    }),
  ),
  total: z.number(),
})

const SCHEMA = z.record(z.string(), z.unknown()).nullable().describe('JSON Schema')

const SERVICE_METHODS = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  method_details: z
    .array(
      z.object({
        name: z.string(),
        description: z.string(),
        params: SCHEMA,
        result: SCHEMA,
        required_role: z.enum(['viewer', 'operator', 'admin']),
      }),
    )
    .describe('Those that people may call'),
})

/**
 * The built-in service `system`: facts about this machine and node. It runs no commands; all it can be made to do is to renew the node's certificate early.
 */
export function createSystemService(needs: SystemServiceNeeds, options: SystemServiceOptions): ServiceDefinition {
  const { clock, host, services, shownConfig, renewCertificate } = needs
  return defineService({
    name: 'system',
    version: options.softwareVersion,
    description: 'Facts about this machine and this node',
    methods: {
      get_system_info: method({
        description: 'Tells what kind of machine this is: system, processors, memory, disk, network addresses',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: SYSTEM_INFO,
        async handler() {
          return {
            node_id: options.nodeId,
            role: options.role,
            version: options.softwareVersion,
            hostname: host.hostname,
            platform: host.platform,
            architecture: host.arch,
            cpu_count: host.cpuCount,
            memory_total: host.memory().totalBytes,
            boot_time: Math.round(clock.wallMs() / 1_000 - host.uptimeSeconds()),
            disk_usage: await diskUsage(host, options.statePath),
            network_interfaces: host.networkInterfaces().map((fact) => ({
              name: fact.name,
              address: fact.address,
              family: fact.family,
              prefix_length: fact.prefixLength,
              is_loopback: fact.internal,
              is_tunnel: fact.isTunnel,
            })),
            timestamp: new Date(clock.wallMs()).toISOString(),
          }
        },
      }),
      get_system_metrics: method({
        description: 'Measures this machine: processor, memory and disk use, load',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: SYSTEM_METRICS,
        async handler() {
          const { totalBytes, availableBytes } = host.memory()
          return {
            cpu_percent: rounded(host.cpuPercent()),
            cpu_count: host.cpuCount,
            memory: {
              percent: percent(totalBytes - availableBytes, totalBytes),
              available: availableBytes,
              used: totalBytes - availableBytes,
              total: totalBytes,
            },
            memory_usage_mb: rounded(host.processMemoryBytes() / 1_048_576),
            disk: await diskUsage(host, options.statePath),
            load_average: host.loadAverage(),
            uptime_seconds: host.uptimeSeconds(),
            timestamp: clock.wallMs() / 1_000,
          }
        },
      }),
      list_services: method({
        description: 'Lists the services of this node with their state and methods',
        public: true,
        requiredRole: 'viewer',
        params: NOTHING,
        result: SERVICE_LIST,
        handler() {
          const found = services
            .list()
            .map(({ name, version, description, status, health, failure, isBuiltin, methods }) => ({
              name,
              version,
              description,
              status,
              ...(health !== undefined && { health }),
              ...(failure !== undefined && { failure }),
              builtin: isBuiltin,
              methods: methods.map((known) => known.name),
            }))
          return { services: found, total: found.length }
        },
      }),
      describe_service: method({
        description: 'Tells what the methods of a service of this node take and give',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({ name: z.string().max(128) }),
        result: SERVICE_METHODS,
        handler: ({ name }) => describeService(services, name, options.nodeId),
      }),
      renew_certificate: method({
        description: 'Has this node get a new certificate with a new key now, before it is due',
        public: true,
        requiredRole: 'admin',
        params: NOTHING,
        result: z.object({ node_id: z.string() }),
        handler() {
          renewCertificate()
          return { node_id: options.nodeId }
        },
      }),
      get_gossip_stats: gossipStatsMethod(needs),
      get_config: method({
        description: 'Shows the configuration in force on this node; secrets are left out',
        public: true,
        requiredRole: 'operator',
        params: NOTHING,
        result: z.object({ node_id: z.string(), config: z.record(z.string(), z.unknown()) }),
        handler: () => ({ node_id: options.nodeId, config: shownConfig() }),
      }),
    },
  })
}

function describeService(services: ServiceDirectory, name: string, nodeId: string): z.infer<typeof SERVICE_METHODS> {
  const service = services.get(name)
  if (!service) throw new RpcError('P2P_SERVICE_NOT_FOUND', `${nodeId} has no service ${name}`, { service: name })
  const { version, description, methods } = service
  return {
    name,
    version,
    description,
    method_details: methods
      .filter((known) => known.isPublic)
      .map((known) => ({
        name: known.name,
        description: known.description,
        params: known.params ?? null,
        result: known.result ?? null,
        required_role: known.requiredRole,
      })),
  }
}

async function diskUsage(host: HostFacts, path: string): Promise<z.infer<typeof DISK>> {
  const { totalBytes, freeBytes } = await host.disk(path)
  const used = totalBytes - freeBytes
  return { percent: percent(used, totalBytes), free: freeBytes, used, total: totalBytes }
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : rounded((100 * part) / whole)
}

/** Two digits after the point. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
