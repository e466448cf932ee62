import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import type { Component } from '../../../../src/base/component.ts'
import { createNodeIdentity, type ManagedIdentity, rootFingerprints } from '../../../../src/pki/index.ts'
import { trustedAndSuccessors } from '../../../../src/pki/succession.ts'
import { splitCertificates } from '../../../../src/pki/x509/pem.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { type Coordinator, type CoordinatorSetup, startCoordinator } from '../coordinator.ts'
import { MemoryStore } from '../memory-store.ts'
import { openssl, skipWithoutOpenssl } from '../openssl.ts'
import { RecordingLogger } from '../recording-logger.ts'
import { until } from '../until.ts'

const plotJoinKey = new Uint8Array(32).fill(7)

async function setUp(t: TestContext, setup: CoordinatorSetup = {}): Promise<Coordinator> {
  const coordinator = await startCoordinator({ enrolment: { plotJoinKey }, ...setup })
  t.after(() => coordinator.stop())
  return coordinator
}

async function startWorker(
  t: TestContext,
  coordinator: Coordinator,
  options: { store?: MemoryStore; nodeId?: string; token?: string } = {},
): Promise<ManagedIdentity & Component> {
  const { store = new MemoryStore(), nodeId = 'worker-1', token } = options
  const identity = createNodeIdentity(
    { store, clock: coordinator.clock, random: systemRandom, log: new RecordingLogger(), dial: coordinator.dial },
    {
      nodeId,
      role: 'worker',
      dnsNames: () => [],
      ipAddresses: () => [],
      coordinatorAddresses: ['coordinator:8001'],
      challengePort: 0,
      challengeAddress: '127.0.0.1',
      ...(token === undefined ? { plotJoinKey } : { join: { token } }),
    },
  )
  await identity.start(new AbortController().signal)
  t.after(() => identity.stop())
  return identity
}

/** Takes a node through a change it hears of, as its membership would tell it. */
async function hear(identity: ManagedIdentity, isEnough: () => boolean): Promise<void> {
  identity.trustMayHaveChanged()
  await until(isEnough)
}

async function rotateRoot(
  { ca, identity }: Coordinator,
  to: 'distributing' | 'renewing' | 'done' = 'done',
): Promise<void> {
  await ca.beginRotation('root')
  if (to === 'distributing') return
  await ca.advanceRotation({ phase: 'renewing' })
  if (to === 'renewing') return
  await until(() => identity.trust().issuerId === ca.issuingId)
  for (const phase of ['dropping', 'done'] as const) await ca.advanceRotation({ phase })
}

test('a node follows phase by phase: trusts both, has a new certificate, trusts the new root alone', async (t) => {
  const coordinator = await setUp(t)
  const { ca } = coordinator
  const node = await startWorker(t, coordinator)
  const [old] = node.trust().roots
  await rotateRoot(coordinator, 'distributing')
  await hear(node, () => node.trust().roots.length === 2)
  const serial = node.certificate().serial
  assert.equal(node.trust().roots[0], old, 'the old root still issues')

  await ca.advanceRotation({ phase: 'renewing' })
  await hear(node, () => node.trust().issuerId === ca.issuingId)
  assert.notEqual(node.certificate().serial, serial)
  assert.ok(ca.isOfCurrentCa(node.certificate().serial) && !ca.isOfCurrentCa(serial))
  assert.equal(node.trust().roots.length, 2)

  await ca.advanceRotation({ phase: 'dropping' })
  await hear(node, () => node.trust().roots.length === 1)
  assert.deepEqual(node.trust().roots, [ca.trust.ca_fingerprint])
  assert.notEqual(ca.trust.ca_fingerprint, old)
  await until(() => coordinator.identity.trust().roots.length === 1)
  assert.equal(coordinator.identity.trust().issuerId, ca.issuingId)
})

test('a node that slept through two rotations and past its end comes back with its old key, and trusts the present root', async (t) => {
  const coordinator = await setUp(t, { ca: { leafLifetimeMs: 60_000 } })
  const store = new MemoryStore()
  const first = await startWorker(t, coordinator, { store })
  const [old] = first.trust().roots
  await first.stop()
  await rotateRoot(coordinator)
  await rotateRoot(coordinator)
  coordinator.clock.advance(120_000)
  await until(() => coordinator.identity.certificate().notAfterMs > coordinator.clock.wallMs())
  const woken = await startWorker(t, coordinator, { store })
  assert.deepEqual(woken.trust().roots, [coordinator.ca.trust.ca_fingerprint])
  assert.ok(!woken.trust().roots.includes(old as string))
})

test('a token from before a rotation is good after it; one of another cluster is not', async (t) => {
  const coordinator = await setUp(t)
  const { token } = await coordinator.enrolment.createToken({ role: 'worker', uses: 1, ttlMs: 600_000 })
  await rotateRoot(coordinator)
  await until(() => coordinator.identity.trust().issuerId === coordinator.ca.issuingId)
  const node = await startWorker(t, coordinator, { token })
  assert.deepEqual(node.trust().roots, [coordinator.ca.trust.ca_fingerprint])
  const other = await setUp(t)
  const foreign = (await other.enrolment.createToken({ role: 'worker', uses: 1, ttlMs: 600_000 })).token
  await assert.rejects(startWorker(t, coordinator, { token: foreign, nodeId: 'worker-2' }), {
    code: 'P2P_PKI_UNTRUSTED_COORDINATOR',
  })
})

