import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Component } from '../base/component.ts'
import type { RevocationList } from '../base/credentials.ts'
import { ConfigError } from '../base/errors.ts'
import type { InterfaceFact } from '../base/interface-fact.ts'
import type { Logger } from '../base/log.ts'
import { REVOKED_SERIALS_MAX } from '../base/member.ts'
import { VERSION } from '../base/version.ts'
import { createLogCollectorService, createSystemService, type LogMemory } from '../builtin/index.ts'
import { createAuditTrail } from '../audit/index.ts'
import { createCache } from '../cache/index.ts'
import type { NodeConfig } from '../config/index.ts'
import { createNodeControl, type ProgramControl } from '../deploy/index.ts'
import {
  createDnsServer,
  createGossip,
  createRecordSigner,
  createRecordVerifier,
  type Gossip,
  localAddresses,
  createMemberRevocations,
  createPathKeeper,
} from '../network/index.ts'
import {
  type CertificateAuthority,
  createAcmeServer,
  createCaRotation,
  createCertificateAuthority,
  createChallengeProbes,
  createEnrolment,
  createLocalIdentity,
  createNodeIdentity,
  type ManagedIdentity,
  rootFingerprint,
} from '../pki/index.ts'
import { createHostFacts, interfaceFacts, systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import {
  createAuthenticator,
  createFetchJson,
  createHttpApi,
  createStartingAnswer,
  createOidc,
  createPeople,
  createServiceManager,
  createTokenIssuer,
  type Oidc,
  type RateLimits,
  type ServiceHost,
  type ServiceManager,
  type TokenIssuer,
} from '../service/index.ts'
import { createLogShipper, createLogStore, type LogSpool, type OtlpExporter, storeThreads } from '../telemetry/index.ts'
import { createVault, plotJoinKey, resolveUnlock, type Vault } from '../storage/index.ts'
import {
  createPeers,
  createRateLimiter,
  createTransport,
  dialUnverified,
  formatHostPort,
  parseHostPort,
  type Transport,
} from '../transport/index.ts'
import { watchAddresses } from './address-watch.ts'
import { followCa, identityRecord, publishIdentity } from './certificate-trust.ts'
import { createDeployments } from './deployments.ts'
import { keepRevocations, knownRevocations } from './kept-revocations.ts'
import { ComponentStack } from './lifecycle.ts'
import type { NodeEvent } from './node-event.ts'
import { assetsDirectory, logStoreThreadUrl, sdkUrl, serviceHostProgram } from './program-files.ts'
import { redactedConfig } from './redacted-config.ts'
import {
  findHostJoinSecret,
  operatorFilePath,
  readOperatorFile,
  writeHostJoinSecret,
  writeOperatorFile,
} from './state-files.ts'
import { stoppedServices } from './stopped-services.ts'
import { createMetrics } from './telemetry.ts'
import { createTimeline } from './timeline.ts'
import type { Unlock } from './unlock.ts'

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

/**
 * Builds a node and starts it: vault, identity, transport, services, gossip, HTTP surface. This function is the one place
 * where the layers meet.
 * @throws {P2PError} what kept a component from starting; everything started before it has been stopped again
 */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { config, log, signal, onEvent } = options
  const stack = new ComponentStack(signal)

  const { vault, joinKey } = await openVault(stack, options)
  // Not before the vault is open: its lock says that no other node writes here.
  await options.logSpool.start()
  const audit = await stack.start(
    createAuditTrail(
      { files, store: vault.store, clock, random, log },
      { directory: join(config.stateDirectory, 'audit') },
    ),
  )
  const trust = await establishIdentity(stack, options, vault, joinKey)
  const { identity, revocations } = trust
  const { nodeId, role, cluster } = identity.identity()
  const channelNeeds = { clock, random, log, credentials: identity, revocations }

  const transport = await stack.start(
    createTransport(channelNeeds, { bindAddress: config.bindAddress, port: config.port, cluster }),
  )
  transport.fallback(createStartingAnswer(random))
  const peers = await stack.start(
    createPeers(
      { ...channelNeeds, transport },
      { nodeId, cluster, limits: { dialTimeoutMs: config.connectTimeoutMs } },
    ),
  )
  const cache = await stack.start(
    createCache({ clock, log }, { ...(config.redisUrl && { redisUrl: config.redisUrl }) }),
  )

  const addresses = (): string[] => announcedAddresses(config, transport)
  const signer = createRecordSigner(identity)
  const verifier = createRecordVerifier({ credentials: identity, revocations, clock })
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
  services.register(
    createSystemService(
      { clock, host: hostFacts(), services, gossip, peers, shownConfig: () => redactedConfig(config) },
      { nodeId, role, softwareVersion: VERSION, statePath: config.stateDirectory },
    ),
  )
  const { logMemory, logSpool } = options
  const ownMetrics = () => metrics.machines().find((machine) => machine.nodeId === nodeId)?.metrics
  options.otlp?.watch({ machine: ownMetrics, services }, cluster)
  const logStore =
    role === 'coordinator'
      ? await stack.start(
          createLogStore(
            { clock, files, log, openThread: storeThreads(logStoreThreadUrl()) },
            {
              directory: join(config.stateDirectory, 'logs'),
              retentionMs: config.logRetentionMs,
              bytesMax: config.logStoreBytesMax,
            },
          ),
        )
      : undefined
  const timeline =
    logStore && admin && metrics.dashboard
      ? await createTimeline(
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

  const dns =
    config.dns &&
    (await stack.start(createDnsServer({ membership: gossip, clock, random, log }, { ...config.dns, cluster })))

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
        ...(dns && { dnsStats: () => dns.stats() }),
        ...trust.admin,
      },
      { assetsDirectory: assetsDirectory() },
    ),
  )

  await services.settled()
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

