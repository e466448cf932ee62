import assert from 'node:assert/strict'
import { connect } from 'node:http2'
import { type TestContext, test } from 'node:test'
import type { TlsMaterial } from '../../src/base/credentials.ts'
import type { Clock } from '../../src/base/time.ts'
import { silentLogger } from '../../src/base/log.ts'
import { renewUntrustedChannels } from '../../src/network/index.ts'
import { type CertificateAuthority, createCertificateAuthority } from '../../src/pki/coordinator/index.ts'
import { createCsr, generateNodeKey } from '../../src/pki/x509/csr.ts'
import { systemClock, systemRandom } from '../../src/platform/index.ts'
import { createPeers, createTransport } from '../../src/transport/index.ts'
import { MemoryStore } from '../unit/pki/memory-store.ts'

const needs = { clock: systemClock, random: systemRandom, log: silentLogger }
const { signal } = new AbortController()

async function startAuthority() {
  const ca = createCertificateAuthority({ ...needs, store: new MemoryStore() })
  await ca.start(signal)
  return ca
}

async function issue(ca: CertificateAuthority, nodeId: string): Promise<TlsMaterial> {
  const key = await generateNodeKey()
  const csr = await ca.readCsr(createCsr(key, nodeId))
  const identity = { nodeId, role: 'worker' } as const
  const { certificateChainPem, trustPem } = await ca.issue({ csr, identity, dnsNames: [], ipAddresses: [] })
  return { certificateChainPem, trustPem, keyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string }
}

