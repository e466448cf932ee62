import assert from 'node:assert/strict'
import { createPrivateKey, randomBytes, X509Certificate } from 'node:crypto'
import { type TestContext, test } from 'node:test'
import {
  createNodeIdentity,
  type EnrolmentDial,
  fetchChallenge,
  type HostJoinSecret,
  type ManagedIdentity,
  type NodeIdentityOptions,
  readCertificate,
} from '../../../src/pki/index.ts'
import type { Component } from '../../../src/base/component.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { type Coordinator, type CoordinatorSetup, startCoordinator } from './coordinator.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { RecordingLogger } from './recording-logger.ts'
import { until } from './until.ts'

const HOUR_MS = 3_600_000
const plotJoinKey = randomBytes(32)

interface Worker {
  identity: ManagedIdentity & Component
  store: MemoryStore
  clock: ManualClock
  log: RecordingLogger
  names: { ipAddresses: string[]; dnsNames: string[] }
  start(): Promise<void>
}

interface WorkerSetup extends Partial<NodeIdentityOptions> {
  store?: MemoryStore
  clock?: ManualClock
  dial?: EnrolmentDial
}

/** A worker that answers challenges over real HTTP on loopback. */
function createWorker(t: TestContext, coordinator: Coordinator, setup: WorkerSetup = {}): Worker {
  const { store = new MemoryStore(), clock = coordinator.clock, dial = coordinator.dial, ...options } = setup
  const log = new RecordingLogger()
  const names: Worker['names'] = { ipAddresses: ['127.0.0.1'], dnsNames: [] }
  const identity = createNodeIdentity(
    { store, clock, random: systemRandom, log, dial },
    {
      nodeId: 'worker-1',
      role: 'worker',
      coordinatorAddresses: ['coordinator:8001'],
      challengePort: 0,
      challengeAddress: '127.0.0.1',
      ipAddresses: () => names.ipAddresses,
      dnsNames: () => names.dnsNames,
      ...options,
    },
  )
  t.after(() => identity.stop())
  return { identity, store, clock, log, names, start: () => identity.start(new AbortController().signal) }
}

async function setUp(t: TestContext, setup: CoordinatorSetup = {}): Promise<Coordinator> {
  const coordinator = await startCoordinator(setup)
  t.after(() => coordinator.stop())
  return coordinator
}

async function token(coordinator: Coordinator, options: { uses?: number; ttlMs?: number } = {}): Promise<string> {
  return (await coordinator.enrolment.createToken({ role: 'worker', uses: 1, ttlMs: 600_000, ...options })).token
}

function changed(identity: ManagedIdentity): Promise<void> {
  return new Promise((resolve) => {
    const unlisten = identity.onChange(() => {
      unlisten()
      resolve()
    })
  })
}

/** Each time an attempt has failed and a retry waits, lets that time pass. */
async function letPass(worker: Worker, attempts: number): Promise<number[]> {
  const waits: number[] = []
  for (let i = 0; i < attempts; i++) {
    await until(() => worker.clock.waiting().some((ms) => ms <= 30_000))
    const waitMs = worker.clock.waiting()[0] as number
    waits.push(waitMs)
    worker.clock.advance(waitMs)
  }
  return waits
}

test('a worker joins with a token, over the whole exchange', async (t) => {
  const coordinator = await setUp(t)
  const worker = createWorker(t, coordinator, { join: { token: await token(coordinator) } })
  await worker.start()
  assert.deepEqual(worker.identity.identity(), { cluster: coordinator.ca.cluster, role: 'worker', nodeId: 'worker-1' })
  const { certificateChainPem, keyPem, trustPem } = worker.identity.current()
  assert.equal(trustPem, coordinator.ca.trust.ca_certificate)
  assert.ok(new X509Certificate(certificateChainPem).checkPrivateKey(createPrivateKey(keyPem)))
  assert.deepEqual(worker.identity.certificate().ipAddresses, ['127.0.0.1', '::1'])
  assert.deepEqual(coordinator.requests, ['/internal/ca-cert', '/internal/cert-nonce', '/internal/cert-request'])
  assert.deepEqual(
    worker.store.keys('certs/').toSorted(),
    ['certs/ca_cert.cer', 'certs/node_cert.cer', 'certs/node_key.key', 'certs/requested'],
    'nothing of the joining is left',
  )
})