/** Who this node is, whom it trusts, and on a coordinator what lets others in. */
interface Trust {
  identity: ManagedIdentity
  revocations: RevocationList
  caFingerprint: string
  /** On a coordinator. */
  ca?: CertificateAuthority
  /** Tells the cluster of revocations, or hears of them; and follows a rotation of the CA, or drives it. */
  follow: (gossip: Gossip) => Component[]
  tokenIssuer?: ReturnType<typeof createTokenIssuer>
  /** What the HTTP surface of a coordinator offers beside. */
  admin?: object
  /** Writes what the coordinator's own user and workers of this host need. @returns the operator file's path */
  writeStateFiles?(url: string): Promise<string>
}

function establishIdentity(
  stack: ComponentStack,
  options: NodeOptions,
  vault: Vault,
  joinKey: Uint8Array | undefined,
): Promise<Trust> {
  const establish = options.config.role === 'coordinator' ? establishCoordinator : establishWorker
  return establish(stack, options, vault, joinKey)
}

async function establishCoordinator(
  stack: ComponentStack,
  { config, log, onEvent }: NodeOptions,
  vault: Vault,
  joinKey: Uint8Array | undefined,
): Promise<Trust> {
  const needs = { store: vault.store, clock, random, log }
  const isNew = vault.store.revision === 0
  const ca = await stack.start(
    createCertificateAuthority(needs, {
      leafLifetimeMs: config.certificateLifetimeMs,
      crlUrl: `https://${announcedHosts(config)[0] ?? 'localhost'}/internal/crl`,
      ...(config.certificateEntries.caKey !== undefined && { rootKeyEntry: entry(config.certificateEntries.caKey) }),
    }),
  )
  const fingerprint = ca.trust.ca_fingerprint
  if (isNew) onEvent({ type: 'ca-created', fingerprint })
  const identity = await stack.start(
    createLocalIdentity({ ...needs, ca }, { nodeId: config.nodeId, ...identityOptions(config) }),
  )
  const hostJoinKey = random.bytes(32)
  const enrolment = await stack.start(
    createEnrolment({ ...needs, ca }, { hostJoinKey, ...(joinKey && { plotJoinKey: joinKey }) }),
  )
  const caRotation = createCaRotation({ ...needs, ca, nodeId: config.nodeId })
  const acme = await stack.start(createAcmeServer({ ...needs, ca, probes: createChallengeProbes() }))
  const tokenIssuer = await stack.start(createTokenIssuer(needs, { cluster: ca.cluster }))
  const people = await stack.start(createPeople({ ...needs, tokens: tokenIssuer }, { cluster: ca.cluster }))
  return {
    identity,
    revocations: ca.revocations,
    caFingerprint: fingerprint,
    tokenIssuer,
    ca,
    follow: (gossip) => [publishRevocations(ca, tokenIssuer, gossip), caRotation.follow(gossip)],
    admin: {
      ...(config.oidc && { oidc: await createOidcLogin(config.oidc, log) }),
      tokenIssuer,
      people,
      enrolment,
      trustAdmin: enrolment,
      caRotation,
      acme,
      acmeAdmin: acme,
    },
    async writeStateFiles(url) {
      const { cluster, ca_certificate, ca_fingerprint } = ca.trust
      await writeHostJoinSecret(files, config.stateDirectory, { fingerprint: ca_fingerprint, key: hostJoinKey })
      const present = await readOperatorFile(files, config.stateDirectory)
      const credential = await tokenIssuer.ensureOperatorCredential(present?.credential)
      await writeOperatorFile(files, config.stateDirectory, { url, cluster, ca_certificate, credential })
      return operatorFilePath(config.stateDirectory)
    },
  }
}

