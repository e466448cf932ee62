import type { TlsMaterial } from '../../src/base/credentials.ts'
import type { NodeRole } from '../../src/base/identity.ts'
import { silentLogger } from '../../src/base/log.ts'
import { createGossip, createRecordSigner, createRecordVerifier, type Gossip } from '../../src/network/index.ts'
import { interfaceFacts, systemClock, systemRandom } from '../../src/platform/index.ts'
import { createPeers, createTransport, type MovablePeers } from '../../src/transport/index.ts'
import { TestCredentials, TestRevocations } from '../../test/unit/transport/certificates.ts'

/*
 * A process with several nodes of P2P Core, each with a server, sessions and a view of its own: everything that membership
 * needs and nothing else. It is started and asked by messages, and ends with its parent.
 */

export interface HostedNode {
  nodeId: string
  role: NodeRole
  port: number
  material: TlsMaterial
}

export type ToProcess = { type: 'start'; cluster: string; seed: string; nodes: HostedNode[] } | { type: 'ask' }

/** Of all nodes of the process together, but `membersMin` and `suspects`. */
export interface Tally {
  /** Living members in the view of the node that knows fewest. */
  membersMin: number
  messageBytes: number
  frames: number
  dials: number
  channels: number
}

/** Connections to one server come from one address here: as many as there are nodes. */
const CONNECTIONS_MAX = 8_192

const nodes: { gossip: Gossip; peers: MovablePeers }[] = []
let dials = 0

async function start({ cluster, seed, nodes: hosted }: Extract<ToProcess, { type: 'start' }>): Promise<void> {
  const { signal } = new AbortController()
  for (const { nodeId, role, port, material } of hosted) {
    const needs = {
      clock: systemClock,
      random: systemRandom,
      log: silentLogger,
      credentials: new TestCredentials(material),
      revocations: new TestRevocations(),
    }
    const limits = { connectionsMax: CONNECTIONS_MAX, connectionsPerAddressMax: CONNECTIONS_MAX }
    const transport = createTransport(needs, { bindAddress: '127.0.0.1', port, cluster, limits })
    const peers = createPeers({ ...needs, transport }, { nodeId, cluster })
    const gossip = createGossip(
      {
        ...needs,
        peers,
        signer: createRecordSigner(needs.credentials),
        verifier: createRecordVerifier(needs),
        interfaces: interfaceFacts,
      },
      {
        nodeId,
        role,
        cluster,
        softwareVersion: '3.0.0',
        record: { addresses: [`127.0.0.1:${port}`], services: [] },
        seeds: role === 'worker' ? [seed] : [],
        intervalMsMin: 5_000,
        intervalMsMax: 30_000,
        compressionEnabled: true,
        compressionThresholdBytes: 1_024,
      },
    )
    peers.onOpen(({ dialled }) => void (dialled && dials++))
    for (const component of [transport, peers, gossip]) await component.start(signal)
    nodes.push({ gossip, peers })
    await coordinatorKnown(gossip)
  }
}

/** One node joins after the other: a machine for all of them cannot do the handshakes of hundreds at once. */
function coordinatorKnown(gossip: Gossip): Promise<void> {
  const isKnown = () =>
    gossip.members().some(({ record, status }) => record.role === 'coordinator' && status === 'alive')
  return new Promise((resolve) => {
    if (isKnown()) return resolve()
    const stop = gossip.onChange(() => {
      if (!isKnown()) return
      stop()
      resolve()
    })
  })
}

function tally(): Tally {
  const sum = (of: (node: (typeof nodes)[number]) => number): number => nodes.reduce((all, node) => all + of(node), 0)
  const alive = ({ gossip }: { gossip: Gossip }): number =>
    gossip.members().filter(({ status }) => status === 'alive').length
  return {
    membersMin: Math.min(...nodes.map(alive)),
    messageBytes: sum(({ gossip }) => gossip.stats().bytesSent),
    frames: sum(({ gossip }) => gossip.stats().framesSent),
    dials,
    channels: sum(({ peers }) => peers.list().length),
  }
}

process.on('disconnect', () => process.exit(0))
process.on('message', (message: ToProcess) => {
  if (message.type === 'start') void start(message).then(() => process.send?.('started'))
  else process.send?.(tally())
})