test('a worker that has joined starts without the coordinator, with the same certificate', async (t) => {
  const coordinator = await setUp(t)
  const first = createWorker(t, coordinator, { join: { token: await token(coordinator) } })
  await first.start()
  const { serial } = first.identity.certificate()
  await first.identity.stop()
  coordinator.network.isUp = false
  const second = createWorker(t, coordinator, { store: first.store })
  await second.start()
  assert.equal(second.identity.certificate().serial, serial)
})

test('workers with the shared plot join alone', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  assert.match(JSON.stringify(worker.log.matching(/received/)), /"trustedBy":"plot"/)
})

test("workers that read the host's join secret join alone", async (t) => {
  const hostJoinKey = randomBytes(32)
  const coordinator = await setUp(t, { enrolment: { plotJoinKey: randomBytes(32), hostJoinKey } })
  const secret: HostJoinSecret = { fingerprint: coordinator.ca.trust.ca_fingerprint, key: hostJoinKey }
  const worker = createWorker(t, coordinator, { plotJoinKey, hostJoinSecret: () => Promise.resolve(secret) })
  await worker.start()
  assert.match(JSON.stringify(worker.log.matching(/received/)), /"trustedBy":"host"/)
})

test('several nodes of one host join at once although they want the same challenge port', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const blocker = createWorker(t, coordinator, { nodeId: 'worker-0', plotJoinKey })
  await blocker.start()
  const challengePort = 20_000 + (process.pid % 10_000)
  const workers = ['a', 'b', 'c'].map((nodeId) => createWorker(t, coordinator, { nodeId, plotJoinKey, challengePort }))
  await Promise.all(workers.map((worker) => worker.start()))
  assert.deepEqual(
    workers.map(({ identity }) => identity.identity().nodeId),
    ['a', 'b', 'c'],
  )
})

test('the challenge port is closed once joined', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  let port = 0
  const dial: EnrolmentDial = async (address, options) => {
    const session = await coordinator.dial(address, options)
    return {
      ...session,
      request: (method, path, json, signal) => {
        port ||= (json as { challenge_port?: number } | undefined)?.challenge_port ?? 0
        return session.request(method, path, json, signal)
      },
    }
  }
  await createWorker(t, coordinator, { plotJoinKey, dial }).start()
  assert.ok(port > 0)
  await assert.rejects(fetch(`http://127.0.0.1:${port}/`), /fetch failed/)
})

test('a token of another cluster is shown to nobody', async (t) => {
  const [coordinator, other] = [await setUp(t), await setUp(t)]
  const worker = createWorker(t, coordinator, { join: { token: await token(other) } })
  await assert.rejects(worker.start(), {
    code: 'P2P_PKI_UNTRUSTED_COORDINATOR',
    message: /join token is for the cluster/,
  })
  assert.ok(!coordinator.requests.includes('/internal/cert-request'))
})

test('somebody in the middle with a CA of its own gets no proof', async (t) => {
  const [coordinator, attacker] = [await setUp(t, { enrolment: { plotJoinKey } }), await setUp(t)]
  // It shows its own chain and passes every question on to the real coordinator.
  const dial: EnrolmentDial = async (address, options) => {
    const real = await coordinator.dial(address, options)
    const { peerChainPem } = await attacker.dial(address, options)
    return { ...real, peerChainPem, exporter: () => randomBytes(32) }
  }
  const withToken = createWorker(t, coordinator, { dial, join: { token: await token(coordinator) } })
  await assert.rejects(withToken.start(), { code: 'P2P_PKI_UNTRUSTED_COORDINATOR' })
  const withPlot = createWorker(t, coordinator, { dial, plotJoinKey })
  await assert.rejects(withPlot.start(), { code: 'P2P_PKI_UNTRUSTED_COORDINATOR' })
  assert.ok(!coordinator.requests.includes('/internal/cert-request'))
})

