import { join } from 'node:path'
import type { Component } from '../base/component.ts'
import type { Logger } from '../base/log.ts'
import { VERSION } from '../base/version.ts'
import { createLogCollectorService, createSystemService, type LogMemory } from '../builtin/index.ts'
import { createAuditTrail } from '../audit/index.ts'
import { createCache } from '../cache/index.ts'
import type { NodeConfig } from '../config/index.ts'
import { contextOfNode, createNodeControl, type ProgramControl } from '../deploy/index.ts'
import {
  createGossip,
  createRecordSigner,
  createRecordVerifier,
  type Gossip,
  createPathKeeper,
} from '../network/index.ts'
import type { ManagedIdentity } from '../pki/index.ts'
import { createHostFacts, systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import {
  createAuthenticator,
  createHttpApi,
  createStartingAnswer,
  createServiceManager,
  type RateLimits,
  type ServiceHost,
  type ServiceManager,
} from '../service/index.ts'
import { createLogShipper, type LogSpool, type OtlpExporter } from '../telemetry/index.ts'
import { createVault, plotJoinKey, resolveUnlock } from '../storage/index.ts'
import { createPeers, createRateLimiter, createTransport, formatHostPort } from '../transport/index.ts'
import { watchAddresses } from './address-watch.ts'
import { announcedHosts, interfacesOf } from './announced-addresses.ts'
import { identityRecord, publishIdentity } from './certificate-trust.ts'
import { createDeployments } from './deployments.ts'
import { keepNeighbours } from './kept-neighbours.ts'
import { ComponentStack } from './lifecycle.ts'
import type { NodeEvent } from './node-event.ts'
import { assetsDirectory, sdkUrl, serviceHostProgram } from './program-files.ts'
import { redactedConfig } from './redacted-config.ts'
import { stoppedServices } from './stopped-services.ts'
import { createMetrics } from './telemetry.ts'
import { establishTrust, keepStateFiles } from './trust.ts'
import type { Unlock } from './unlock.ts'
import { replaceUnrecorded } from './unrecorded-certificates.ts'

export interface NodeOptions {
  config: NodeConfig
  unlock: Unlock
  joinToken: string | undefined
  log: Logger
  /** Both get every line of `log`. */
  logMemory: LogMemory
  logSpool: LogSpool
  /** Tells an OpenTelemetry collector of this node; absent: nobody is told. */
  otlp?: OtlpExporter | undefined
  /** This process's own program. */
  program: ProgramControl
  /** Aborted: the start is given up. */
  signal: AbortSignal
  onEvent: (event: NodeEvent) => void
}

/** A node that runs. */
export interface RunningNode {
  /** Aborted, with the reason, when the node cannot go on: its disk failed. */
  readonly failed: AbortSignal
  readonly services: ServiceHost
  /** Says goodbye to the cluster and stops everything, in the reverse order of the start. */
  stop(): Promise<void>
}

const clock = systemClock
const random = systemRandom
const files = systemFiles
/** A worker only notes that it is to renew. */
const RENEW_TIMEOUT_MS = 10_000

/**
 * Builds a node and starts it: vault, identity, transport, services, gossip, HTTP surface. This function is the one place
 * where the layers meet.
 * @throws {P2PError} what kept a component from starting; everything started before it has been stopped again
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const stack = new ComponentStack(options.signal)
  try {
    return await assemble(stack, options)
  } catch (error) {
    // Also what failed between two components must leave nothing open, or the process would stay.
    await stack.stop().catch(() => {})
    throw error
  }
}

async function assemble(stack: ComponentStack, options: NodeOptions): Promise<RunningNode> {
  const { config, log, onEvent } = options
  const { vault, joinKey } = await openVault(stack, options)
  // Not before the vault is open: its lock says that no other node writes here.
  await options.logSpool.start()
  const audit = await stack.start(
    createAuditTrail(
      { files, store: vault.store, clock, random, log },
      { directory: join(config.stateDirectory, 'audit') },
    ),
  )
  const trust = await establishTrust(stack, options, vault, joinKey)
  const { identity, revocations } = trust
  const { nodeId, role, cluster } = identity.identity()
  const channelNeeds = { clock, random, log, credentials: identity, revocations }

  const transport = await stack.start(
    createTransport(channelNeeds, { bindAddress: config.bindAddress, port: config.port, cluster }),
  )
  transport.fallback(createStartingAnswer(random))
  const verifier = createRecordVerifier({ credentials: identity, revocations, clock })
  const peers = await stack.start(
    createPeers(
      { ...channelNeeds, transport, certifiedUntil: (peerId) => verifier.certifiedUntil(peerId) },
      { nodeId, cluster, limits: { dialTimeoutMs: config.connectTimeoutMs } },
    ),
  )
  const cache = await stack.start(
    createCache({ clock, log }, { ...(config.redisUrl && { redisUrl: config.redisUrl }) }),
  )

  const addresses = (): string[] => announcedHosts(config, transport.address().port)
  const signer = createRecordSigner(identity)
  const gossip = createGossip(
    {
      peers,
      clock,
      random,
      log,
      signer,
      verifier,
      interfaces: () => interfacesOf(config),
    },
    {
      nodeId,
      role,
      cluster,
      softwareVersion: VERSION,
      record: {
        addresses: addresses(),
        labels: config.labels,
        ...identityRecord(identity, trust.ca),
        capacity: { cpus: hostFacts().cpuCount, memoryBytes: hostFacts().memory().totalBytes },
        ...(trust.tokenIssuer && { tokenKeys: trust.tokenIssuer.publicKeys() }),
      },
      seeds: config.coordinatorAddresses,
      intervalMsMin: config.gossipIntervalMsMin,
      intervalMsMax: config.gossipIntervalMsMax,
      compressionEnabled: config.gossipCompressionBytesMin !== undefined,
      compressionThresholdBytes: config.gossipCompressionBytesMin ?? 0,
    },
  )

  const services = createServiceManager(
    {
      clock,
      random,
      log,
      files,
      membership: gossip,
      peers,
      cache,
      audit,
      stopped: stoppedServices(vault.store),
      ...(options.otlp && { spans: options.otlp.spans }),
    },
    {
      identity: identity.identity(),
      servicesDirectory: config.servicesDirectory,
      sdkUrl: sdkUrl(),
      callTimeoutMs: config.readTimeoutMs,
      outside: { program: serviceHostProgram(), stateDirectory: config.stateDirectory },
    },
  )
  const deployments = await createDeployments(
    stack,
    { log, vault, signer, verifier, membership: gossip, services, program: options.program },
    { identity: identity.identity(), stateDirectory: config.stateDirectory },
  )
  for (const definition of deployments.definitions) services.register(definition)
  const { admin } = deployments
  const metrics = createMetrics(
    {
      log,
      machine: createHostFacts(),
      membership: gossip,
      services,
      certificate: () => identity.certificate(),
      wanted:
        admin &&
        (() => new Map(admin.deployments.list().map(({ deployment, wanted }) => [deployment.service, wanted]))),
    },
    { identity: identity.identity(), stateDirectory: config.stateDirectory },
  )
  for (const definition of metrics.definitions) services.register(definition)
  for (const files of metrics.files) await stack.start(files)
  services.register(
    createSystemService(
      {
        clock,
        host: hostFacts(),
        services,
        gossip,
        peers,
        shownConfig: () => redactedConfig(config),
        renewCertificate: () => identity.renewNow(),
      },
      { nodeId, role, softwareVersion: VERSION, statePath: config.stateDirectory },
    ),
  )
  const { logMemory, logSpool } = options
  const ownMetrics = () => metrics.machines().find((machine) => machine.nodeId === nodeId)?.metrics
  options.otlp?.watch({ machine: ownMetrics, services }, cluster)
  // What only a coordinator has is loaded on a coordinator only.
  const memory = role === 'coordinator' ? await import('./timeline.ts') : undefined
  const logStore = memory && (await stack.start(memory.createClusterLogs(log, config)))
  const timeline =
    memory && logStore && admin && metrics.dashboard
      ? await memory.createTimeline(
          stack,
          {
            log,
            membership: gossip,
            store: vault.store,
            logs: logStore,
            audit,
            deployments: admin.deployments,
            metrics: metrics.dashboard,
          },
          { cluster, stateDirectory: config.stateDirectory, alerts: config.alerts },
        )
      : undefined
  services.register(
    createLogCollectorService(
      { memory: logMemory, log, store: logStore, spool: logSpool },
      { nodeId, softwareVersion: VERSION },
    ),
  )
  await stack.start(services)
  gossip.update({ services: services.records() })
  await stack.start(gossip)
  await stack.start(keepNeighbours({ store: vault.store, membership: gossip, peers, log }))
  await stack.start(
    createLogShipper({ clock, random, log, spool: logSpool, calls: services, membership: gossip }, { nodeId, role }),
  )
  await stack.start(
    createPathKeeper({
      peers,
      clock,
      random,
      log,
      interfaces: () => interfacesOf(config),
      addressesOf: (peerId) => gossip.get(peerId)?.record.addresses ?? [],
    }),
  )
  for (const component of trust.follow(gossip)) await stack.start(component)
  await stack.start(publishChanges({ gossip, services, identity, addresses }))
  await stack.start(publishIdentity({ gossip, peers, clock, log, identity, revocations, ca: trust.ca }))
  for (const component of [...deployments.components, ...metrics.components, ...(timeline?.components ?? [])]) {
    await stack.start(component)
  }

  const oidc = await trust.oidc?.(deployments.secretValue)
  const dns =
    config.dns &&
    (await stack.start(
      (
        await import('../network/dns/index.ts')
      ).createDnsServer({ membership: gossip, clock, random, log }, { ...config.dns, cluster }),
    ))

  await stack.start(
    createHttpApi(
      {
        clock,
        random,
        log,
        files,
        transport,
        authenticator: createAuthenticator(
          {
            clock,
            tokenKeys: () => tokenKeysOf(gossip),
            ...(trust.tokenIssuer && { isRevoked: (jti) => trust.tokenIssuer?.isRevoked(jti) ?? false }),
          },
          { cluster: () => cluster, securityProfile: config.securityProfile, bindAddress: config.bindAddress },
        ),
        membership: gossip,
        services,
        serviceMetrics: services,
        rpc: services,
        calls: services,
        ...(logStore && { logs: logStore }),
        ...timeline?.admin,
        nodeControl: createNodeControl({ calls: services }),
        serviceHost: services.host,
        machines: metrics.machines,
        ...(metrics.dashboard && { dashboard: metrics.dashboard }),
        ...deployments.admin,
        audit,
        auditReader: audit,
        nodeFacts: () => ({
          certificateNotAfterMs: identity.certificate().notAfterMs,
          memoryRssBytes: hostFacts().processMemoryBytes(),
          storageBytes: vault.status().bytes,
        }),
        ...(config.rateLimits && { limits: createRateLimits(config.rateLimits) }),
        gossipStats: () => gossip.stats(),
        logStats: () => ({ spool: logSpool.stats(), ...(logStore && { store: logStore.stats() }) }),
        ...(dns && { dnsStats: () => dns.stats() }),
        ...trust.admin,
        ...(oidc && { oidc }),
      },
      { assetsDirectory: assetsDirectory() },
    ),
  )

  await services.settled()
  if (trust.ca) {
    const renew = async (worker: string, signal: AbortSignal): Promise<void> => {
      const context = contextOfNode({ clock, random }, { nodeId, role, cluster }, 'trust', RENEW_TIMEOUT_MS, signal)
      await services.call('system/renew_certificate', {}, context, worker)
    }
    await stack.start(replaceUnrecorded({ membership: gossip, ca: trust.ca, log, renew }))
  }
  const url = `https://${addresses()[0] ?? formatHostPort('127.0.0.1', transport.address().port)}`
  const operatorFile = await trust.writeStateFiles?.(url)
  await stack.start(keepStateFiles(trust, url, log))
  onEvent({
    type: 'ready',
    nodeId,
    role,
    cluster,
    url,
    caFingerprint: trust.caFingerprint,
    ...(operatorFile !== undefined && { operatorFile }),
  })
  announceFirstMeeting(gossip, onEvent)
  deployments.ready()

  return {
    failed: vault.failed,
    services: services.host,
    async stop() {
      await gossip.leave()
      await stack.stop()
    },
  }
}

const hostFacts = lazily(createHostFacts)

function lazily<T>(make: () => T): () => T {
  let made: T | undefined
  return () => (made ??= make())
}

/** The vault, unlocked by the plot, which is made on the first start, or by a secret; and the join key that a shared plot gives. */
async function openVault(stack: ComponentStack, { config, unlock, log, signal, onEvent }: NodeOptions) {
  await files.makeDirectory(config.stateDirectory)
  const resolved = await resolveUnlock(
    { files, random },
    {
      vaultPath: config.storagePath,
      plotPath: config.plotFile,
      signal,
      onProgress: (step) =>
        step === 'generating' && onEvent({ type: 'progress', text: `making the plot ${config.plotFile}` }),
      ...(unlock.kind === 'password' && { password: unlock.password }),
      ...(unlock.kind === 'recovery' && { recoveryKey: unlock.recoveryKey }),
    },
  )
  const vault = await stack.start(
    createVault(
      { files, clock, random, log },
      { path: config.storagePath, unlock: resolved.unlock, createIfMissing: true },
    ),
  )
  const recoveryKey = vault.recoveryKey()
  if (recoveryKey !== undefined) onEvent({ type: 'vault-created', path: config.storagePath, recoveryKey })
  return { vault, joinKey: resolved.plot && plotJoinKey(resolved.plot.password) }
}

/** Keeps the own record true: services, addresses and certificate as they are now. */
function publishChanges(needs: {
  gossip: Gossip
  services: ServiceManager
  identity: ManagedIdentity
  addresses: () => string[]
}): Component {
  const { gossip, services, identity, addresses } = needs
  const unlisten: (() => void)[] = []
  return {
    name: 'record',
    async start() {
      unlisten.push(
        services.onChange(() => gossip.update({ services: services.records() })),
        watchAddresses(clock, addresses, (now) => {
          gossip.update({ addresses: now })
          identity.addressesChanged()
        }),
      )
      gossip.update({ services: services.records(), addresses: addresses() })
      // An interface may have come up since the certificate was asked for.
      identity.addressesChanged()
    },
    async stop() {
      for (const stop of unlisten.splice(0)) stop()
    },
  }
}

function tokenKeysOf(gossip: Gossip): string[] {
  return gossip
    .members()
    .flatMap(({ record }) => (record.role === 'coordinator' && record.tokenKeys ? [record.tokenKeys] : []))
}

function createRateLimits(limits: NonNullable<NodeConfig['rateLimits']>): RateLimits {
  const make = ({ requestsPerMinute, burst }: { requestsPerMinute: number; burst: number }) =>
    createRateLimiter({ clock }, { perMinute: requestsPerMinute, burst })
  return { rpc: make(limits.rpc), health: make(limits.health), default: make(limits.default) }
}

function announceFirstMeeting(gossip: Gossip, onEvent: (event: NodeEvent) => void): void {
  const own = gossip.self().record.nodeId
  const isOther = (nodeId: string, status: string): boolean => nodeId !== own && status === 'alive'
  const met = gossip.members().find(({ record, status }) => isOther(record.nodeId, status))
  if (met) {
    onEvent({ type: 'joined', nodeId: own, met: met.record.nodeId })
    return
  }
  const unlisten = gossip.onChange(({ member }) => {
    if (!isOther(member.record.nodeId, member.status)) return
    unlisten()
    onEvent({ type: 'joined', nodeId: own, met: member.record.nodeId })
  })
}
