import type { Component } from '../base/component.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { Logger } from '../base/log.ts'
import { createMemberRevocations, type Gossip } from '../network/index.ts'
import type { CertificateAuthority } from '../pki/coordinator/index.ts'
import { createNodeIdentity, type ManagedIdentity, rootFingerprint } from '../pki/index.ts'
import { systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import type { Oidc, TokenIssuer } from '../service/coordinator/index.ts'
import type { Vault } from '../storage/index.ts'
import { dialUnverified } from '../transport/index.ts'
import { followCa } from './certificate-trust.ts'
import { identityOptions } from './identity-options.ts'
import { keepRevocations, knownRevocations } from './kept-revocations.ts'
import type { ComponentStack } from './lifecycle.ts'
import type { NodeOptions } from './node.ts'
import { findHostJoinSecret } from './state-files.ts'

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
  tokenIssuer?: TokenIssuer
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
export async function establishTrust(
  stack: ComponentStack,
  options: NodeOptions,
  vault: Vault,
  joinKey: Uint8Array | undefined,
): Promise<Trust> {
  const establish =
    options.config.role === 'coordinator'
      ? (await import('./coordinator-trust.ts')).establishCoordinator
      : establishWorker
  return establish(stack, options, vault, joinKey)
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
