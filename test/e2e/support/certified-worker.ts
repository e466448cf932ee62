import { silentLogger } from '../../../src/base/log.ts'
import type { RevocationList } from '../../../src/base/credentials.ts'
import { createNodeIdentity, type ManagedIdentity } from '../../../src/pki/index.ts'
import { systemClock, systemRandom } from '../../../src/platform/index.ts'
import { createPeers, createTransport, dialUnverified } from '../../../src/transport/index.ts'
import { MemoryStore } from '../../unit/pki/memory-store.ts'
import type { Cleanup } from './node-process.ts'

/** The real clock, chance, and a log that says nothing. */
export const realNeeds = { clock: systemClock, random: systemRandom, log: silentLogger }

/** A worker without a node around it: only its key and its certificate, got in the ordinary way. */
export async function certifyWorker(
  t: Cleanup,
  { port, nodeId, token }: { port: number; nodeId: string; token: string },
): Promise<ManagedIdentity> {
  const identity = createNodeIdentity(
    { ...realNeeds, store: new MemoryStore(), dial: dialUnverified },
    {
      nodeId,
      role: 'worker',
      dnsNames: () => [],
      ipAddresses: () => [],
      coordinatorAddresses: [`127.0.0.1:${port}`],
      challengePort: 0,
      challengeAddress: '127.0.0.1',
      join: { token },
    },
  )
  await identity.start(new AbortController().signal)
  t.after(() => identity.stop())
  return identity
}

const REVOKES_NOTHING: RevocationList = { isRevoked: () => false, onChange: () => () => {} }

/** Its end of channels to others: real TLS, and nothing that keeps it from sending what it likes. */
export async function openPeersOf(t: Cleanup, identity: ManagedIdentity) {
  const { cluster, nodeId } = identity.identity()
  const needs = { ...realNeeds, credentials: identity, revocations: REVOKES_NOTHING }
  const transport = createTransport(needs, { bindAddress: '127.0.0.1', port: 0, cluster })
  const peers = createPeers({ ...needs, transport }, { nodeId, cluster })
  const { signal } = new AbortController()
  await transport.start(signal)
  await peers.start(signal)
  t.after(async () => {
    await peers.stop()
    await transport.stop()
  })
  return { transport, peers, cluster, needs }
}
