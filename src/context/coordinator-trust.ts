import { Buffer } from 'node:buffer'
import type { Component } from '../base/component.ts'
import { ConfigError, RpcError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { REVOKED_SERIALS_MAX } from '../base/member.ts'
import type { NodeConfig } from '../config/index.ts'
import type { Gossip } from '../network/index.ts'
import {
  type CertificateAuthority,
  createAcmeServer,
  createCaRotation,
  createCertificateAuthority,
  createChallengeProbes,
  createEnrolment,
  createLocalIdentity,
} from '../pki/coordinator/index.ts'
import { systemClock as clock, systemFiles as files, systemRandom as random } from '../platform/index.ts'
import {
  createFetchJson,
  createOidc,
  createPeople,
  createTokenIssuer,
  type Oidc,
  type TokenIssuer,
} from '../service/coordinator/index.ts'
import type { Vault } from '../storage/index.ts'
import { announcedHosts } from './announced-addresses.ts'
import { entry, identityOptions } from './identity-options.ts'
import type { ComponentStack } from './lifecycle.ts'
import type { NodeOptions } from './node.ts'
import { operatorFilePath, readOperatorFile, writeHostJoinSecret, writeOperatorFile } from './state-files.ts'
import type { Trust } from './trust.ts'

/** Makes or loads the authority, certifies this node, and lets others in. Loaded on a coordinator only, with all that needs. */
export async function establishCoordinator(
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
