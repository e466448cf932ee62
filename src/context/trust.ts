import { hostname } from 'node:os'
import type { Component } from '../base/component.ts'
import type { RevocationList } from '../base/credentials.ts'
import { ConfigError, RpcError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { REVOKED_SERIALS_MAX } from '../base/member.ts'
import type { NodeConfig } from '../config/index.ts'
import { createMemberRevocations, type Gossip } from '../network/index.ts'
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
import { systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import {
  createFetchJson,
  createOidc,
  createPeople,
  createTokenIssuer,
  type Oidc,
  type TokenIssuer,
} from '../service/index.ts'
import type { Vault } from '../storage/index.ts'
import { dialUnverified, parseHostPort } from '../transport/index.ts'
import { announcedHosts } from './announced-addresses.ts'
import { followCa } from './certificate-trust.ts'
import { keepRevocations, knownRevocations } from './kept-revocations.ts'
import type { ComponentStack } from './lifecycle.ts'
import type { NodeOptions } from './node.ts'
import {
  findHostJoinSecret,
  operatorFilePath,
  readOperatorFile,
  writeHostJoinSecret,
  writeOperatorFile,
} from './state-files.ts'

const clock = systemClock
const random = systemRandom
const files = systemFiles

/** Who this node is, whom it trusts, and on a coordinator what lets others in. */
export interface Trust {
  identity: ManagedIdentity
  revocations: RevocationList
  caFingerprint: string
  /** On a coordinator. */
  ca?: CertificateAuthority
  /** Tells the cluster of revocations, or hears of them; and follows a rotation of the CA, or drives it. */
  follow: (gossip: Gossip) => Component[]
  tokenIssuer?: ReturnType<typeof createTokenIssuer>
  /** Told where the values of secrets are, as soon as there is such a place. @throws {ConfigError} P2P_CONFIG_INVALID */
  oidc?: (secretValue: (name: string) => string | undefined) => Promise<Oidc>
  /** What the HTTP surface of a coordinator offers beside. */
  admin?: object
  /** Writes what the coordinator's own user and workers of this host need. @returns the operator file's path */
  writeStateFiles?(url: string): Promise<string>
}

/**
 * Gives the node its identity: a coordinator makes or loads its authority and certifies itself; a worker loads its certificate, or
 * enrols, which may take until a person has approved it.
 */
export function establishTrust(
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
  const provider = config.oidc
  return {
    identity,
    revocations: ca.revocations,
    caFingerprint: fingerprint,
    tokenIssuer,
    ca,
    follow: (gossip) => [publishRevocations(ca, tokenIssuer, gossip), caRotation.follow(gossip)],
    ...(provider && { oidc: (secretValue) => createOidcLogin(provider, log, secretValue) }),
    admin: {
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
async function createOidcLogin(
  { caFile, clientSecret, clientSecretName, ...options }: NonNullable<NodeConfig['oidc']>,
  log: Logger,
  secretValue: (name: string) => string | undefined,
): Promise<Oidc> {
  const read = async (path: string): Promise<string> => {
    try {
      return Buffer.from(await files.readFile(path)).toString()
    } catch (error) {
      throw new ConfigError('P2P_CONFIG_INVALID', `oidc.ca_file: ${path} cannot be read`, { path }, { cause: error })
    }
  }
  const ca = caFile === undefined ? undefined : await read(caFile)
  /** Asked for each time, so that a new value counts at once. */
  const secret = (): string | undefined => {
    if (clientSecretName === undefined) return clientSecret
    const value = secretValue(clientSecretName)
    if (value !== undefined) return value
    const message = `The client's secret for OpenID Connect is not there; set it with: p2p secrets set ${clientSecretName}`
    throw new RpcError('P2P_AUTH_OIDC_UNAVAILABLE', message, { name: clientSecretName })
  }
  return createOidc({ clock, random, log, fetchJson: createFetchJson({ ca }) }, { ...options, clientSecret: secret })
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

/** The files name the root: they are written anew when there is another one. */
export function keepStateFiles(trust: Trust, url: string, log: Logger): Component {
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
