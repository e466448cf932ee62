import { join } from 'node:path'
import type { Component } from '../base/component.ts'
import type { NodeIdentity } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Membership } from '../base/member.ts'
import { Turns } from '../base/turns.ts'
import { VERSION } from '../base/version.ts'
import {
  type ArtifactFacts,
  type ArtifactInstaller,
  type ArtifactRepository,
  type BundleFolders,
  createArtifactExchange,
  createArtifactFetcher,
  createArtifactInstaller,
  createArtifactRepository,
  createArtifactStore,
  createBundleFolders,
  createDeployAgent,
  createProgramAgent,
  type NodeSigner,
  type NodeVerifier,
  type ProgramControl,
} from '../deploy/index.ts'
import type { ArtifactDigest } from '../base/deployment.ts'
import type { Orchestrator } from '../base/orchestrator.ts'
import type { Secrets } from '../base/secrets.ts'
import { systemClock as clock, systemFiles as files, systemRandom as random } from '../platform/index.ts'
import type { Caller, MethodDescriptor, ServiceDefinition, ServiceDirectory, ServiceHost } from '../service/index.ts'
import type { Vault } from '../storage/index.ts'
import type { ComponentStack } from './lifecycle.ts'
import { programsDirectory } from './program-control.ts'

export interface DeploymentsNeeds {
  log: Logger
  vault: Vault
  signer: NodeSigner
  verifier: NodeVerifier
  membership: Membership
  program: ProgramControl
  /** Of this node: they run what is deployed here, and carry the calls between nodes. */
  services: ServiceDirectory & Caller & { readonly host: ServiceHost }
}

export interface DeploymentsOptions {
  identity: NodeIdentity
  stateDirectory: string
}

/** The parts of a node that run what is deployed: on every node those that follow its plan, on a coordinator those that make the plans. */
export interface Deployments {
  /** To be registered before the services start. */
  definitions: ServiceDefinition[]
  /** To be started when services and gossip have. */
  components: Component[]
  /** The node answers. */
  ready: () => void
  /** The present value of a secret, on a coordinator. */
  secretValue: (name: string) => string | undefined
  /** What the HTTP surface of a coordinator offers beside. */
  admin: { deployments: Orchestrator; secrets: Secrets; artifacts: ArtifactRepository } | undefined
}

/** Builds them; what keeps files is started, as it must know what is there before anybody asks. */
export async function createDeployments(
  stack: ComponentStack,
  { log, vault, signer, verifier, membership, services, program }: DeploymentsNeeds,
  { identity, stateDirectory }: DeploymentsOptions,
): Promise<Deployments> {
  const { cluster, role } = identity
  const common = { clock, random, log, membership, calls: services }
  const options = { identity, softwareVersion: VERSION }

  const store = await stack.start(
    createArtifactStore({ files, clock, log }, { directory: join(stateDirectory, 'artifacts') }),
  )
  const folders = await stack.start(
    createBundleFolders({ files, verifier, log }, { directory: join(stateDirectory, 'bundles'), cluster }),
  )
  const programFolders = await stack.start(
    createBundleFolders({ files, verifier, log }, { directory: programsDirectory(stateDirectory), cluster }),
  )
  const repository =
    role === 'coordinator'
      ? await stack.start(createArtifactRepository({ store, signer, clock, log }, { cluster }))
      : undefined

  const parts = repository && (await import('../deploy/coordinator/index.ts'))
  const upgrades = parts?.createUpgradeCoordinator({ ...common, store: vault.store, artifacts: store }, options)
  const coordinator =
    repository &&
    parts?.createDeployCoordinator(
      {
        ...common,
        store: vault.store,
        signer,
        artifacts: {
          get: (digest) => store.get(digest),
          methodsOf: (facts) => methodsOf(facts),
          keepOnly: (digests) => repository.keepOnly(withUsed(digests, upgrades?.artifactInUse())),
        },
        isReserved: (name) => services.get(name)?.isBuiltin ?? false,
      },
      options,
    )
  const exchange = createArtifactExchange(
    {
      ...common,
      store,
      ...(repository && { sign: (digest) => repository.sign(digest) }),
      ...(coordinator && { holdersOf: (digest) => coordinator.holdersOf(digest) }),
    },
    options,
  )
  const installerNeeds = {
    store,
    fetcher: createArtifactFetcher({ store, verifier, clock, random, log }, { cluster }),
    sourcesOf: (digest: ArtifactDigest) => exchange.sourcesOf(digest),
    signatureOf: (digest: ArtifactDigest, signal: AbortSignal) => exchange.signatureOf(digest, signal),
    log,
  }
  const artifacts = createArtifactInstaller({ ...installerNeeds, folders }, { ownsStore: repository === undefined })
  const programs = createArtifactInstaller({ ...installerNeeds, folders: programFolders }, { ownsStore: false })
  const agent = createDeployAgent({ ...common, store: vault.store, host: services.host, artifacts, verifier }, options)
  const isPlanned = (digest: ArtifactDigest): boolean =>
    agent.plan()?.assignments.some(({ deployment }) => deployment.artifact === digest) ?? false
  const methodsOf = methodsReader({ artifacts, folders, host: services.host, isPlanned })
  const programAgent = createProgramAgent({ ...common, control: program, programs }, options)
  return {
    definitions: [
      agent.service,
      programAgent.service,
      exchange.service,
      ...(upgrades ? [upgrades.service] : []),
      ...(coordinator?.services ?? []),
    ],
    components: [...(coordinator ? [coordinator] : []), ...(upgrades ? [upgrades] : []), agent, programAgent],
    ready: () => programAgent.ready(),
    secretValue: (name) => coordinator?.secretValue(name),
    admin: coordinator &&
      repository && {
        deployments: coordinator.orchestrator,
        secrets: coordinator.secrets,
        artifacts: repository,
      },
  }
}

interface MethodsReaderNeeds {
  artifacts: ArtifactInstaller
  folders: BundleFolders
  host: ServiceHost
  /** Runs here, or is to. */
  isPlanned: (digest: ArtifactDigest) => boolean
}

/** Asks the code of a bundle which methods it has: one bundle after the other, and what was unpacked for that alone is removed again. */
function methodsReader({ artifacts, folders, host, isPlanned }: MethodsReaderNeeds) {
  const turns = new Turns()
  const read = async ({ digest, service, version }: ArtifactFacts): Promise<readonly MethodDescriptor[]> => {
    const wasHere = artifacts.has(digest)
    try {
      const { folder, manifest, kind } = await artifacts.ensure(digest, AbortSignal.timeout(UNPACK_MS_MAX))
      const { config = {} } = manifest
      const permissions = { net: false, childProcess: false, read: [], write: [] }
      const name = { name: service, version, folder, kind, manifest }
      return await host.methodsOf({ ...name, instances: 1, permissions, config, secrets: {} })
    } finally {
      if (!wasHere && !isPlanned(digest)) await folders.remove(digest)
    }
  }
  return (facts: ArtifactFacts): Promise<readonly MethodDescriptor[]> => turns.run(() => read(facts))
}

/** A bundle is on a coordinator's own disk. */
const UNPACK_MS_MAX = 30_000

function withUsed(digests: ReadonlySet<ArtifactDigest>, used: ArtifactDigest | undefined): ReadonlySet<ArtifactDigest> {
  return used === undefined ? digests : new Set([...digests, used])
}
