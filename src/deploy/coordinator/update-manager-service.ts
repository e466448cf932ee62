import { z } from 'zod'
import { defineService, method, type MethodCall, type ServiceDefinition, toWire } from '../../service/index.ts'
import { requirePerson } from '../internal-caller.ts'
import type { DeployRequest } from '../../base/deployment.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'

const SERVICE_NAME = z.string().min(1).max(63)
const NAMED = z.strictObject({ service_name: SERVICE_NAME })
/** One node first, watched for this long. */
const CANARY_WATCH_MS = 60_000

/** The built-in service `update_manager` of coordinators: updates by the names they had in the Python program. */
export function createUpdateManagerService(
  { orchestrator }: { orchestrator: Orchestrator },
  { softwareVersion }: { softwareVersion: string },
): ServiceDefinition {
  const person = (call: MethodCall, name: string): string => requirePerson(call, `update_manager/${name}`, () => false)
  return defineService({
    name: 'update_manager',
    version: softwareVersion,
    description: 'New versions of services on their way through the cluster',
    methods: {
      start_update: method({
        description: 'Brings a new version of a deployed service to its nodes',
        public: true,
        requiredRole: 'operator',
        params: z.strictObject({
          service_name: SERVICE_NAME,
          artifact: z.string().regex(/^[0-9a-f]{64}$/),
          strategy: z.enum(['rolling', 'canary', 'all_at_once']).optional(),
          force: z.boolean().default(false),
        }),
        async handler({ service_name: service, artifact, strategy, force }, call) {
          const update = strategy && { update: strategyOf(strategy) }
          const by = person(call, 'start_update')
          return {
            success: true,
            update: toWire(await orchestrator.deploy({ service, artifact, force, ...update }, by)),
          }
        },
      }),
      rollback: method({
        description: 'Goes back to an earlier version: the last one that ran well, or the generation given',
        public: true,
        requiredRole: 'operator',
        params: z.strictObject({ service_name: SERVICE_NAME, generation: z.int().min(1).optional() }),
        async handler({ service_name: service, generation }, call) {
          const by = person(call, 'rollback')
          return { success: true, update: toWire(await orchestrator.rollback(service, by, generation)) }
        },
      }),
      get_update_status: method({
        description: 'Tells how far the last update of a service is, node by node',
        public: true,
        requiredRole: 'viewer',
        params: NAMED,
        handler: ({ service_name: service }) => ({ update: toWire(orchestrator.get(service).rollout ?? null) }),
      }),
      list_active_updates: method({
        description: 'Lists the updates that are on their way',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({}),
        handler() {
          const active = orchestrator.list().flatMap(({ rollout }) => (rollout?.state === 'running' ? [rollout] : []))
          return { updates: active.map(toWire), total: active.length }
        },
      }),
      get_update_history: method({
        description: 'Lists what was deployed of a service, the newest first, and how it ended',
        public: true,
        requiredRole: 'viewer',
        params: NAMED,
        async handler({ service_name: service }) {
          return { history: (await orchestrator.history(service)).map(toWire) }
        },
      }),
    },
  })
}

function strategyOf(strategy: 'rolling' | 'canary' | 'all_at_once'): NonNullable<DeployRequest['update']> {
  switch (strategy) {
    case 'rolling':
      return { kind: 'rolling', batch: 1 }
    case 'canary':
      return { kind: 'canary', nodes: 1, watchMs: CANARY_WATCH_MS, batch: 1 }
    case 'all_at_once':
      return { kind: 'all-at-once' }
  }
}