test('a root that nobody trusted has certified is not adopted', async (t) => {
  const [here, there] = [await setUp(t), await setUp(t)]
  const node = await startWorker(t, here)
  const before = node.trust().roots
  await rotateRoot(there)
  const strange = there.ca.trust
  const real = Object.getOwnPropertyDescriptor(here.enrolment, 'trust')
  Object.defineProperty(here.enrolment, 'trust', {
    configurable: true,
    value: () => ({ ...strange, cluster: here.ca.cluster }),
  })
  const asked = here.requests.length
  node.trustMayHaveChanged()
  await until(() => here.requests.length > asked)
  if (real) Object.defineProperty(here.enrolment, 'trust', real)
  else Reflect.deleteProperty(here.enrolment, 'trust')
  await hear(node, () => here.requests.length > asked + 1)
  assert.deepEqual(node.trust().roots, before)
})

test('a link leads on only from the root that signed it', async (t) => {
  const [here, there] = [await setUp(t), await setUp(t)]
  const [own] = rootFingerprints(here.ca.trust.ca_certificate)
  await rotateRoot(here)
  await rotateRoot(there)
  const [step] = here.ca.trust.succession ?? []
  const [foreign] = there.ca.trust.succession ?? []
  assert.ok(own && step && foreign)
  assert.ok(trustedAndSuccessors([own], [step]).has(here.ca.trust.ca_fingerprint))
  for (const forged of [
    { root: step.root, link: foreign.link },
    { root: foreign.root, link: step.link },
    { root: step.root, link: there.ca.trust.ca_certificate },
    { root: 'x', link: step.link },
  ]) {
    assert.deepEqual([...trustedAndSuccessors([own], [forged])], [own])
  }
})

test('a coordinator that ends in any phase goes on where it was', async (t) => {
  let coordinator = await setUp(t)
  await coordinator.ca.beginRotation('root')
  await assert.rejects(coordinator.ca.beginRotation('issuing'), { code: 'P2P_PKI_ROTATION_RUNNING' })
  for (const phase of ['distributing', 'renewing', 'dropping', 'done'] as const) {
    if (phase !== 'distributing') await coordinator.ca.advanceRotation({ phase })
    const { trust } = coordinator.ca
    const { store, clock } = coordinator
    await coordinator.stop()
    coordinator = await setUp(t, { store, clock })
    const { ca, identity } = coordinator
    assert.equal(ca.rotation?.phase, phase)
    assert.deepEqual(ca.trust, trust)
    const { ca_certificate: root, trusted_roots: roots = [root] } = trust
    await until(() => String(identity.trust().roots) === String(rootFingerprints(roots.join(''))))
    await until(() => identity.trust().issuerId === ca.issuingId)
  }
})

test('a step that cannot be recorded has not happened', async (t) => {
  const coordinator = await setUp(t)
  const before = coordinator.ca.trust
  coordinator.store.failure = new Error('disk full')
  await assert.rejects(coordinator.ca.beginRotation('root'), /disk full/)
  coordinator.store.failure = undefined
  assert.equal(coordinator.ca.rotation, undefined)
  assert.deepEqual(coordinator.ca.trust, before)
})

test('a dropped issuing CA is revoked; a forged certificate of it renews nothing', async (t) => {
  const coordinator = await setUp(t)
  const { ca } = coordinator
  const node = await startWorker(t, coordinator)
  const [, oldIssuing = ''] = splitCertificates(node.current().certificateChainPem)
  await ca.beginRotation('issuing')
  await hear(node, () => node.trust().issuerId === ca.issuingId)
  assert.equal(node.trust().roots.length, 1)
  const serial = new X509Certificate(oldIssuing).serialNumber.toLowerCase()
  assert.ok(!ca.revocations.isRevoked(serial))
  for (const phase of ['dropping', 'done'] as const) await ca.advanceRotation({ phase })
  assert.ok(ca.revocations.isRevoked(serial))
  assert.equal(ca.revokedSerials()[0], serial)
  await coordinator.stop()
  const again = await setUp(t, { store: coordinator.store, clock: coordinator.clock })
  assert.ok(again.ca.revocations.isRevoked(serial))
})

test('each issuing CA has its own list, and openssl finds in it what it issued', {
  skip: skipWithoutOpenssl,
}, async (t) => {
  const coordinator = await setUp(t, { ca: { crlUrl: 'https://c:8001/internal/crl' } })
  const { ca } = coordinator
  const node = await startWorker(t, coordinator)
  const oldChain = splitCertificates(node.current().certificateChainPem)
  const oldRoot = ca.trust.ca_certificate
  const oldIssuer = ca.issuingId
  await rotateRoot(coordinator)
  await hear(node, () => node.trust().issuerId === ca.issuingId)
  const newChain = splitCertificates(node.current().certificateChainPem)
  const newRoot = ca.trust.ca_certificate
  const verify = async (chain: string[], root: string, issuer: string): Promise<string> => {
    const { output: list } = openssl(['crl', '-inform', 'DER', '-in', 'list'], { list: await ca.crl(issuer) })
    const files = { list, root, leaf: chain[0] as string, others: chain.slice(1).join('\n') }
    const args = ['verify', '-crl_check', '-CRLfile', 'list', '-CAfile', 'root', '-untrusted', 'others', 'leaf']
    return openssl(args, files).output
  }
  assert.match(await verify(oldChain, oldRoot, oldIssuer), /OK/)
  assert.match(await verify(newChain, newRoot, ca.issuingId), /OK/)
  assert.match(await verify(newChain, oldRoot, ca.issuingId), /OK/, 'the link leads on from the old root')
  await ca.revokeNode('worker-1')
  assert.match(await verify(oldChain, oldRoot, oldIssuer), /certificate revoked/)
  assert.match(await verify(newChain, newRoot, ca.issuingId), /certificate revoked/)
  await assert.rejects(ca.crl('0'.repeat(64)), { code: 'P2P_PKI_REQUEST_UNKNOWN' })
})
