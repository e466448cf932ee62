import type { TlsMaterial } from '../../src/base/credentials.ts'
import type { NodeIdentity, NodeRole } from '../../src/base/identity.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemClock, systemFiles, systemRandom } from '../../src/platform/index.ts'
import { createAuthenticator, createHttpApi, createServiceManager, type HttpApiNeeds } from '../../src/service/index.ts'
import { createPeers, createTransport } from '../../src/transport/index.ts'
import { StubMembership } from '../../test/unit/service/support/node.ts'
import { TestCredentials, TestRevocations } from '../../test/unit/transport/certificates.ts'

export const CLUSTER = 'bench'

/** The real clock, chance and disk, and a log that says nothing. */
export const needs = { clock: systemClock, random: systemRandom, log: silentLogger, files: systemFiles }

export type BenchNode = ReturnType<typeof createBenchNode>

/**
 * A node of loopback for benchmarks: the real transport, channels and call path, a membership that is told who is there.
 * Nothing of it is started.
 * @param connectionsPerAddressMax where many nodes share one address
 */
export function createBenchNode(
  nodeId: string,
  role: NodeRole,
  material: TlsMaterial,
  connectionsPerAddressMax?: number,
) {
  const identity: NodeIdentity = { cluster: CLUSTER, role, nodeId }
  const tls = { ...needs, credentials: new TestCredentials(material), revocations: new TestRevocations() }
  const transport = createTransport(tls, {
    bindAddress: '127.0.0.1',
    port: 0,
    cluster: CLUSTER,
    ...(connectionsPerAddressMax !== undefined && {
      limits: { connectionsPerAddressMax, connectionsMax: Math.max(connectionsPerAddressMax, 1_024) },
    }),
  })
  const peers = createPeers({ ...tls, transport }, { nodeId, cluster: CLUSTER })
  const membership = new StubMembership(nodeId)
  const manager = createServiceManager({ ...needs, membership, peers }, { identity, sdkUrl: '' })
  return { identity, transport, peers, membership, manager }
}

type Extras = Pick<HttpApiNeeds, 'tokenIssuer' | 'logs' | 'timeline' | 'alerts' | 'dashboard'>

/** The HTTP surface of such a node; nobody is limited. Tokens are those of its issuer, if it has one. */
export function createBenchApi({ transport, membership, manager }: BenchNode, extras: Extras = {}) {
  const authenticator = createAuthenticator(
    { clock: systemClock, tokenKeys: () => (extras.tokenIssuer ? [extras.tokenIssuer.publicKeys()] : []) },
    { cluster: () => CLUSTER, securityProfile: 'standard', bindAddress: '127.0.0.1' },
  )
  return createHttpApi(
    {
      ...needs,
      ...extras,
      transport,
      authenticator,
      membership,
      services: manager,
      serviceMetrics: manager,
      rpc: manager,
      calls: manager,
      nodeControl: { control: async () => {} },
      nodeFacts: () => ({}),
    },
    { assetsDirectory: '' },
  )
}