test('a worker does not take another worker for the coordinator', async (t) => {
  const coordinator = await setUp(t)
  const impostor = createWorker(t, coordinator, { nodeId: 'impostor', join: { token: await token(coordinator) } })
  await impostor.start()
  const dial: EnrolmentDial = async (address, options) => {
    const real = await coordinator.dial(address, options)
    return { ...real, peerChainPem: [impostor.identity.current().certificateChainPem] }
  }
  const worker = createWorker(t, coordinator, { dial, join: { token: await token(coordinator) } })
  await assert.rejects(worker.start(), { code: 'P2P_PKI_UNTRUSTED_COORDINATOR', message: /of worker impostor/ })
})

test('a coordinator that answers with a certificate for another key is not believed', async (t) => {
  const coordinator = await setUp(t)
  const other = createWorker(t, coordinator, { nodeId: 'other', join: { token: await token(coordinator) } })
  await other.start()
  const dial: EnrolmentDial = async (address, options) => {
    const real = await coordinator.dial(address, options)
    return {
      ...real,
      request: async (method, path, json, signal) => {
        const answer = await real.request(method, path, json, signal)
        const { certificateChainPem: certificate_chain } = other.identity.current()
        return path.endsWith('cert-request')
          ? { ...answer, body: { ...(answer.body as object), certificate_chain } }
          : answer
      },
    }
  }
  const worker = createWorker(t, coordinator, { dial, join: { token: await token(coordinator) } })
  await assert.rejects(worker.start(), { code: 'P2P_PKI_UNTRUSTED_COORDINATOR', message: /another key or name/ })
})

test('the refusals that will not change by themselves end the start with their code', async (t) => {
  const coordinator = await setUp(t)
  await createWorker(t, coordinator, { join: { token: await token(coordinator) } }).start()
  const taken = createWorker(t, coordinator, { join: { token: await token(coordinator) } })
  await assert.rejects(taken.start(), { code: 'P2P_PKI_NODE_ID_TAKEN' })

  const single = await token(coordinator)
  await createWorker(t, coordinator, { nodeId: 'worker-2', join: { token: single } }).start()
  const late = createWorker(t, coordinator, { nodeId: 'worker-3', join: { token: single } })
  await assert.rejects(late.start(), { code: 'P2P_PKI_TOKEN_USED_UP' })

  const short = await token(coordinator, { ttlMs: 60_000 })
  coordinator.clock.advance(60_000)
  const expired = createWorker(t, coordinator, { nodeId: 'worker-4', join: { token: short } })
  await assert.rejects(expired.start(), { code: 'P2P_PKI_TOKEN_EXPIRED', message: /coordinator:8001/ })

  assert.throws(() => createWorker(t, coordinator, { join: { token: 'P2P1-typo' } }), { code: 'P2P_PKI_TOKEN_INVALID' })
})

test('while the coordinator is unreachable a worker keeps trying, says so once, and joins when it is back', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  coordinator.network.isUp = false
  const worker = createWorker(t, coordinator, { plotJoinKey, clock: new ManualClock() })
  const started = worker.start()
  const waits = await letPass(worker, 12)
  assert.ok((waits[0] as number) <= 250 && (waits[0] as number) >= 125, String(waits))
  assert.ok(Math.max(...waits) <= 30_000 && (waits.at(-1) as number) >= 15_000, String(waits))
  assert.equal(worker.log.matching(/trying again/).length, 1)
  await until(() => worker.clock.waiting().length > 0)
  coordinator.network.isUp = true
  coordinator.clock.advance(worker.clock.wallMs() - coordinator.clock.wallMs())
  worker.clock.advance(30_000)
  await started
  assert.equal(worker.log.matching(/answers again/).length, 1)
})

