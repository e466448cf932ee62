import { z } from 'zod'
import { isServiceName } from '../jsonrpc/index.ts'
import { ROLLOUT_NODE_STATES, ROLLOUT_STATES } from '../../base/deployment.ts'
import { WIRE } from './wire.ts'

/*
 * Desired state on the wire. `config` and the labels are the user's own; everything else has bounds.
 */

/** A schema with what OpenAPI says of it. */
function told<S extends z.ZodType>(schema: S, description: string): S {
  WIRE.add(schema, { description })
  return schema
}

export const SERVICE_NAME = told(
  z.string().refine(isServiceName, 'must be 1 to 63 letters, digits, "_" or "-", beginning with a letter'),
  'Name of a service',
)

export const DIGEST = told(
  z.string().regex(/^[0-9a-f]{64}$/, 'must be the SHA-256 of the bundle, 64 lower-case hex digits'),
  'SHA-256 of the bundle, lower-case hex',
)

const COUNT_MAX = 10_000
export const COUNT = told(
  z.union([z.int().min(0).max(COUNT_MAX), z.literal('every')]),
  'Instances in all, or one on every node that fits',
)

const LABEL = z.string().min(1).max(255)
const LABELS = z
  .record(z.string().min(1).max(63), LABEL)
  .refine((labels) => Object.keys(labels).length <= 32, 'may have 32 labels at most')

const PLACEMENT = z.strictObject({
  labels: told(LABELS, 'Labels a node must have; every node has `role` and `node`'),
  spread_by: z.string().min(1).max(63).optional(),
  per_node_max: z.int().min(1).max(COUNT_MAX).optional(),
})

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const BATCH = z.int().min(1).max(COUNT_MAX)
const UPDATE = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('rolling'), batch: BATCH }),
  z.strictObject({
    kind: z.literal('canary'),
    nodes: BATCH,
    watch_ms: z.int().min(0).max(DAY_MS),
    batch: BATCH,
  }),
  z.strictObject({ kind: z.literal('all-at-once') }),
])

const RETRIES = z.int().min(0).max(100)
const JOB = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('once'), retries: RETRIES }),
  z.strictObject({
    kind: z.literal('cron'),
    schedule: told(z.string().min(1).max(256), 'Five or six fields'),
    time_zone: told(z.string().min(1).max(64), 'IANA name'),
    retries: RETRIES,
  }),
])

const PATHS = z.array(z.string().min(1).max(4_096)).max(64)
const GRANTED = z.strictObject({
  net: z.boolean(),
  child_process: z.boolean(),
  read: told(PATHS, 'Absolute paths'),
  write: told(PATHS, 'Absolute paths'),
})

const DEPENDENCIES = z.array(z.strictObject({ service: SERVICE_NAME, healthy: z.boolean() })).max(64)
const RESERVE = z.strictObject({
  memory_mb: z.number().min(0).max(16_777_216),
  cpus: z.number().min(0).max(4_096),
})
const SECRETS = z
  .record(z.string().min(1).max(128), z.string().min(1).max(128))
  .refine((names) => Object.keys(names).length <= 64, 'may name 64 secrets at most')

/** A sentence for the history, on one line. */
const REASON = z
  .string()
  .max(500)
  .refine((text) => !/\p{Cc}/u.test(text), 'must be one line')

/** Body of a deploy and of a plan. */
export const DEPLOY_REQUEST = z.strictObject({
  artifact: DIGEST.optional(),
  count: COUNT.optional(),
  placement: PLACEMENT.optional(),
  update: UPDATE.optional(),
  healthy_ms: told(z.int().min(0).max(HOUR_MS).optional(), 'A new version must be healthy this long before it counts'),
  deadline_ms: told(z.int().min(1_000).max(DAY_MS).optional(), 'A new version that is not healthy then has failed'),
  config: told(z.record(z.string(), z.unknown()).optional(), 'What `service.config` gives; no secrets'),
  secrets: told(SECRETS.optional(), "The service's name of a secret → the secret's name in the cluster"),
  granted: GRANTED.optional(),
  depends_on: DEPENDENCIES.optional(),
  reserve: RESERVE.optional(),
  job: told(JOB.nullable().optional(), 'null: a service that stays, and a job no more'),
  force: told(z.boolean().optional(), 'Although a caller would break, or the version goes backwards'),
  reason: REASON.optional(),
})

