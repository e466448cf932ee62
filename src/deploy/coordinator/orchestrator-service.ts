import { z } from 'zod'
import { RpcError } from '../../base/errors.ts'
import { type NodeId, principalLabel } from '../../base/identity.ts'
import { defineService, method, type MethodCall, type ServiceDefinition, toWire } from '../../service/index.ts'
import { requirePerson, requireService } from '../internal-caller.ts'
import type { NodeReport } from '../model.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import { NODE_REPORT } from './node-report-wire.ts'
import type { WantedSecret } from './secrets-for-node.ts'

export interface OrchestratorServiceNeeds {
  orchestrator: Orchestrator
  load: () => Promise<void>
  takeReport: (report: NodeReport, startedAtMs: number) => Promise<void>
  secretsFor: (nodeId: NodeId, wanted: readonly WantedSecret[]) => (WantedSecret & { value: string })[]
}

/** What it is called is checked where it is deployed; elsewhere only a known name is found. */
const SERVICE_NAME = z.string().min(1).max(63)
const NAMED = z.strictObject({ service_name: SERVICE_NAME })
const COUNT = z.union([z.int().min(0).max(10_000), z.literal('every')])
const SECRETS_ASKED_MAX = 256

/** The built-in service `orchestrator` of coordinators: what people do with deployments, and what nodes say of theirs. */
export function createOrchestratorService(
  { orchestrator, load, takeReport, secretsFor }: OrchestratorServiceNeeds,
  { softwareVersion }: { softwareVersion: string },
): ServiceDefinition {
  // The desired state is changed by people who ask this node itself.
  const person = (call: MethodCall, name: string): string => requirePerson(call, `orchestrator/${name}`, () => false)

  const change = (name: string, description: string, run: (service: string, by: string) => Promise<unknown>) =>
    method({
      description,
      public: true,
      requiredRole: 'operator',
      params: NAMED,
      async handler({ service_name: service }, call) {
        const rollout = await run(service, person(call, name))
        return { success: true, service_name: service, ...(rollout ? { rollout: toWire(rollout) } : {}) }
      },
    })

  return defineService({
    name: 'orchestrator',
    version: softwareVersion,
    description: 'What should run where in the cluster',
    initialize: () => load(),
    methods: {
      list_services: method({
        description: 'Lists what is deployed, with how many instances run',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({}),
        handler() {
          const services = orchestrator.list()
          const running = services.filter((service) => service.running > 0).length
          return { total_installed: services.length, total_running: running, services: services.map(toWire) }
        },
      }),
      get_service_details: method({
        description: 'Tells everything of one deployment: instances, rollout, problems',
        public: true,
        requiredRole: 'viewer',
        params: NAMED,
        handler: ({ service_name: service }) => toWire(orchestrator.get(service)),
      }),
      get_orchestrator_status: method({
        description: 'Tells how many services and instances are wanted and run, and what is on its way',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({}),
        handler() {
          const services = orchestrator.list()
          const sum = (pick: (service: (typeof services)[number]) => number): number =>
            services.reduce((total, service) => total + pick(service), 0)
          return {
            services: services.length,
            instances: { wanted: sum((s) => s.wanted), running: sum((s) => s.running), healthy: sum((s) => s.healthy) },
            active_updates: services.filter(({ rollout }) => rollout?.state === 'running').length,
            problems: services.flatMap(({ problems, deployment }) =>
              problems.map((text) => `${deployment.service}: ${text}`),
            ),
          }
        },
      }),
      install_service: method({
        description: 'Deploys a bundle that was uploaded; what is left out stays as it was',
        public: true,
        requiredRole: 'operator',
        params: z.strictObject({
          service_name: SERVICE_NAME,
          artifact: z.string().regex(/^[0-9a-f]{64}$/),
          count: COUNT.optional(),
          force_reinstall: z.boolean().default(false),
          reason: z.string().max(500).optional(),
        }),
        async handler({ service_name: service, artifact, count, force_reinstall: force, reason }, call) {
          const request = { service, artifact, force, ...(count !== undefined && { count }), ...(reason && { reason }) }
          return { success: true, rollout: toWire(await orchestrator.deploy(request, person(call, 'install_service'))) }
        },
      }),
      scale_service: method({
        description: 'Changes how many instances run',
        public: true,
        requiredRole: 'operator',
        params: z.strictObject({ service_name: SERVICE_NAME, count: COUNT }),
        async handler({ service_name: service, count }, call) {
          const rollout = await orchestrator.scale(service, count, person(call, 'scale_service'))
          return { success: true, rollout: toWire(rollout) }
        },
      }),
      uninstall_service: change('uninstall_service', 'Removes a deployment and its history', (service, by) =>
        orchestrator.remove(service, by),
      ),
      start_service: change('start_service', 'Starts a deployment that was stopped', (service, by) =>
        orchestrator.start(service, by),
      ),
      stop_service: change('stop_service', 'Stops a deployment on all nodes', (service, by) =>
        orchestrator.stop(service, by),
      ),
      restart_service: change('restart_service', 'Restarts a deployment, one instance after the other', (service, by) =>
        orchestrator.restart(service, by),
      ),
      report: method({
        description: 'Takes what a node says of its services; for nodes',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({ report: NODE_REPORT, started_at_ms: z.number() }),
        async handler({ report, started_at_ms: startedAtMs }, { caller }) {
          requireService(caller, 'orchestrator/report', 'deploy_agent')
          if (caller.nodeId !== report.nodeId) {
            const message = `${principalLabel(caller)} may not report for node ${report.nodeId}: a node speaks for itself only`
            throw new RpcError('P2P_RPC_ACCESS_DENIED', message, { method: 'orchestrator/report' })
          }
          await takeReport(report, startedAtMs)
          return {}
        },
      }),
      read_secrets: method({
        description: 'Gives a node the secrets of the services in its plan; for nodes',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({
          secrets: z
            .array(z.strictObject({ name: z.string().max(128), version: z.int().min(0) }))
            .max(SECRETS_ASKED_MAX),
        }),
        handler({ secrets }, { caller }) {
          requireService(caller, 'orchestrator/read_secrets', 'deploy_agent')
          return { secrets: secretsFor(caller.nodeId, secrets) }
        },
      }),
    },
  })
}
