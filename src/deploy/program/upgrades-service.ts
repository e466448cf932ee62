import { z } from 'zod'
import { RpcError } from '../../base/errors.ts'
import { type NodeId, principalLabel } from '../../base/identity.ts'
import { defineService, method, type ServiceDefinition, toWire } from '../../service/index.ts'
import { requirePerson, requireService } from '../internal-caller.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { RolloutStatus } from '../../base/deployment.ts'
import { PROGRAM_SERVICE, type UpgradePlan, type UpgradeRequest } from './prepare-upgrade.ts'
import type { ProgramReport } from './upgrade.ts'

/** The built-in service of coordinators that brings new versions of the program to all nodes. */
export const UPGRADES_SERVICE = 'upgrades'

export interface UpgradesServiceNeeds {
  load(): Promise<void>
  plan(request: UpgradeRequest): UpgradePlan
  begin(request: UpgradeRequest & { digest: ArtifactDigest }, by: string): Promise<RolloutStatus>
  status(): RolloutStatus | undefined
  follow(signal: AbortSignal): AsyncIterable<RolloutStatus>
  take(report: ProgramReport): Promise<void>
}

/** An upgrade in which nothing changes for so long has ended by its own bounds. */
const FOLLOW_IDLE_MS_MAX = 15 * 60 * 1_000

const NODES_MAX = 10_000
const NODE_ID = z.string().min(1).max(63)
const REQUEST = {
  version: z.string().max(64),
  nodes: z.array(NODE_ID).min(1).max(NODES_MAX).optional(),
  batch: z.int().min(1).max(NODES_MAX).default(1),
  force: z.boolean().default(false),
}

export function createUpgradesService(
  needs: UpgradesServiceNeeds,
  { softwareVersion }: { softwareVersion: string },
): ServiceDefinition {
  return defineService({
    name: UPGRADES_SERVICE,
    version: softwareVersion,
    description: "The nodes' own program, and how a new version of it reaches them",
    initialize: () => needs.load(),
    methods: {
      plan: method({
        description: 'Tells who would be upgraded in which order, and what speaks against it; changes nothing',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject(REQUEST),
        handler: (request) => toWire(needs.plan(request)),
      }),
      begin: method({
        description: 'Brings a version of the program that was uploaded to the nodes, one after the other',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({ ...REQUEST, digest: z.string().regex(/^[0-9a-f]{64}$/) }),
        async handler(request, call) {
          const by = requirePerson(call, `${UPGRADES_SERVICE}/begin`, () => false)
          return toWire(await needs.begin(request, by))
        },
      }),
      get_upgrade: method({
        description: 'Tells how far the latest upgrade is, or how it ended; null before the first',
        public: true,
        requiredRole: 'viewer',
        params: z.strictObject({}),
        handler() {
          const status = needs.status()
          return status ? toWire(status) : null
        },
      }),
      follow: method({
        description: 'Tells how far the latest upgrade is, at every change until it has ended',
        public: true,
        requiredRole: 'viewer',
        stream: true,
        timeoutMs: FOLLOW_IDLE_MS_MAX,
        params: z.strictObject({}),
        async *handler(_params, { signal }) {
          for await (const status of needs.follow(signal)) yield toWire(status)
        },
      }),
      report: method({
        description: 'Takes what a node says of its program; for nodes',
        public: true,
        requiredRole: 'admin',
        params: z.strictObject({
          node_id: NODE_ID,
          version: z.string().max(64),
          upgrade: z
            .strictObject({
              key: z.string().max(64),
              state: z.enum(['waiting', 'fetching', 'starting', 'watching', 'done', 'failed', 'returned']),
              reason: z.string().max(1_000).optional(),
            })
            .optional(),
        }),
        async handler({ node_id: nodeId, version, upgrade }, { caller }) {
          requireService(caller, `${UPGRADES_SERVICE}/report`, PROGRAM_SERVICE)
          requireItself(caller.nodeId, nodeId, principalLabel(caller))
          await needs.take({ nodeId, version, upgrade: upgrade as ProgramReport['upgrade'] })
          return {}
        },
      }),
    },
  })
}

function requireItself(callerId: NodeId, nodeId: NodeId, label: string): void {
  if (callerId === nodeId) return
  const message = `${label} may not report for node ${nodeId}: a node speaks for itself only`
  throw new RpcError('P2P_RPC_ACCESS_DENIED', message, { method: `${UPGRADES_SERVICE}/report` })
}