/** The transport of a node whose certificate and trust the test changes. */
async function startNode(
  t: TestContext,
  ca: CertificateAuthority,
  nodeId: string,
  watched: { clock?: Clock; certifiedUntil?: (nodeId: string) => number } = {},
) {
  let material = await issue(ca, nodeId)
  const listeners = new Set<() => void>()
  const credentials = {
    current: () => material,
    onChange: (listener: () => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  const common = { ...needs, ...watched, credentials, revocations: ca.revocations }
  const { cluster } = ca
  const transport = createTransport(common, { bindAddress: '127.0.0.1', port: 0, cluster })
  const peers = createPeers({ ...common, transport }, { nodeId, cluster })
  transport.route('GET', '/who', async ({ connection }) => ({
    status: 200,
    headers: {},
    body: connection.identity?.nodeId ?? 'nobody',
  }))
  await transport.start(signal)
  await peers.start(signal)
  t.after(async () => {
    await peers.stop()
    await transport.stop()
  })
  const change = (next: Partial<TlsMaterial>): void => {
    material = { ...material, ...next }
    for (const listener of listeners) listener()
  }
  return {
    nodeId,
    peers,
    address: `127.0.0.1:${transport.address().port}`,
    material: () => material,
    renew: async () => change(await issue(ca, nodeId)),
    trust: (trustPem: string) => change({ trustPem }),
  }
}

type Node = Awaited<ReturnType<typeof startNode>>

const target = ({ nodeId, address }: Node) => ({ nodeId, addresses: [address] })

function settle(node: Node, others: Node[]): Promise<void> {
  const addressesOf = (nodeId: string): string[] =>
    others.filter((other) => other.nodeId === nodeId).map(({ address }) => address)
  return renewUntrustedChannels({ ...needs, peers: node.peers, addressesOf }, signal)
}

test('who followed an exchange of the root keeps his calls; who did not is cut off and refused, whoever dials', async (t) => {
  const ca = await startAuthority()
  const [a, b, late] = [await startNode(t, ca, 'a'), await startNode(t, ca, 'b'), await startNode(t, ca, 'late')]
  const old = await a.peers.open(target(b))
  const stale = await a.peers.open(target(late))

  await ca.beginRotation('root')
  const { trusted_roots: both = [] } = ca.trust
  for (const node of [a, b, late]) node.trust(both.join(''))
  await ca.advanceRotation({ phase: 'renewing' })
  await a.renew()
  await b.renew()
  assert.deepEqual(a.peers.untrusted(), [], 'both roots are trusted')
  assert.equal(a.peers.get('b'), old)

  await ca.advanceRotation({ phase: 'dropping' })
  const { ca_certificate: root } = ca.trust
  for (const node of [a, b]) node.trust(root)
  assert.deepEqual(new Set(a.peers.untrusted()), new Set([old, stale]))
  await settle(a, [b, late])
  assert.deepEqual(a.peers.untrusted(), [])
  const renewed = a.peers.get('b')
  assert.ok(renewed && renewed !== old)
  assert.equal(old.closed.aborted, false, 'what was asked on the old channel is still answered')
  assert.equal(a.peers.get('late'), undefined)

  await assert.rejects(a.peers.open(target(late)), { code: 'P2P_TRANSPORT_IDENTITY_MISMATCH' })
  await assert.rejects(late.peers.open(target(a)), { code: 'P2P_TRANSPORT_REFUSED' })
  await late.renew()
  assert.equal((await late.peers.open(target(a))).peer.nodeId, 'a')
})

test('what a dropped issuing CA signed is refused, under the same root', async (t) => {
  const ca = await startAuthority()
  const [a, b, late] = [await startNode(t, ca, 'a'), await startNode(t, ca, 'b'), await startNode(t, ca, 'late')]
  await a.peers.open(target(b))
  await a.peers.open(target(late))
  await ca.beginRotation('issuing')
  await a.renew()
  await b.renew()
  for (const phase of ['dropping', 'done'] as const) await ca.advanceRotation({ phase })
  await settle(a, [b, late])
  assert.ok(a.peers.get('b'))
  assert.equal(a.peers.get('late'), undefined)
  await assert.rejects(a.peers.open(target(late)), { code: 'P2P_TRANSPORT_IDENTITY_MISMATCH' })
  await assert.rejects(late.peers.open(target(b)), { code: 'P2P_TRANSPORT_REFUSED' })
})

test('a root of the same name, certified by nobody, opens nothing', async (t) => {
  const [ca, foreign] = [await startAuthority(), await startAuthority()]
  const a = await startNode(t, ca, 'a')
  const stranger = await startNode(t, foreign, 'b')
  await assert.rejects(a.peers.open(target(stranger)), { code: 'P2P_TRANSPORT_IDENTITY_MISMATCH' })
  stranger.trust(ca.trust.ca_certificate + foreign.trust.ca_certificate)
  await assert.rejects(stranger.peers.open({ addresses: [a.address] }))
})

test('a channel ends with the certificate it was opened with, unless its other end is known to have another', async (t) => {
  const ca = await startAuthority()
  let aheadMs = 0
  const certified = new Map<string, number>()
  const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs }
  const certifiedUntil = (nodeId: string): number => certified.get(nodeId) ?? 0
  const a = await startNode(t, ca, 'a', { clock, certifiedUntil })
  const [renewed, silent] = [await startNode(t, ca, 'renewed'), await startNode(t, ca, 'silent')]
  const kept = await a.peers.open(target(renewed))
  // One that was dialled and one that was accepted.
  await silent.peers.open(target(a))
  const cut = a.peers.get('silent')
  assert.ok(cut)
  assert.deepEqual(a.peers.untrusted(), [])

  aheadMs = 366 * 86_400_000
  certified.set('renewed', clock.wallMs() + 60_000)
  assert.deepEqual(a.peers.untrusted(), [cut])
  await settle(a, [renewed])
  assert.equal(a.peers.get('silent'), undefined)
  assert.equal(cut.closed.aborted, true)
  assert.equal(a.peers.get('renewed'), kept, 'the same channel, with what is under way on it')
  aheadMs += 120_000
  assert.deepEqual(a.peers.untrusted(), [kept], 'the other certificate has ended too')
})

test('a certificate that has ended while its connection was open names nobody any more', async (t) => {
  const ca = await startAuthority()
  let aheadMs = 0
  const clock: Clock = { ...systemClock, wallMs: () => systemClock.wallMs() + aheadMs }
  const [a, b] = [await startNode(t, ca, 'a', { clock }), await startNode(t, ca, 'b')]
  const { certificateChainPem: cert, keyPem: key, trustPem } = b.material()
  const session = connect(`https://${a.address}`, { cert, key, ca: trustPem, checkServerIdentity: () => undefined })
  t.after(() => session.destroy())
  const whoAmI = async (): Promise<string> => {
    const stream = session.request({ ':path': '/who' })
    stream.setEncoding('utf8')
    return (await stream.toArray()).join('')
  }
  assert.equal(await whoAmI(), 'b')
  aheadMs = 366 * 86_400_000
  assert.equal(await whoAmI(), 'nobody')
})