test('the next of several coordinators is tried when one is unreachable', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const tried: string[] = []
  const dial: EnrolmentDial = (address, options) => {
    tried.push(address)
    return address === 'a:8001' ? Promise.reject(new Error('refused')) : coordinator.dial(address, options)
  }
  const worker = createWorker(t, coordinator, { plotJoinKey, dial, coordinatorAddresses: ['a:8001', 'b:8001'] })
  await worker.start()
  assert.deepEqual(tried, ['a:8001', 'b:8001'])
})

test('an address that is no coordinator is an obstacle that is named', async (t) => {
  const coordinator = await setUp(t)
  const dial: EnrolmentDial = async (address, options) => ({
    ...(await coordinator.dial(address, options)),
    request: () => Promise.resolve({ status: 404, body: '<html>' }),
  })
  const worker = createWorker(t, coordinator, { dial })
  const giveUp = new AbortController()
  const started = worker.identity.start(giveUp.signal)
  await letPass(worker, 1)
  assert.match(JSON.stringify(worker.log.lines), /is it the address of a coordinator\?/)
  giveUp.abort(new Error('given up'))
  await assert.rejects(started, /given up/)
})

test('a stranger shows both fingerprints, waits, and starts when it is approved', async (t) => {
  const coordinator = await setUp(t)
  const worker = createWorker(t, coordinator, { join: {} })
  const started = worker.start()
  await until(() => coordinator.enrolment.pending().length === 1)
  const [pending] = coordinator.enrolment.pending()
  await coordinator.enrolment.approve('worker-1', pending?.fingerprint)
  await started
  assert.equal(worker.identity.certificate().keyFingerprint, pending?.fingerprint)
})

/** A coordinator whose HTTP surface ends the wait for a person when the test says so. */
async function setUpPolled(t: TestContext) {
  let proved = 0
  let poll = new AbortController()
  const coordinator = await setUp(t, {
    fetchChallenge: async (target, signal) => {
      const answer = await fetchChallenge(target, signal)
      proved++
      return answer
    },
  })
  const dial: EnrolmentDial = async (address, options) => {
    const session = await coordinator.dial(address, options)
    poll = new AbortController()
    const request: typeof session.request = (method, path, json) => session.request(method, path, json, poll.signal)
    return { ...session, request }
  }
  /** Ends the given poll once it waits, counted from 1; the request before the first poll is answered at once. */
  const endPoll = async (number: number): Promise<void> => {
    await until(() => proved === number + 1)
    poll.abort()
    await until(() => coordinator.clock.waiting().includes(1_000))
  }
  return { coordinator, dial, endPoll }
}

test('a stranger that asks again is the same request, and says once that it waits', async (t) => {
  const { coordinator, dial, endPoll } = await setUpPolled(t)
  const worker = createWorker(t, coordinator, { dial })
  const started = worker.start()
  for (let poll = 1; poll <= 3; poll++) {
    await endPoll(poll)
    worker.clock.advance(1_000)
  }
  const [pending, ...others] = coordinator.enrolment.pending()
  assert.deepEqual(others, [])
  const said = worker.log.matching(/Waiting for approval/)
  assert.equal(said.length, 1)
  assert.equal(said[0]?.fields?.fingerprint, pending?.fingerprint)
  assert.equal(said[0]?.fields?.caFingerprint, coordinator.ca.trust.ca_fingerprint)
  assert.equal(coordinator.log.matching(/waits for approval/).length, 1)
  await coordinator.enrolment.approve('worker-1')
  await started
})

test('a stranger that waits for one cluster does not go over to another', async (t) => {
  const { coordinator, dial, endPoll } = await setUpPolled(t)
  const attacker = await setUp(t)
  let target = dial
  const worker = createWorker(t, coordinator, { dial: (address, options) => target(address, options) })
  const started = worker.start()
  await endPoll(1)
  target = attacker.dial
  worker.clock.advance(1_000)
  await assert.rejects(started, { code: 'P2P_PKI_UNTRUSTED_COORDINATOR', message: /this node waits for the cluster/ })
  // A token says for certain which cluster is meant.
  const withToken = createWorker(t, attacker, { store: worker.store, join: { token: await token(attacker) } })
  await withToken.start()
})

