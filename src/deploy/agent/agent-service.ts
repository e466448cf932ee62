import { z } from 'zod'
import type { NodeId } from '../../base/identity.ts'
import { defineService, method, type ServiceDefinition } from '../../service/index.ts'
import { requirePerson, requireService } from '../internal-caller.ts'
import type { NodeReport } from '../model.ts'
import type { SignedPlan } from '../signed-plan.ts'
import { CONTROL_TIMEOUT_MS } from '../node-control.ts'
import type { ControlAction, RejectedPlans } from './deploy-agent.ts'

export interface AgentServiceNeeds {
  load(): Promise<void>
  take(signed: SignedPlan): Promise<{ revision: number }>
  control(service: string, action: ControlAction, by: string): Promise<void>
  report(): NodeReport
  rejected(): RejectedPlans
  isCoordinator(nodeId: NodeId): boolean
}

/** The built-in service `deploy_agent`: how a coordinator gives this node its plan, and people control one service of it. */
export function createAgentService(needs: AgentServiceNeeds, options: { softwareVersion: string }): ServiceDefinition {
  return defineService({
    name: 'deploy_agent',
    version: options.softwareVersion,
    description: 'Runs on this node what the cluster wants here',
    initialize: () => needs.load(),
    methods: {
      take_plan: method({
        description: 'Takes the plan of this node; for coordinators',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({ plan: z.string(), signature: z.string(), chain: z.string() }),
        result: z.object({ revision: z.number() }),
        handler(signed, { caller }) {
          requireService(caller, 'deploy_agent/take_plan', 'orchestrator', 'coordinator')
          return needs.take(signed)
        },
      }),
      get_agent_status: method({
        description: 'Tells which plan this node follows, how far it is, and which plans it refused',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({}),
        handler: () => ({ report: needs.report(), rejected_plans: needs.rejected() }),
      }),
      control_service: method({
        description: 'Starts, stops or restarts one service of this node; a stopped one stays so until it is started',
        public: true,
        requiredRole: 'operator',
        timeoutMs: CONTROL_TIMEOUT_MS,
        params: z.strictObject({
          service_name: z.string().min(1).max(63),
          action: z.enum(['start', 'stop', 'restart']),
        }),
        result: z.object({ success: z.literal(true), service_name: z.string(), action: z.string() }),
        async handler({ service_name: service, action }, call) {
          const by = requirePerson(call, 'deploy_agent/control_service', (nodeId) => needs.isCoordinator(nodeId))
          await needs.control(service, action, by)
          return { success: true as const, service_name: service, action }
        },
      }),
    },
  })
}
