import { z } from 'zod'
import { SERVICE_KINDS } from '../definition/service-spec.ts'

/** What the OpenAPI document says of schemas besides their shape: `id` names a component, answers only. */
export const WIRE = z.registry<{ id?: string; description?: string }>()

/** A SHA-256, of a key or by one. */
export const HEX_256 = z.string().regex(/^[0-9a-f]{64}$/, '64 lower-case hex digits')

const PROBLEM = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    instance: z.string(),
    code: z.string().register(WIRE, { description: 'Stable; what a program tests.' }),
    trace_id: z
      .string()
      .register(WIRE, { description: 'Finds the request in the logs of every node it went through.' }),
    retryable: z.boolean(),
    issues: z.array(z.object({ path: z.string(), message: z.string() })).optional(),
    details: z.record(z.string(), z.unknown()).optional(),
  })
  .register(WIRE, { id: 'Problem', description: 'Problem details (RFC 9457)' })

/** The response schemas of a route, with what every route may answer besides. */
export function answers<T extends Record<number, unknown>>(
  expected: T,
): T & { default: { description: string; content: { 'application/problem+json': { schema: typeof PROBLEM } } } } {
  const problem = {
    description: 'Refused or failed',
    content: { 'application/problem+json': { schema: PROBLEM } },
  }
  return { ...expected, default: problem }
}

/** A response body that is not JSON. */
export function bodyOf<T extends string>(contentType: T, description: string) {
  return { description, content: { [contentType]: { schema: z.string() } } as Record<T, { schema: z.ZodString }> }
}

const SERVICE_COUNTS = z.object({ total: z.int(), healthy: z.int(), degraded: z.int() })

export const HEALTH = z
  .object({
    status: z.enum(['healthy', 'degraded']),
    node_id: z.string(),
    services: SERVICE_COUNTS,
    timestamp: z.iso.datetime(),
  })
  .register(WIRE, { id: 'Health' })

const CLUSTER_NODE = z
  .object({
    node_id: z.string(),
    address: z.string().register(WIRE, { description: 'The first of `addresses`' }),
    port: z.int(),
    role: z.enum(['coordinator', 'worker']),
    status: z.enum(['alive', 'suspected', 'dead', 'left']),
    drain: z.enum(['draining', 'drained']).optional().register(WIRE, {
      description:
        'Told by a coordinator of a node on which nothing is placed until it is undrained: deployed services still run there, or none does any more',
    }),
    services: z.record(
      z.string(),
      z.object({
        version: z.string(),
        status: z.enum(['starting', 'healthy', 'failing', 'stopping']),
        description: z.string(),
        methods: z.array(z.string()),
      }),
    ),
    addresses: z.array(z.string()),
    last_seen: z.iso
      .datetime()
      .register(WIRE, { description: 'Now for a node that is alive, else when it was last known to be' }),
    metadata: z.object({
      started_at: z.iso.datetime(),
      version: z.string(),
      cpus: z.int(),
      memory_bytes: z.number(),
      labels: z.record(z.string(), z.string()),
    }),
    capabilities: z.array(z.string()).register(WIRE, { description: 'Names of the services that answer there' }),
  })
  .register(WIRE, { id: 'ClusterNode' })

export const CLUSTER_NODES = z
  .object({
    nodes: z.array(CLUSTER_NODE),
    cluster_size: z.int().register(WIRE, { description: 'Nodes that are alive or suspected' }),
    coordinators: z.int(),
    workers: z.int(),
  })
  .register(WIRE, { id: 'ClusterNodes' })

const SERVICE_INFO = z.object({
  name: z.string(),
  version: z.string(),
  description: z.string(),
  exposed_methods: z.array(z.string()),
  metadata: z.object({
    builtin: z.boolean(),
    started_at: z.iso.datetime().nullable(),
    failure: z
      .string()
      .nullable()
      .register(WIRE, { description: 'Why the service does not run, or says it is failing' }),
  }),
})

/** What one copy of a service is doing. */
const INSTANCE = z
  .object({
    id: z.string().register(WIRE, { description: 'Unique on the node since its start' }),
    state: z.enum(['starting', 'running', 'stopping', 'backoff', 'failed', 'stopped']),
    health: z.enum(['healthy', 'failing']),
    version: z.string(),
    generation: z.int().optional().register(WIRE, { description: 'Of the deployment it belongs to' }),
    pid: z.int().optional(),
    restarts: z.int().register(WIRE, { description: 'Times it was started again after it ended by itself' }),
    reason: z.string().optional().register(WIRE, { description: 'Why it fails, waits or was given up' }),
    started_at: z.iso.datetime().optional(),
    memory_bytes: z.number().optional(),
    cpu_percent: z.number().optional().register(WIRE, { description: 'Of one core' }),
    ports: z
      .record(z.string(), z.int())
      .optional()
      .register(WIRE, { description: 'Where an `exec` program listens, by the names of `ports` in its manifest' }),
  })
  .register(WIRE, { id: 'ServiceInstance' })

const RUNTIME = z.object({
  kind: z.enum(SERVICE_KINDS),
  origin: z.enum(['builtin', 'folder', 'deployed']),
  is_stopped: z.boolean().register(WIRE, { description: 'By a person: stays so' }),
  wanted: z.int(),
  instances: z.array(INSTANCE),
})

export const SERVICE = z
  .object({
    status: z.enum(['initializing', 'running', 'stopping', 'stopped', 'error']),
    health: z.enum(['healthy', 'failing']).nullable(),
    info: SERVICE_INFO,
    methods: z.array(z.string()).register(WIRE, { description: '`service/method`, as they are called' }),
    runtime: RUNTIME.optional().register(WIRE, { description: 'How it runs on this node' }),
  })
  .register(WIRE, { id: 'Service' })

export const SERVICE_DETAILS = SERVICE.extend({
  method_details: z.array(
    z.object({
      name: z.string(),
      description: z.string(),
      params: z.record(z.string(), z.unknown()).nullable().register(WIRE, { description: 'JSON Schema' }),
      result: z.record(z.string(), z.unknown()).nullable().register(WIRE, { description: 'JSON Schema' }),
      stream: z.boolean().optional().register(WIRE, { description: 'It answers with a stream of items' }),
      item: z
        .record(z.string(), z.unknown())
        .nullable()
        .optional()
        .register(WIRE, { description: 'JSON Schema of each item of the stream' }),
      required_role: z.enum(['viewer', 'operator', 'admin']),
      timeout_ms: z.number(),
      cache_ttl_ms: z.number(),
    }),
  ),
}).register(WIRE, { id: 'ServiceDetails' })

export const STATUS = z
  .object({
    node_id: z.string(),
    role: z.enum(['coordinator', 'worker']),
    cluster: z.string(),
    version: z.string(),
    status: z.enum(['healthy', 'degraded']),
    started_at: z.iso.datetime(),
    uptime_s: z.number(),
    addresses: z.array(z.string()),
    services: SERVICE_COUNTS,
    members: z.object({ alive: z.int(), suspected: z.int(), dead: z.int(), left: z.int() }),
    certificate: z.object({ serial: z.string(), not_after: z.iso.datetime().optional() }),
    memory_rss_bytes: z.number().optional(),
    storage_bytes: z.number().optional(),
    timestamp: z.iso.datetime(),
  })
  .register(WIRE, { id: 'NodeStatus' })