test('a rejected stranger ends, and its next start is a new request', async (t) => {
  const coordinator = await setUp(t)
  const worker = createWorker(t, coordinator)
  const rejected = assert.rejects(worker.start(), { code: 'P2P_PKI_REJECTED' })
  await until(() => coordinator.enrolment.pending().length === 1)
  const [first] = coordinator.enrolment.pending()
  await coordinator.enrolment.reject('worker-1')
  await rejected
  const again = createWorker(t, coordinator, { store: worker.store })
  const started = again.start()
  await until(() => coordinator.enrolment.pending().length === 1)
  assert.notEqual(coordinator.enrolment.pending()[0]?.fingerprint, first?.fingerprint)
  await coordinator.enrolment.approve('worker-1')
  await started
})

test('a crash between issue and store costs neither the token nor the node id', async (t) => {
  const coordinator = await setUp(t)
  const oneToken = await token(coordinator)
  const store = new MemoryStore()
  const dial: EnrolmentDial = async (address, options) => {
    const session = await coordinator.dial(address, options)
    const request: typeof session.request = async (method, path, json, signal) => {
      const answer = await session.request(method, path, json, signal)
      if (path.endsWith('cert-request')) store.failure = new Error('crashed')
      return answer
    }
    return { ...session, request }
  }
  const giveUp = new AbortController()
  const crashing = createWorker(t, coordinator, { store, dial, join: { token: oneToken } })
  const crashed = crashing.identity.start(giveUp.signal)
  await until(() => store.failure !== undefined && crashing.clock.waiting().length > 0)
  giveUp.abort(new Error('crashed'))
  await assert.rejects(crashed, /crashed/)

  store.failure = undefined
  const restarted = createWorker(t, coordinator, { store, join: { token: oneToken } })
  await restarted.start()
  assert.equal(restarted.identity.identity().nodeId, 'worker-1')
})

test('a certificate is renewed in place, with a new key, before it ends', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey }, ca: { leafLifetimeMs: 60_000 } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  for (let i = 0; i < 5; i++) {
    const before = worker.identity.certificate()
    const bothChanged = [changed(worker.identity), changed(coordinator.identity)]
    coordinator.clock.advance(30_500)
    await Promise.all(bothChanged)
    const after = worker.identity.certificate()
    assert.notEqual(after.keyFingerprint, before.keyFingerprint)
    assert.ok(before.notAfterMs > coordinator.clock.wallMs(), 'the old one had not ended')
    assert.equal(readCertificate(worker.identity.current().certificateChainPem).serial, after.serial)
  }
  assert.ok(!worker.log.text().includes('CRITICAL'))
})

test('sixty-second certificates last through a quarter of an hour in which the coordinator is away now and then', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey }, ca: { leafLifetimeMs: 60_000 } })
  let sessions = 0
  const dial: EnrolmentDial = async (address, options) => {
    const session = await coordinator.dial(address, options)
    sessions++
    return {
      ...session,
      close: async () => {
        sessions--
      },
    }
  }
  const worker = createWorker(t, coordinator, { plotJoinKey, dial })
  await worker.start()
  const serials = new Set<string>()
  for (let second = 0; second < 900; second += 5) {
    coordinator.network.isUp = second % 60 < 45
    coordinator.clock.advance(5_000)
    // Both identities wait for their next moment again, and nothing else does.
    await until(() => sessions === 0 && coordinator.clock.waiting().length === 2)
    const { notAfterMs, serial } = worker.identity.certificate()
    assert.ok(notAfterMs > coordinator.clock.wallMs(), `ended in second ${second}`)
    serials.add(serial)
  }
  assert.ok(serials.size >= 15, String(serials.size))
  assert.ok(worker.log.matching(/trying again/).length > 0, 'the coordinator was missed')
})

