import type { Component } from '../../base/component.ts'
import type { ControlStore } from '../../base/control-store.ts'
import type { NodeId, NodeIdentity } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock } from '../../base/time.ts'
import type { Caller, ServiceDefinition } from '../../service/index.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { Orchestrator } from '../../base/orchestrator.ts'
import { SecretStore } from '../secrets/secret-store.ts'
import type { Secrets } from '../../base/secrets.ts'
import type { NodeSigner } from '../node-signature.ts'
import { CallerLedger } from './caller-ledger.ts'
import { DesiredState } from './desired-state.ts'
import { ManagedSecrets } from './managed-secrets.ts'
import type { OrchestratorArtifacts } from './orchestrator-artifacts.ts'
import { createOrchestratorService } from './orchestrator-service.ts'
import { Reconciler } from './reconciler.ts'
import { secretsForNode } from './secrets-for-node.ts'
import { StoredOrchestrator } from './stored-orchestrator.ts'
import { createUpdateManagerService } from './update-manager-service.ts'

export interface DeployCoordinatorNeeds {
  clock: Clock
  random: Random
  log: Logger
  store: ControlStore
  /** With the key of this coordinator's certificate. */
  signer: NodeSigner
  membership: Membership
  calls: Caller
  artifacts: OrchestratorArtifacts
  /** Names that no deployment may have: of the parts of a node. */
  isReserved: (service: string) => boolean
}

export interface DeployCoordinatorOptions {
  identity: NodeIdentity
  softwareVersion: string
}

/** The coordinator's side of deployments. */
export interface DeployCoordinator extends Component {
  readonly orchestrator: Orchestrator
  readonly secrets: Secrets
  /** The present value of a secret, for the coordinator itself; undefined: there is none of that name. */
  secretValue(name: string): string | undefined
  /** `orchestrator` and `update_manager`: to be registered before the services start, which loads what is stored. */
  readonly services: readonly ServiceDefinition[]
  /** Nodes that said they have the artifact. */
  holdersOf(digest: ArtifactDigest): NodeId[]
}

/** Keeps what should run where in the control store, and brings every node its signed part of it. */
export function createDeployCoordinator(
  needs: DeployCoordinatorNeeds,
  { identity, softwareVersion }: DeployCoordinatorOptions,
): DeployCoordinator {
  const { clock, random, store, signer, membership, calls, artifacts, isReserved } = needs
  const log = needs.log.child('Orchestrator')
  const state = new DesiredState(store)
  const callers = new CallerLedger(store, clock)
  const secretStore = new SecretStore({ store, clock, log })
  const reconciler = new Reconciler({ clock, random, log, membership, calls, signer, state }, identity)
  const orchestrator = new StoredOrchestrator({
    clock,
    log,
    membership,
    state,
    reconciler,
    secrets: secretStore,
    artifacts,
    callers,
    isReserved,
  })
  return {
    name: 'orchestrator',
    orchestrator,
    secrets: new ManagedSecrets(secretStore, orchestrator, reconciler),
    secretValue(name) {
      const version = secretStore.version(name)
      return version === undefined ? undefined : secretStore.value(name, version)
    },
    services: [
      createOrchestratorService(
        {
          orchestrator,
          load: async () => {
            await state.load()
            await secretStore.load()
            await callers.load()
          },
          async takeReport(report, startedAtMs) {
            await reconciler.takeReport(report, startedAtMs)
            await callers.note(report)
          },
          secretsFor: (nodeId, wanted) => secretsForNode({ state, secrets: secretStore }, nodeId, wanted),
        },
        { softwareVersion },
      ),
      createUpdateManagerService({ orchestrator }, { softwareVersion }),
    ],
    holdersOf: (digest) => reconciler.holdersOf(digest),
    async start() {
      reconciler.start()
    },
    stop: () => reconciler.stop(),
  }
}