/** @throws {ConfigError} P2P_CONFIG_INVALID: the provider's root cannot be read */
async function createOidcLogin({ caFile, ...options }: NonNullable<NodeConfig['oidc']>, log: Logger): Promise<Oidc> {
  const read = async (path: string): Promise<string> => {
    try {
      return Buffer.from(await files.readFile(path)).toString()
    } catch (error) {
      throw new ConfigError('P2P_CONFIG_INVALID', `oidc.ca_file: ${path} cannot be read`, { path }, { cause: error })
    }
  }
  const ca = caFile === undefined ? undefined : await read(caFile)
  return createOidc({ clock, random, log, fetchJson: createFetchJson({ ca }) }, options)
}

async function establishWorker(
  stack: ComponentStack,
  { config, joinToken, log, onEvent }: NodeOptions,
  vault: Vault,
  joinKey: Uint8Array | undefined,
): Promise<Trust> {
  const revocations = createMemberRevocations(await knownRevocations(vault.store))
  await stack.start(keepRevocations(vault.store, revocations, log))
  const identity = await stack.start(
    createNodeIdentity(
      { store: vault.store, clock, random, log, dial: dialUnverified },
      {
        nodeId: config.nodeId,
        role: 'worker',
        ...identityOptions(config),
        coordinatorAddresses: config.coordinatorAddresses,
        hostJoinSecret: () => findHostJoinSecret(files, config.stateDirectory),
        challengePort: config.challengePort,
        challengeAddress: config.bindAddress,
        ...(joinToken !== undefined && { join: { token: joinToken } }),
        ...(joinKey && { plotJoinKey: joinKey }),
        onWaiting: onEvent,
      },
    ),
  )
  return {
    identity,
    revocations,
    follow: (gossip) => [revocations.follow(gossip), followCa(gossip, identity)],
    caFingerprint: rootFingerprint(identity.current().trustPem),
  }
}

/** The vault's keys for what the Python program kept in files of these names. */
const entry = (name: string): string => `certs/${name}`

/** Where the node's certificate is kept, and what it should name, asked for again at every look at the interfaces. */
function identityOptions(config: NodeConfig) {
  const hosts = (): string[] => announcedHosts(config).flatMap((address) => parseHostPort(address)?.host ?? [])
  const isAddress = (host: string): boolean => /^[\d.]+$|:/.test(host)
  const { certificate, key, caCertificate } = config.certificateEntries
  return {
    entries: { certificate: entry(certificate), key: entry(key), trust: entry(caCertificate) },
    dnsNames: () => [...new Set([hostname(), ...hosts().filter((host) => !isAddress(host))])],
    ipAddresses: () => hosts().filter(isAddress),
  }
}

/** This machine's interfaces as they are now, and what the operator says of them. */
function interfacesOf({ interfaceKinds }: NodeConfig): InterfaceFact[] {
  return interfaceFacts().map((fact) => {
    const kind = interfaceKinds[fact.name]
    return kind ? { ...fact, kind } : fact
  })
}

function announcedHosts(config: NodeConfig, port = config.port): string[] {
  return localAddresses(interfacesOf(config), {
    bindAddress: config.bindAddress,
    port,
    ...(config.advertiseAddress !== undefined && { advertiseAddresses: [config.advertiseAddress] }),
  })
}

function announcedAddresses(config: NodeConfig, transport: Transport): string[] {
  return announcedHosts(config, transport.address().port)
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

/** The files name the root: they are written anew when there is another one. */
function keepStateFiles(trust: Trust, url: string, log: Logger): Component {
  const { ca } = trust
  let root = ca?.trust.ca_fingerprint
  let unlisten: (() => void) | undefined
  let last: Promise<unknown> = Promise.resolve()
  return {
    name: 'state files',
    async start() {
      unlisten = ca?.onTrustChange(() => {
        if (ca.trust.ca_fingerprint === root) return
        root = ca.trust.ca_fingerprint
        last = last
          .then(() => trust.writeStateFiles?.(url))
          .catch((error: unknown) => log.error('The operator file could not be written', { error }))
      })
    },
    async stop() {
      unlisten?.()
      await last
    },
  }
}

/** Revocations travel in the coordinator's own record: signed, and with everybody within a second. */
function publishRevocations(ca: CertificateAuthority, tokens: TokenIssuer, gossip: Gossip): Component {
  const publish = (): void => gossip.update({ revokedSerials: ca.revokedSerials().slice(0, REVOKED_SERIALS_MAX) })
  const publishTokens = (): void => gossip.update({ tokenKeys: tokens.publicKeys() })
  const unlisten: (() => void)[] = []
  return {
    name: 'revocations',
    async start() {
      publish()
      unlisten.push(ca.revocations.onChange(publish), tokens.onKeysChange(publishTokens))
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
