import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  type CertificateAuthority,
  type CertificateAuthorityOptions,
  createCertificateAuthority,
} from '../../../src/pki/coordinator/index.ts'
import { daysLeft, readCertificate, rootFingerprint } from '../../../src/pki/index.ts'
import { createCsr, generateNodeKey } from '../../../src/pki/x509/csr.ts'
import { splitCertificates } from '../../../src/pki/x509/pem.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { ManualClock } from './manual-clock.ts'
import { MemoryStore } from './memory-store.ts'
import { openssl, skipWithoutOpenssl } from './openssl.ts'
import { RecordingLogger } from './recording-logger.ts'

interface Setup {
  store: MemoryStore
  clock: ManualClock
  log: RecordingLogger
  ca: CertificateAuthority
}

async function start(options?: CertificateAuthorityOptions, given: Partial<Setup> = {}): Promise<Setup> {
  const store = given.store ?? new MemoryStore()
  const clock = given.clock ?? new ManualClock()
  const log = new RecordingLogger()
  const ca = createCertificateAuthority({ store, clock, random: systemRandom, log }, options)
  await ca.start(new AbortController().signal)
  return { store, clock, log, ca }
}

async function issue(ca: CertificateAuthority, nodeId: string, names: { dns?: string[]; ip?: string[] } = {}) {
  const csr = await ca.readCsr(createCsr(await generateNodeKey(), nodeId))
  const { dns = [], ip = [] } = names
  return ca.issue({ csr, identity: { nodeId, role: 'worker' }, dnsNames: dns, ipAddresses: ip })
}

test('openssl accepts every chain for servers and clients under its strict rules', {
  skip: skipWithoutOpenssl,
}, async () => {
  for (const leafLifetimeMs of [60_000, 86_400_000, 365 * 86_400_000]) {
    const { ca } = await start({ leafLifetimeMs, crlUrl: 'https://coordinator:8001/internal/crl' })
    const names = { dns: ['worker-1.test', 'localhost'], ip: ['10.1.2.3', '::1', 'fd00::7'] }
    const { certificateChainPem, rootPem } = await issue(ca, 'worker-1', names)
    const [leaf, issuing] = splitCertificates(certificateChainPem) as [string, string]
    for (const purpose of ['sslserver', 'sslclient']) {
      const { ok, output } = openssl(
        ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'root.pem', '-untrusted', 'issuing.pem', 'leaf.pem'],
        { 'root.pem': rootPem, 'issuing.pem': issuing, 'leaf.pem': leaf },
      )
      assert.ok(ok, `${purpose}, ${leafLifetimeMs} ms: ${output}`)
    }
  }
})

test('openssl refuses a revoked certificate by the CRL and accepts the others', {
  skip: skipWithoutOpenssl,
}, async () => {
  const { ca } = await start()
  const good = await issue(ca, 'good')
  const bad = await issue(ca, 'bad')
  const verify = async (chain: { certificateChainPem: string; rootPem: string }) => {
    const [leaf, issuing] = splitCertificates(chain.certificateChainPem) as [string, string]
    const files = { 'root.pem': chain.rootPem, 'issuing.pem': issuing, 'leaf.pem': leaf, 'crl.der': await ca.crl() }
    const crl = ['-crl_check', '-CRLfile', 'crl.der']
    return openssl(
      ['verify', '-x509_strict', ...crl, '-CAfile', 'root.pem', '-untrusted', 'issuing.pem', 'leaf.pem'],
      files,
    )
  }
  assert.ok((await verify(bad)).ok, 'an empty list revokes nobody')
  await ca.revokeNode('bad')
  assert.match((await verify(bad)).output, /certificate revoked/)
  const accepted = await verify(good)
  assert.ok(accepted.ok, accepted.output)
})

test('a leaf names its node, and only what was proved', async () => {
  const { ca } = await start({ cluster: 'office', crlUrl: 'https://c:8001/internal/crl' })
  const { certificateChainPem, record } = await issue(ca, 'worker-1', { dns: ['w.test'], ip: ['10.1.2.3', '::1'] })
  const facts = readCertificate(certificateChainPem)
  assert.deepEqual(facts.identity, { cluster: 'office', role: 'worker', nodeId: 'worker-1' })
  assert.deepEqual(facts.dnsNames, ['w.test'])
  assert.deepEqual(facts.ipAddresses, ['10.1.2.3', '::1'])
  assert.equal(facts.serial, record.serial)
  const leaf = new X509Certificate(certificateChainPem)
  assert.equal(leaf.ca, false)
  assert.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
})

test('a serial is positive and has 159 bits', async () => {
  const { ca } = await start()
  const { record } = await issue(ca, 'worker-1')
  assert.equal(record.serial.length, 40)
  assert.match(record.serial, /^[4-7]/)
})

test('the CA is created once and is the same after a restart', async () => {
  const { store, ca, clock } = await start()
  const chain = await issue(ca, 'worker-1')
  await ca.revokeNode('worker-1')
  const again = (await start({}, { store, clock })).ca
  assert.deepEqual(again.trust, ca.trust)
  assert.match(again.cluster, /^p2p-[0-9a-f]{8}$/)
  assert.equal(again.cluster.slice(4), again.trust.ca_fingerprint.slice(0, 8))
  assert.ok(again.revocations.isRevoked(chain.record.serial))
  assert.equal(again.describe().issued.length, 1)
})