test('an address that appears is proved and put into the certificate', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  const before = worker.identity.certificate()
  worker.identity.addressesChanged()
  worker.names.ipAddresses = ['127.0.0.1', '127.0.0.2']
  // The listener on 127.0.0.1 does not answer there: not proved, so not in the certificate, and not asked for again.
  worker.names.dnsNames = ['localhost']
  const renewed = changed(worker.identity)
  worker.identity.addressesChanged()
  await renewed
  assert.notEqual(worker.identity.certificate().serial, before.serial)
  assert.deepEqual(worker.identity.certificate().ipAddresses, ['127.0.0.1', '::1'])
  const requests = coordinator.requests.length
  worker.identity.addressesChanged()
  await until(() => coordinator.clock.waiting().length > 0)
  assert.equal(coordinator.requests.length, requests)
})

test('a certificate is renewed before it is due when somebody wants it', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  const before = worker.identity.certificate()
  const renewed = changed(worker.identity)
  worker.identity.renewNow()
  await renewed
  assert.notEqual(worker.identity.certificate().serial, before.serial)
})

test('a change of address while the node was down is noticed at its next start', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  await worker.identity.stop()
  const again = createWorker(t, coordinator, { plotJoinKey, store: worker.store })
  again.names.dnsNames = ['new-name.test']
  await again.start()
  await changed(again.identity)
  assert.notEqual(again.identity.certificate().serial, worker.identity.certificate().serial)
})

test('a node that slept past the end of its certificate is renewed by its old key', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey }, ca: { leafLifetimeMs: 24 * HOUR_MS } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  await worker.identity.stop()
  coordinator.clock.advance(30 * 24 * HOUR_MS)
  await until(() => coordinator.identity.certificate().notAfterMs > coordinator.clock.wallMs())
  // Without plot or token: the old certificate is enough.
  const again = createWorker(t, coordinator, { store: worker.store })
  await again.start()
  assert.ok(again.identity.certificate().notAfterMs > coordinator.clock.wallMs())
})

test('a revoked node is refused at its renewal, keeps running, and says so', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey }, ca: { leafLifetimeMs: 60_000 } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  await coordinator.enrolment.revokeNode('worker-1')
  coordinator.clock.advance(31_000)
  await until(() => worker.log.text().includes('CRITICAL'))
  assert.match(worker.log.text(), /P2P_PKI_REVOKED/)
  await worker.identity.stop()
  coordinator.clock.advance(60_000)
  await until(() => coordinator.identity.certificate().notAfterMs > coordinator.clock.wallMs())
  const again = createWorker(t, coordinator, { plotJoinKey, store: worker.store })
  await assert.rejects(again.start(), { code: 'P2P_PKI_REVOKED' })
})

test('a revoked node that is given a new token joins again, with a new key', async (t) => {
  const coordinator = await setUp(t)
  const worker = createWorker(t, coordinator, { join: { token: await token(coordinator) } })
  await worker.start()
  const old = worker.identity.certificate()
  await worker.identity.stop()
  await coordinator.enrolment.revokeNode('worker-1')
  coordinator.clock.advance(1_000)
  const again = createWorker(t, coordinator, { store: worker.store, join: { token: await token(coordinator) } })
  await again.start()
  await changed(again.identity)
  const { serial, keyFingerprint } = again.identity.certificate()
  assert.notEqual(keyFingerprint, old.keyFingerprint)
  assert.ok(!coordinator.ca.revocations.isRevoked(serial))
})

/** A coordinator, the backup of it, and what it is once it was restored from that; `dial` leads to whichever is up. */
async function setUpRestored(t: TestContext, enrolment: CoordinatorSetup['enrolment'] = {}) {
  const before = await setUp(t, { enrolment })
  let backup = before.store.copy()
  let current = before
  return {
    before,
    dial: (...call: Parameters<EnrolmentDial>) => current.dial(...call),
    backUp: () => void (backup = before.store.copy()),
    restore: async (): Promise<Coordinator> => {
      current = await setUp(t, { enrolment, store: backup, clock: before.clock })
      return current
    },
  }
}