const MOMENT_MS = told(z.number(), 'Unix milliseconds')

const DEPLOYMENT = z
  .object({
    service: z.string(),
    generation: z.int(),
    artifact: z.string(),
    version: z.string(),
    count: z.union([z.int(), z.literal('every')]),
    placement: z.object({
      labels: z.record(z.string(), z.string()),
      spread_by: z.string().optional(),
      per_node_max: z.int().optional(),
    }),
    update: UPDATE,
    healthy_ms: z.number(),
    deadline_ms: z.number(),
    config: z.record(z.string(), z.unknown()),
    secrets: z.record(z.string(), z.string()),
    granted: GRANTED,
    depends_on: z.array(z.object({ service: z.string(), healthy: z.boolean() })),
    reserve: z.object({ memory_mb: z.number(), cpus: z.number() }),
    job: JOB.optional(),
    is_stopped: z.boolean(),
    by: told(z.string(), 'Who made this generation'),
    at_ms: MOMENT_MS,
    reason: z.string(),
  })
  .register(WIRE, { id: 'Deployment' })

export const ROLLOUT = z
  .object({
    service: z.string(),
    generation: z.int(),
    from_version: z.string().optional(),
    to_version: z.string(),
    state: z.enum(ROLLOUT_STATES),
    reason: z.string().optional(),
    done: told(z.int(), 'Instances of the new generation that are healthy'),
    wanted: z.int(),
    nodes: z.array(
      z.object({ node_id: z.string(), state: z.enum(ROLLOUT_NODE_STATES), reason: z.string().optional() }),
    ),
    started_at_ms: MOMENT_MS,
    ended_at_ms: MOMENT_MS.optional(),
  })
  .register(WIRE, { id: 'Rollout' })

export const DEPLOYMENT_STATUS = z
  .object({
    deployment: DEPLOYMENT,
    healthy: z.int(),
    running: z.int(),
    wanted: z.int(),
    instances: z.array(
      z.object({
        node_id: z.string(),
        id: z.string(),
        version: z.string(),
        generation: z.int(),
        state: z.string(),
        health: z.string(),
        restarts: z.int(),
        reason: z.string().optional(),
        ports: told(
          z.record(z.string(), z.int()).optional(),
          'Where an `exec` program listens, by the names of `ports` in its manifest',
        ),
      }),
    ),
    rollout: ROLLOUT.optional(),
    problems: told(z.array(z.string()), 'Why fewer run than wanted'),
    job: z
      .object({
        next_run_ms: MOMENT_MS.optional(),
        runs: z.array(
          z.object({
            at_ms: MOMENT_MS,
            node_id: z.string(),
            state: z.enum(['running', 'succeeded', 'failed']),
            exit: z.string().optional(),
          }),
        ),
      })
      .optional(),
  })
  .register(WIRE, { id: 'DeploymentStatus' })

export const DEPLOY_PLAN = z
  .object({
    service: z.string(),
    from_version: z.string().optional(),
    to_version: z.string(),
    changes: z.array(z.object({ path: z.string(), from: z.string().optional(), to: z.string().optional() })),
    nodes: z.array(z.object({ node_id: z.string(), from: z.int(), to: z.int(), replaces: z.boolean() })),
    incompatible: z.array(z.object({ method: z.string(), what: z.string(), callers: z.array(z.string()) })),
    refusals: told(z.array(z.object({ code: z.string(), message: z.string() })), 'Empty: it would be done'),
    warnings: z.array(z.string()),
  })
  .register(WIRE, { id: 'DeployPlan' })

export const HISTORY_ENTRY = z
  .object({
    deployment: DEPLOYMENT,
    state: z.enum(ROLLOUT_STATES),
    reason: z.string().optional(),
    ended_at_ms: MOMENT_MS.optional(),
  })
  .register(WIRE, { id: 'DeploymentHistoryEntry' })