test('of two that create the CA at once, one wins and both use it', async () => {
  const store = new MemoryStore()
  const [a, b] = await Promise.all([start({}, { store }), start({}, { store })])
  assert.equal(a.ca.trust.ca_fingerprint, b.ca.trust.ca_fingerprint)
})

test('a cluster keeps its name', async () => {
  const { store } = await start({ cluster: 'first' })
  const { ca, log } = await start({ cluster: 'second' }, { store })
  assert.equal(ca.cluster, 'first')
  assert.equal(log.matching(/keeps the name/).length, 1)
})

test('no certificate leaves before its record is durable', async () => {
  const { ca, store } = await start()
  store.failure = new Error('disk full')
  await assert.rejects(issue(ca, 'worker-1'), /disk full/)
  store.failure = undefined
  assert.deepEqual(ca.describe().issued, [])
  assert.equal(ca.holder('worker-1'), undefined)
  await issue(ca, 'worker-1')
  assert.equal(store.keys('pki/issued/').length, 1)
})

test('many certificates at once are all recorded, with different serials', async () => {
  const { ca, store } = await start()
  const names = Array.from({ length: 60 }, (_, i) => `worker-${i}`)
  const chains = await Promise.all(names.map((name) => issue(ca, name)))
  assert.equal(new Set(chains.map(({ record }) => record.serial)).size, 60)
  assert.equal(store.keys('pki/issued/').length, 60)
})

test('two certificates for one node at once are both recorded', async () => {
  const { ca, store } = await start()
  await Promise.all([issue(ca, 'worker-1'), issue(ca, 'worker-1')])
  assert.equal(store.keys('pki/issued/').length, 2)
  assert.equal((await ca.revokeNode('worker-1')).length, 2)
})

test('a certificate is backdated by minutes, a short-lived one by half its life', async () => {
  const { ca, clock } = await start({ leafLifetimeMs: 60_000 })
  const short = readCertificate((await issue(ca, 'short')).certificateChainPem)
  assert.equal(Math.round((short.notAfterMs - short.notBeforeMs) / 1_000), 90)
  assert.ok(short.notAfterMs - clock.wallMs() <= 60_000)
  const { ca: longCa, clock: longClock } = await start()
  longClock.advance(1_500 - (longClock.wallMs() % 1_000))
  const long = readCertificate((await issue(longCa, 'long')).certificateChainPem)
  const nowMs = longClock.wallMs() - 500
  assert.equal(nowMs - long.notBeforeMs, 300_000)
  assert.equal(long.notAfterMs - nowMs, 365 * 86_400_000)
  assert.equal(daysLeft(long, nowMs), 365)
  assert.equal(daysLeft(long, nowMs + 1), 364)
})

test('a leaf does not outlive its CA', async () => {
  const { ca, clock } = await start()
  const caEndMs = ca.describe().not_after_ms
  clock.advance(caEndMs - clock.wallMs() - 86_400_000)
  assert.equal(readCertificate((await issue(ca, 'late')).certificateChainPem).notAfterMs, caEndMs)
  clock.advance(86_400_001)
  await assert.rejects(issue(ca, 'too-late'), { code: 'P2P_PKI_CLOCK_SKEW' })
})

test('revoking covers all certificates of a node, is told to listeners, and counts once', async () => {
  const { ca } = await start()
  const first = await issue(ca, 'worker-1')
  const second = await issue(ca, 'worker-1')
  const other = await issue(ca, 'worker-2')
  let calls = 0
  const unlisten = ca.revocations.onChange(() => calls++)
  assert.equal((await ca.revokeNode('worker-1')).length, 2)
  assert.equal(calls, 1)
  assert.deepEqual(await ca.revokeNode('worker-1'), [])
  assert.ok(ca.revocations.isRevoked(first.record.serial))
  assert.ok(ca.revocations.isRevoked(second.record.serial))
  assert.ok(!ca.revocations.isRevoked(other.record.serial))
  unlisten()
  await ca.revokeNode('worker-2')
  assert.equal(calls, 1)
  await assert.rejects(ca.revokeNode('nobody'), { code: 'P2P_PKI_REQUEST_UNKNOWN' })
})

test('the CRL is signed anew when its time runs out, and is the same bytes until then', async () => {
  const { ca, clock } = await start()
  const first = await ca.crl()
  assert.equal(await ca.crl(), first)
  clock.advance(13 * 3_600_000)
  assert.notDeepEqual(await ca.crl(), first)
})

test('expired certificates are forgotten but for the newest, so that short lives do not fill the store', async () => {
  const { ca, clock, store } = await start({ leafLifetimeMs: 60_000 })
  for (let i = 0; i < 20; i++) {
    await issue(ca, 'worker-1')
    clock.advance(61_000)
  }
  const kept = store.keys('pki/issued/').length
  assert.equal(kept, 9)
  assert.equal(ca.describe().issued.length, kept)
})

test('the fingerprint is that of the root key, the same for any certificate of it', async () => {
  const { ca } = await start()
  const { ca_certificate, ca_fingerprint } = ca.trust
  assert.equal(rootFingerprint(ca_certificate), ca_fingerprint)
  assert.equal(readCertificate(ca_certificate).keyFingerprint, ca_fingerprint)
  const root = new X509Certificate(ca_certificate)
  assert.ok(root.ca && root.verify(root.publicKey))
})