test('a node that joined after the backup its coordinator was restored from joins anew, by what admits it', async (t) => {
  const { before, dial, restore } = await setUpRestored(t, { plotJoinKey })
  const worker = createWorker(t, before, { dial, plotJoinKey })
  await worker.start()
  const old = worker.identity.certificate()
  const restored = await restore()
  assert.equal(restored.ca.issued(old.serial), undefined)
  const renewed = changed(worker.identity)
  worker.identity.renewNow()
  await renewed
  const { serial, keyFingerprint } = worker.identity.certificate()
  assert.notEqual(keyFingerprint, old.keyFingerprint)
  assert.equal(restored.ca.holder('worker-1')?.key_fingerprint, keyFingerprint)
  assert.match(worker.log.text(), /WARNING.*does not renew the certificate; joining anew.*restored from/s)
  // From here on it is a node like any other.
  const again = changed(worker.identity)
  worker.identity.renewNow()
  await again
  assert.notEqual(worker.identity.certificate().serial, serial)
  assert.equal((await restored.enrolment.revokeNode('worker-1')).length, 2)
})

test('one that nothing admits waits for a person, works on meanwhile, and both sides say what to do', async (t) => {
  const { before, dial, restore } = await setUpRestored(t)
  const worker = createWorker(t, before, { dial, join: { token: await token(before) } })
  await worker.start()
  const old = worker.identity.certificate()
  const restored = await restore()
  worker.identity.renewNow()
  await until(() => restored.enrolment.pending().length === 1)
  await until(() => /p2p nodes approve worker-1/.test(worker.log.text()))
  assert.match(restored.log.text(), /A node waits for approval/)
  assert.equal(worker.identity.certificate().serial, old.serial, 'it goes on with what it has')
  assert.doesNotMatch(worker.log.text(), /CRITICAL/)
  const renewed = changed(worker.identity)
  worker.clock.advance(1_000)
  await restored.enrolment.approve('worker-1')
  await renewed
  assert.equal(restored.ca.holder('worker-1')?.key_fingerprint, worker.identity.certificate().keyFingerprint)
})

test('one that was renewed after the backup is told apart from a thief of its name by a person', async (t) => {
  const { before, dial, backUp, restore } = await setUpRestored(t, { plotJoinKey })
  const worker = createWorker(t, before, { dial, plotJoinKey })
  await worker.start()
  const recorded = worker.identity.certificate()
  backUp()
  const first = changed(worker.identity)
  worker.identity.renewNow()
  await first
  const restored = await restore()
  worker.identity.renewNow()
  await until(() => restored.enrolment.pending().length === 1)
  assert.equal(restored.enrolment.pending()[0]?.replaces, recorded.keyFingerprint)
  assert.match(worker.log.text(), /A person must admit this node/)
  const renewed = changed(worker.identity)
  worker.clock.advance(1_000)
  await restored.enrolment.approve('worker-1')
  await renewed
  assert.ok(restored.ca.revocations.isRevoked(recorded.serial))
  assert.ok(!restored.ca.revocations.isRevoked(worker.identity.certificate().serial))
})

test('one that a person does not want ends its attempts and says so; it stays what it is until its certificate ends', async (t) => {
  const { before, dial, restore } = await setUpRestored(t)
  const worker = createWorker(t, before, { dial, join: { token: await token(before) } })
  await worker.start()
  const old = worker.identity.certificate()
  const restored = await restore()
  worker.identity.renewNow()
  await until(() => restored.enrolment.pending().length === 1)
  await restored.enrolment.reject('worker-1')
  worker.clock.advance(1_000)
  await until(() => worker.log.text().includes('CRITICAL'))
  assert.match(worker.log.text(), /P2P_PKI_REJECTED/)
  assert.equal(worker.identity.certificate().serial, old.serial)
})

test('a node that joins anew stays in its cluster, whoever else has its plot', async (t) => {
  const { before, dial, restore } = await setUpRestored(t, { plotJoinKey })
  const other = await setUp(t, { enrolment: { plotJoinKey }, clock: before.clock })
  let isRefused = false
  const worker = createWorker(t, before, {
    plotJoinKey,
    dial: (address, options) => (isRefused ? other.dial : dial)(address, options),
  })
  await worker.start()
  const restored = await restore()
  const request = restored.enrolment.request.bind(restored.enrolment)
  restored.enrolment.request = async (...asked) => {
    isRefused = true
    return request(...asked)
  }
  worker.identity.renewNow()
  await until(() => worker.log.text().includes('CRITICAL'))
  assert.match(worker.log.text(), /P2P_PKI_UNTRUSTED_COORDINATOR/)
  assert.equal(other.ca.holder('worker-1'), undefined)
})

test('a node moves to another cluster when it is given a token of that one', async (t) => {
  const [before, after] = [await setUp(t), await setUp(t)]
  const worker = createWorker(t, before, { join: { token: await token(before) } })
  await worker.start()
  await worker.identity.stop()
  const lost = createWorker(t, after, { store: worker.store })
  await lost.start()
  lost.names.dnsNames = ['new-name.test']
  lost.identity.addressesChanged()
  await until(() => lost.log.text().includes('CRITICAL'))
  assert.match(lost.log.text(), /this node belongs to the cluster with CA/)
  await lost.identity.stop()
  const moved = createWorker(t, after, { store: worker.store, join: { token: await token(after) } })
  await moved.start()
  assert.equal(moved.identity.identity().cluster, after.ca.cluster)
})

test('a clock an hour off is named as the cause, with its size, and joining goes on once it is right', async (t) => {
  for (const [hours, said] of [
    [-1, /60\.0 minutes behind/],
    [24 * 400, /9600\.0 hours ahead/],
  ] as const) {
    const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
    const clock = new ManualClock(coordinator.clock.wallMs() + hours * HOUR_MS)
    const worker = createWorker(t, coordinator, { plotJoinKey, clock })
    const started = worker.start()
    await until(() => worker.log.matching(/trying again/).length === 1)
    const [line] = worker.log.matching(/trying again/)
    assert.equal(line?.fields?.code, 'P2P_PKI_CLOCK_SKEW')
    assert.match(String(line?.fields?.reason), said)
    clock.setBy(-hours * HOUR_MS)
    await letPass(worker, 1)
    await started
  }
})

test('a clock a few minutes off is said and does no harm', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const clock = new ManualClock(coordinator.clock.wallMs() - 120_000)
  const worker = createWorker(t, coordinator, { plotJoinKey, clock })
  await worker.start()
  assert.equal(worker.log.matching(/2\.0 minutes behind/).length, 1)
})

test('an identity whose node id is no longer configured is not used', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const worker = createWorker(t, coordinator, { plotJoinKey })
  await worker.start()
  await worker.identity.stop()
  const renamed = createWorker(t, coordinator, { plotJoinKey, store: worker.store, nodeId: 'worker-2' })
  await renamed.start()
  assert.equal(renamed.identity.identity().nodeId, 'worker-2')
})

test('no key, secret or token gets into the log of either side', async (t) => {
  const coordinator = await setUp(t, { enrolment: { plotJoinKey } })
  const joinToken = await token(coordinator)
  const worker = createWorker(t, coordinator, { join: { token: joinToken } })
  await worker.start()
  const text = worker.log.text() + coordinator.log.text()
  const keyLine = worker.identity.current().keyPem.split('\n')[1] as string
  for (const secret of [keyLine, joinToken.split('-')[2] as string, plotJoinKey.toString('hex')]) {
    assert.ok(!text.includes(secret))
  }
})

test("the coordinator's own certificate is replaced when it is revoked, and kept over a restart", async (t) => {
  const coordinator = await setUp(t)
  const revoked = coordinator.identity.certificate()
  assert.deepEqual(revoked.dnsNames, ['coordinator.test', 'localhost'])
  assert.deepEqual(revoked.ipAddresses, ['10.0.0.1', '127.0.0.1', '::1'])
  const replaced = changed(coordinator.identity)
  await coordinator.enrolment.revokeNode('coordinator-1')
  await replaced
  const { serial } = coordinator.identity.certificate()
  assert.ok(!coordinator.ca.revocations.isRevoked(serial))
  const again = await setUp(t, { store: coordinator.store })
  assert.equal(again.identity.certificate().serial, serial)
})
