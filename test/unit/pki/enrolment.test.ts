import assert from 'node:assert/strict'
import 'reflect-metadata'
import { createPublicKey, type KeyObject, randomBytes, webcrypto, X509Certificate } from 'node:crypto'
import { test } from 'node:test'
import {
  BasicConstraintsExtension,
  Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509'
import type { CertificateAnswer, CertificateRequest, JoinProof } from '../../../src/base/enrolment.ts'
import type { NodeRole } from '../../../src/base/identity.ts'
import { parseJoinToken, readCertificate } from '../../../src/pki/index.ts'
import { keyAuthorization } from '../../../src/pki/challenge.ts'
import { tokenId, tokenKey } from '../../../src/pki/join-token.ts'
import { joinMac } from '../../../src/pki/proof.ts'
import { createCsr, generateNodeKey } from '../../../src/pki/x509/csr.ts'
import { keyFingerprint } from '../../../src/pki/x509/certificate-facts.ts'
import { fromPem } from '../../../src/pki/x509/pem.ts'
import { type Coordinator, connectionOf, type CoordinatorSetup, startCoordinator } from './coordinator.ts'
import { until } from './until.ts'

/** A requester written out by hand, so that it can do everything wrong. */
class Requester {
  readonly key: KeyObject
  readonly challenge = randomBytes(32).toString('base64url')
  readonly exporter = randomBytes(32)
  remoteAddress = '10.0.0.7'
  chainPem: string | undefined

  constructor(key: KeyObject) {
    this.key = key
  }

  get fingerprint(): string {
    return keyFingerprint(createPublicKey(this.key))
  }

  get keyAuthorization(): string {
    return keyAuthorization(this.challenge, createPublicKey(this.key).export({ type: 'spki', format: 'der' }))
  }

  get connection() {
    return connectionOf(this.remoteAddress, this.exporter, this.chainPem)
  }

  nonce({ enrolment }: Coordinator): string {
    return enrolment.nonce('n'.repeat(16), this.connection).nonce
  }

  request(
    coordinator: Coordinator,
    changes: Partial<CertificateRequest> & {
      key?: Uint8Array
      kind?: 'plot' | 'host' | 'token'
      tokenId?: string
    } = {},
  ): CertificateRequest {
    const { key, kind = 'plot', tokenId: token_id = '', ...rest } = changes
    const request: CertificateRequest = {
      node_id: 'worker-1',
      role: 'worker',
      csr: createCsr(this.key, 'worker-1'),
      ip_addresses: [],
      dns_names: [],
      challenge: this.challenge,
      challenge_port: 8802,
      nonce: rest.nonce ?? this.nonce(coordinator),
      proof: { kind: 'none' },
      ...rest,
    }
    if (key) {
      const csrDer = fromPem('CERTIFICATE REQUEST', request.csr) as Uint8Array
      const { node_id: nodeId, role, nonce } = request
      const mac = joinMac(key, { exporter: this.exporter, csrDer, nodeId, role, nonce })
      request.proof = (kind === 'token' ? { kind, token_id, mac } : { kind, mac }) as JoinProof
    }
    return request
  }

  send(
    coordinator: Coordinator,
    request: CertificateRequest,
    signal = new AbortController().signal,
  ): Promise<CertificateAnswer> {
    return coordinator.enrolment.request(request, this.connection, signal)
  }

  /** A request with a token's proof. */
  withToken(coordinator: Coordinator, token: string, changes: Partial<CertificateRequest> = {}): CertificateRequest {
    const { secret } = parseJoinToken(token)
    return this.request(coordinator, { ...changes, key: tokenKey(secret), kind: 'token', tokenId: tokenId(secret) })
  }
}

/** Asks for everything that a worker must not have. */
async function csrWithExtensions(key: KeyObject): Promise<string> {
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: 'CN=coordinator-1,O=absurd',
    keys: {
      privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, false, ['sign']),
      publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
    },
    signingAlgorithm: algorithm,
    extensions: [
      new BasicConstraintsExtension(true, 9, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      new SubjectAlternativeNameExtension([
        { type: 'url', value: 'spiffe://test/node/coordinator/coordinator-1' },
        { type: 'dns', value: 'absurd.test' },
        { type: 'ip', value: '10.0.0.1' },
      ]),
      new Extension('1.2.3.4.5.6', true, new TextEncoder().encode('absurd').buffer as ArrayBuffer),
    ],
  })
  return request.toString('pem')
}

const plotJoinKey = randomBytes(32)
const hostJoinKey = randomBytes(32)

/** A coordinator whose callbacks reach `requesters` at their own addresses. */
async function setUp(setup: CoordinatorSetup = {}) {
  const requesters: Requester[] = []
  const called: string[] = []
  const coordinator = await startCoordinator({
    enrolment: { plotJoinKey, hostJoinKey },
    fetchChallenge: async ({ address, challenge }) => {
      called.push(address)
      const found = requesters.find(
        (requester) => requester.challenge === challenge && requester.remoteAddress === address,
      )
      if (!found) throw new Error('connection refused')
      return found.keyAuthorization
    },
    ...setup,
  })
  const create = async (): Promise<Requester> => {
    const requester = new Requester(await generateNodeKey())
    requesters.push(requester)
    return requester
  }
  const createToken = async (options: { role?: NodeRole; uses?: number; ttlMs?: number } = {}): Promise<string> =>
    (await coordinator.enrolment.createToken({ role: 'worker', uses: 1, ttlMs: 600_000, ...options })).token
  return { coordinator, called, create, createToken }
}

function leafOf(answer: CertificateAnswer) {
  assert.equal(answer.status, 'issued')
  return readCertificate((answer as CertificateAnswer & { status: 'issued' }).certificate_chain)
}

function code(code: string): { code: string } {
  return { code }
}

test('the plot, this host and a token each admit a worker', async () => {
  const { coordinator, create, createToken } = await setUp()
  const [plot, host, token] = [await create(), await create(), await create()]
  const viaPlot = await plot.send(coordinator, plot.request(coordinator, { node_id: 'a', key: plotJoinKey }))
  const viaHost = await host.send(
    coordinator,
    host.request(coordinator, { node_id: 'b', key: hostJoinKey, kind: 'host' }),
  )
  const viaToken = await token.send(coordinator, token.withToken(coordinator, await createToken(), { node_id: 'c' }))
  assert.deepEqual(
    [viaPlot, viaHost, viaToken].map((answer) => leafOf(answer).identity?.nodeId),
    ['a', 'b', 'c'],
  )
})

test('a forged, borrowed or relayed proof is refused, and nothing is issued', async () => {
  const { coordinator, create, createToken } = await setUp()
  const issuedBefore = coordinator.ca.describe().issued.length
  const requester = await create()
  const token = await createToken()
  const refuse = async (request: CertificateRequest, from = requester): Promise<void> =>
    assert.rejects(from.send(coordinator, request), code('P2P_PKI_PROOF_REJECTED'))

  await refuse(requester.request(coordinator, { key: randomBytes(32) }))
  await refuse(requester.request(coordinator, { key: plotJoinKey, kind: 'host' }))
  await refuse({ ...requester.request(coordinator, { key: plotJoinKey }), node_id: 'worker-2' })
  await refuse({
    ...requester.request(coordinator, { key: plotJoinKey }),
    csr: createCsr(await generateNodeKey(), 'x'),
  })
  await refuse({ ...requester.withToken(coordinator, token), role: 'coordinator' })
  // Somebody in the middle took the request and sends it over a connection of its own, with a nonce of its own.
  const relay = await create()
  const victims = requester.withToken(coordinator, token)
  await refuse({ ...victims, nonce: relay.nonce(coordinator) }, relay)
  assert.equal(coordinator.ca.describe().issued.length, issuedBefore)
  assert.equal((await coordinator.enrolment.listTokens())[0]?.uses_left, 1, 'no use was taken')
})

test('a request cannot be replayed', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const request = requester.request(coordinator, { key: plotJoinKey })
  leafOf(await requester.send(coordinator, request))
  await assert.rejects(requester.send(coordinator, request), code('P2P_PKI_NONCE_INVALID'))
})

test('a nonce of another connection and an old one are refused', async () => {
  const { coordinator, create } = await setUp()
  const [a, b] = [await create(), await create()]
  const borrowed = a.request(coordinator, { nonce: b.nonce(coordinator), key: plotJoinKey })
  await assert.rejects(a.send(coordinator, borrowed), code('P2P_PKI_NONCE_INVALID'))
  const old = a.request(coordinator, { key: plotJoinKey })
  coordinator.clock.advance(60_000)
  await assert.rejects(a.send(coordinator, old), code('P2P_PKI_NONCE_INVALID'))
})

test('each way a token can be wrong has its own error', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  const send = async (token: string, changes: Partial<CertificateRequest> = {}): Promise<CertificateAnswer> =>
    requester.send(coordinator, requester.withToken(coordinator, token, changes))

  const otherCluster = `P2P1-${'0'.repeat(64)}-${'1'.repeat(32)}`
  await assert.rejects(send(otherCluster), code('P2P_PKI_TOKEN_INVALID'))

  const revoked = await createToken()
  await coordinator.enrolment.revokeToken((await coordinator.enrolment.listTokens())[0]?.token_id ?? '')
  await assert.rejects(send(revoked), code('P2P_PKI_TOKEN_INVALID'))

  const expired = await createToken({ ttlMs: 60_000 })
  coordinator.clock.advance(60_000)
  await assert.rejects(send(expired), code('P2P_PKI_TOKEN_EXPIRED'))

  const single = await createToken()
  leafOf(await send(single))
  const second = await create()
  const again = second.withToken(coordinator, single, { node_id: 'worker-2' })
  await assert.rejects(second.send(coordinator, again), code('P2P_PKI_TOKEN_USED_UP'))

  const forWorkers = await createToken({ uses: 2 })
  await assert.rejects(send(forWorkers, { role: 'coordinator' }), code('P2P_PKI_PROOF_REJECTED'))
})

test('a key that has joined with a token cannot use it for another name or role', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  const token = await createToken()
  leafOf(await requester.send(coordinator, requester.withToken(coordinator, token)))
  const otherName = requester.withToken(coordinator, token, { node_id: 'worker-2' })
  await assert.rejects(requester.send(coordinator, otherName), code('P2P_PKI_TOKEN_USED_UP'))
  const otherRole = requester.withToken(coordinator, token, { node_id: 'coordinator-2', role: 'coordinator' })
  await assert.rejects(requester.send(coordinator, otherRole), code('P2P_PKI_PROOF_REJECTED'))
})

test('a coordinator joins only with a token made for one', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  const asCoordinator = { node_id: 'coordinator-2', role: 'coordinator' as const }
  for (const kind of ['plot', 'host'] as const) {
    const key = kind === 'plot' ? plotJoinKey : hostJoinKey
    const request = requester.request(coordinator, { ...asCoordinator, key, kind })
    await assert.rejects(requester.send(coordinator, request), code('P2P_PKI_PROOF_REJECTED'))
  }
  const token = await createToken({ role: 'coordinator' })
  const answer = await requester.send(coordinator, requester.withToken(coordinator, token, asCoordinator))
  assert.equal(leafOf(answer).identity?.role, 'coordinator')
})

test('a token of five uses admits exactly five of ten that come at once', async () => {
  const { coordinator, create, createToken } = await setUp()
  const token = await createToken({ uses: 5 })
  const requesters = await Promise.all(Array.from({ length: 10 }, create))
  const results = await Promise.allSettled(
    requesters.map((requester, i) =>
      requester.send(coordinator, requester.withToken(coordinator, token, { node_id: `worker-${i}` })),
    ),
  )
  const refused = results.filter((result) => result.status === 'rejected')
  assert.equal(refused.length, 5)
  for (const { reason } of refused) assert.equal(reason.code, 'P2P_PKI_TOKEN_USED_UP')
  assert.equal((await coordinator.enrolment.listTokens())[0]?.uses_left, 0)
})

test('the secret of a token is stored nowhere', async () => {
  const { coordinator, createToken } = await setUp()
  const token = await createToken()
  const secret = token.split('-')[2] as string
  assert.ok(!coordinator.store.dump().includes(secret))
  assert.ok(!coordinator.log.text().includes(secret))
})

test('the options of a token are checked', async () => {
  const { createToken } = await setUp()
  for (const options of [
    { uses: 0 },
    { uses: 1.5 },
    { uses: 1_001 },
    { ttlMs: 0 },
    { ttlMs: Number.NaN },
    { ttlMs: 1e12 },
  ]) {
    await assert.rejects(createToken(options), code('P2P_RPC_INVALID_PARAMS'))
  }
})

test('there are a thousand tokens at most, however many are made at once', async () => {
  const { coordinator, createToken } = await setUp()
  const outcomes = await Promise.allSettled(Array.from({ length: 1_010 }, () => createToken()))
  const refused = outcomes.filter(({ status }) => status === 'rejected') as PromiseRejectedResult[]
  assert.deepEqual(new Set(refused.map(({ reason }) => (reason as { code: string }).code)), new Set(['P2P_PKI_BUSY']))
  assert.deepEqual([refused.length, (await coordinator.enrolment.listTokens()).length], [10, 1_000])
})

test('a token that ended is listed for a day', async () => {
  const { coordinator, createToken } = await setUp()
  await createToken({ ttlMs: 60_000 })
  coordinator.clock.advance(3_600_000)
  assert.equal((await coordinator.enrolment.listTokens()).length, 1)
  coordinator.clock.advance(86_400_000)
  assert.deepEqual(await coordinator.enrolment.listTokens(), [])
  assert.deepEqual(coordinator.store.keys('pki/tokens/'), [])
})

test('without an answer to the challenge there is no certificate, and no use of the token is taken', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  requester.remoteAddress = '10.0.0.7'
  const token = await createToken()
  const elsewhere = requester.withToken(coordinator, token)
  requester.remoteAddress = '10.0.0.8'
  const connection = connectionOf('10.0.0.7', requester.exporter)
  await assert.rejects(coordinator.enrolment.request(elsewhere, connection, new AbortController().signal), {
    code: 'P2P_PKI_CHALLENGE_FAILED',
    message: /10\.0\.0\.7, port 8802.*connection refused/,
  })
  assert.equal((await coordinator.enrolment.listTokens())[0]?.uses_left, 1)
})

test('an answer for another key does not prove an address', async () => {
  const { coordinator, create } = await setUp({
    fetchChallenge: async ({ challenge }) => `${challenge}.${'x'.repeat(43)}`,
  })
  const requester = await create()
  const request = requester.request(coordinator, { key: plotJoinKey })
  await assert.rejects(requester.send(coordinator, request), {
    code: 'P2P_PKI_CHALLENGE_FAILED',
    message: /another key/,
  })
})

test('a challenge server that does not answer is given 5 s', async () => {
  const asked = Promise.withResolvers<void>()
  const { coordinator, create } = await setUp({
    fetchChallenge: () => {
      asked.resolve()
      return new Promise(() => {})
    },
  })
  const requester = await create()
  const answer = requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey }))
  await asked.promise
  coordinator.clock.advance(5_000)
  await assert.rejects(answer, { code: 'P2P_PKI_CHALLENGE_FAILED', message: /no answer within 5 s/ })
})

test('only proved addresses get into the certificate; the others are left out and named in the log', async () => {
  const { coordinator, create, called } = await setUp({
    fetchChallenge: async ({ address }) => {
      called.push(address)
      if (address === '10.0.0.99') throw new Error('connection refused')
      return requester.keyAuthorization
    },
  })
  const requester: Requester = await create()
  const ip_addresses = [
    '10.0.0.7',
    '::ffff:10.0.0.9',
    '10.0.0.99',
    '169.254.1.1',
    '127.0.0.1',
    'fe80::1%eth0',
    'nonsense',
    '224.0.0.1',
  ]
  const answer = await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey, ip_addresses }))
  assert.deepEqual(leafOf(answer).ipAddresses.sort(), ['10.0.0.7', '10.0.0.9'])
  assert.deepEqual(called.sort(), ['10.0.0.7', '10.0.0.9', '10.0.0.99'], 'no other address was called')
  const [line] = coordinator.log.matching(/not proved/)
  assert.deepEqual(line?.fields?.addresses, [
    '10.0.0.99',
    '169.254.1.1',
    '127.0.0.1',
    'fe80::1%eth0',
    'nonsense',
    '224.0.0.1',
  ])
})

test('who comes over loopback gets the loopback names', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  requester.remoteAddress = '::ffff:127.0.0.1'
  const sameHost = requester.request(coordinator, { key: plotJoinKey })
  requester.remoteAddress = '127.0.0.1'
  const leaf = leafOf(await requester.send(coordinator, sameHost))
  assert.deepEqual(leaf.ipAddresses, ['127.0.0.1', '::1'])
  assert.deepEqual(leaf.dnsNames, ['localhost'])
})

test('a DNS name counts when it leads to a proved address', async () => {
  const { coordinator, create } = await setUp({
    resolveHost: async (name) => ({ 'good.test': ['10.0.0.7'], 'other.test': ['10.0.0.1'] })[name] ?? [],
  })
  const requester = await create()
  const dns_names = ['Good.test', 'other.test', 'unknown.test', 'localhost', '*.good.test']
  const answer = await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey, dns_names }))
  assert.deepEqual(leafOf(answer).dnsNames, ['good.test'])
})

test('a name that leads elsewhere at each look makes the coordinator call nobody: only addresses are called', async () => {
  let looks = 0
  const { coordinator, create, called } = await setUp({
    resolveHost: async () => [['10.0.0.7', '169.254.169.254', '127.0.0.1'][looks++ % 3] as string],
  })
  const requester = await create()
  const dns_names = ['rebinding.test', 'rebinding.test', 'again.test']
  const request = requester.request(coordinator, {
    key: plotJoinKey,
    dns_names,
    ip_addresses: ['rebinding.test', '0x7f000001', '2130706433', '127.1', '[::1]', '10.0.0.7:22'],
  })
  const leaf = leafOf(await requester.send(coordinator, request))
  assert.deepEqual([...new Set(called)], ['10.0.0.7'])
  assert.deepEqual(leaf.ipAddresses, ['10.0.0.7'])
})

test('extensions in the CSR count for nothing: no CA, no other identity, no other use, nothing unknown', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const csr = await csrWithExtensions(requester.key)
  const request = requester.request(coordinator, { key: plotJoinKey, csr })
  const answer = (await requester.send(coordinator, request)) as CertificateAnswer & { status: 'issued' }
  const certificate = new X509Certificate(answer.certificate_chain)
  assert.equal(certificate.ca, false)
  assert.equal(certificate.subject, 'CN=worker-1')
  assert.match(
    certificate.subjectAltName ?? '',
    /^URI:spiffe:\/\/[^/]+\/node\/worker\/worker-1, IP Address:10\.0\.0\.7$/,
  )
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.1', '1.3.6.1.5.5.7.3.2'])
  assert.ok(!certificate.raw.includes(Buffer.from('absurd')))
})

test('names in the CSR count for nothing', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const csr = createCsr(requester.key, 'coordinator-1')
  const leaf = leafOf(await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey, csr })))
  assert.equal(leaf.identity?.nodeId, 'worker-1')
  assert.deepEqual(leaf.dnsNames, [])
})

test('a node id belongs to the key that first used it', async () => {
  const { coordinator, create, createToken } = await setUp()
  const [first, second] = [await create(), await create()]
  leafOf(await first.send(coordinator, first.request(coordinator, { key: plotJoinKey })))
  const taken = code('P2P_PKI_NODE_ID_TAKEN')
  await assert.rejects(second.send(coordinator, second.request(coordinator, { key: plotJoinKey })), taken)
  await assert.rejects(second.send(coordinator, second.withToken(coordinator, await createToken())), taken)
  const asCoordinator = second.request(coordinator, { node_id: 'coordinator-1', key: plotJoinKey })
  await assert.rejects(second.send(coordinator, asCoordinator), taken)
})

test('two keys that claim one node id at once: one gets it', async () => {
  const { coordinator, create } = await setUp()
  const both = [await create(), await create()]
  const results = await Promise.allSettled(
    both.map((requester) => requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey }))),
  )
  assert.deepEqual(results.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  const refused = results.find((result) => result.status === 'rejected')
  assert.equal(refused?.reason.code, 'P2P_PKI_NODE_ID_TAKEN')
})

test('the same key gets its certificate again when the answer was lost', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  const token = await createToken()
  for (let i = 0; i < 2; i++) leafOf(await requester.send(coordinator, requester.withToken(coordinator, token)))
  coordinator.clock.advance(3_600_000)
  leafOf(await requester.send(coordinator, requester.withToken(coordinator, token)))
})

test('a revoked node is out: its key, its certificate, its plot, and tokens from before', async () => {
  const { coordinator, create, createToken } = await setUp()
  const oldToken = await createToken({ uses: 9 })
  const requester = await create()
  const answer = await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey }))
  coordinator.clock.advance(1_000)
  await coordinator.enrolment.revokeNode('worker-1')
  coordinator.clock.advance(1_000)
  const revoked = code('P2P_PKI_REVOKED')

  await assert.rejects(requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey })), revoked)
  const newKey = await create()
  await assert.rejects(newKey.send(coordinator, newKey.request(coordinator, { key: plotJoinKey })), revoked)
  await assert.rejects(newKey.send(coordinator, newKey.withToken(coordinator, oldToken)), revoked)
  newKey.chainPem = (answer as CertificateAnswer & { status: 'issued' }).certificate_chain
  await assert.rejects(newKey.send(coordinator, newKey.request(coordinator)), revoked)

  const admitted = await create()
  leafOf(await admitted.send(coordinator, admitted.withToken(coordinator, await createToken())))
})

test('a banned node is out whatever it shows, under its name and with its keys, until the ban is lifted', async () => {
  const { coordinator, create, createToken } = await setUp()
  const { enrolment, clock } = coordinator
  const requester = await create()
  const answer = await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey }))
  const ban = await enrolment.banNode('worker-1', { reason: 'sold' })
  assert.deepEqual(ban.key_fingerprints, [requester.fingerprint])
  assert.ok(coordinator.ca.revocations.isRevoked(leafOf(answer).serial))
  clock.advance(1_000)
  const banned = code('P2P_PKI_BANNED')

  const other = await create()
  const waysIn = [
    async (from: Requester, name: string) => from.request(coordinator, { node_id: name, key: plotJoinKey }),
    async (from: Requester, name: string) => from.request(coordinator, { node_id: name }),
    async (from: Requester, name: string) =>
      from.withToken(coordinator, await createToken(), { node_id: name, csr: createCsr(from.key, name) }),
  ]
  for (const wayIn of waysIn) {
    await assert.rejects(other.send(coordinator, await wayIn(other, 'worker-1')), banned)
    await assert.rejects(requester.send(coordinator, await wayIn(requester, 'worker-9')), banned)
  }
  other.chainPem = (answer as CertificateAnswer & { status: 'issued' }).certificate_chain
  await assert.rejects(other.send(coordinator, other.request(coordinator)), banned)
  assert.deepEqual(enrolment.pending(), [])

  const again = await startCoordinator({ store: coordinator.store, clock, enrolment: { plotJoinKey } })
  const late = again.enrolment.request(
    other.request(again, { key: plotJoinKey }),
    other.connection,
    new AbortController().signal,
  )
  await assert.rejects(late, banned)
  assert.equal(again.enrolment.bans()[0]?.reason, 'sold')

  await enrolment.unbanNode('worker-1')
  await assert.rejects(enrolment.unbanNode('worker-1'), code('P2P_PKI_REQUEST_UNKNOWN'))
  const admitted = await create()
  leafOf(await admitted.send(coordinator, admitted.withToken(coordinator, await createToken())))
})

test('a ban takes a waiting stranger out of the queue, and a node that is being let in does not slip through', async () => {
  const { coordinator, create } = await setUp()
  const stranger = await create()
  const waiting = await stranger.send(coordinator, stranger.request(coordinator))
  assert.equal(waiting.status, 'pending')
  await coordinator.enrolment.banNode('worker-1')
  assert.deepEqual(coordinator.enrolment.pending(), [])

  const late = await create()
  let banning: Promise<unknown> | undefined
  const racing = await setUp({
    fetchChallenge: async () => {
      banning = racing.coordinator.enrolment.banNode('worker-1')
      await banning
      return late.keyAuthorization
    },
  })
  await assert.rejects(
    late.send(racing.coordinator, late.request(racing.coordinator, { key: plotJoinKey })),
    code('P2P_PKI_BANNED'),
  )
  assert.equal(racing.coordinator.ca.holder('worker-1'), undefined)
})

test('a shown certificate renews its own name only', async () => {
  const { coordinator, create } = await setUp({ ca: { leafLifetimeMs: 60_000 } })
  const requester = await create()
  const answer = await requester.send(coordinator, requester.request(coordinator, { key: plotJoinKey }))
  coordinator.clock.advance(86_400_000)
  const renewing = await create()
  renewing.chainPem = (answer as CertificateAnswer & { status: 'issued' }).certificate_chain
  const rejected = code('P2P_PKI_PROOF_REJECTED')
  await assert.rejects(renewing.send(coordinator, renewing.request(coordinator, { node_id: 'worker-2' })), rejected)
  await assert.rejects(renewing.send(coordinator, renewing.request(coordinator, { role: 'coordinator' })), rejected)
  const leaf = leafOf(await renewing.send(coordinator, renewing.request(coordinator)))
  assert.equal(leaf.keyFingerprint, renewing.fingerprint)
})

test('a certificate of another cluster renews nothing: its holder is a stranger', async () => {
  const [here, there] = [await setUp(), await setUp()]
  const requester = await there.create()
  const foreign = await requester.send(there.coordinator, requester.request(there.coordinator, { key: plotJoinKey }))
  const stranger = await here.create()
  stranger.chainPem = (foreign as CertificateAnswer & { status: 'issued' }).certificate_chain
  const waiting = new AbortController()
  const answer = stranger.send(here.coordinator, stranger.request(here.coordinator), waiting.signal)
  await until(() => here.coordinator.enrolment.pending().length === 1)
  waiting.abort()
  assert.equal((await answer).status, 'pending')
})

/** Asks as a node does: the first answer is "pending" at once, and says so; the next comes with the decision. */
async function askAgain(
  coordinator: Coordinator,
  requester: Requester,
  changes: Partial<CertificateRequest> = {},
): Promise<{ answer: Promise<CertificateAnswer> }> {
  const first = await requester.send(coordinator, requester.request(coordinator, changes))
  assert.equal(first.status, 'pending')
  return { answer: requester.send(coordinator, requester.request(coordinator, changes)) }
}

test('a stranger waits, is shown with its fingerprint, and has its certificate at the moment of approval', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const { answer } = await askAgain(coordinator, requester, { dns_names: ['approved.test'] })
  const [pending] = coordinator.enrolment.pending()
  assert.equal(pending?.fingerprint, requester.fingerprint)
  assert.equal(pending?.remote_address, '10.0.0.7')
  assert.equal(pending?.replaces, undefined)
  await assert.rejects(coordinator.enrolment.approve('worker-1', '0'.repeat(64)), code('P2P_PKI_PROOF_REJECTED'))
  await coordinator.enrolment.approve('worker-1', requester.fingerprint)
  assert.deepEqual(leafOf(await answer).dnsNames, ['approved.test'], 'the person saw the name')
  assert.deepEqual(coordinator.enrolment.pending(), [])
})

test('a stranger cannot make the coordinator call anyone but itself', async () => {
  const { coordinator, create, called } = await setUp()
  const requester = await create()
  const waiting = new AbortController()
  const request = requester.request(coordinator, { ip_addresses: ['10.0.0.9', '8.8.8.8'] })
  const answer = requester.send(coordinator, request, waiting.signal)
  await until(() => coordinator.enrolment.pending().length === 1)
  waiting.abort()
  assert.equal((await answer).status, 'pending')
  assert.deepEqual(called, ['10.0.0.7'])
})

test('a stranger that proves no address does not get into the queue', async () => {
  const { coordinator, create } = await setUp({ fetchChallenge: () => Promise.reject(new Error('connection refused')) })
  const requester = await create()
  await assert.rejects(requester.send(coordinator, requester.request(coordinator)), code('P2P_PKI_CHALLENGE_FAILED'))
  assert.deepEqual(coordinator.enrolment.pending(), [])
})

test('a rejected stranger is told so, then and later', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const { answer } = await askAgain(coordinator, requester)
  const rejected = assert.rejects(answer, code('P2P_PKI_REJECTED'))
  await coordinator.enrolment.reject('worker-1')
  await rejected
  await assert.rejects(requester.send(coordinator, requester.request(coordinator)), code('P2P_PKI_REJECTED'))
  await assert.rejects(coordinator.enrolment.approve('worker-1'), code('P2P_PKI_REQUEST_UNKNOWN'))
})

test('a waiting request survives a restart of the coordinator, and so does a decision nobody fetched', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  assert.equal((await requester.send(coordinator, requester.request(coordinator))).status, 'pending')
  await coordinator.enrolment.stop()

  const restart = () =>
    startCoordinator({ store: coordinator.store, fetchChallenge: async () => requester.keyAuthorization })
  const second = await restart()
  await second.enrolment.approve('worker-1')
  const third = await restart()
  leafOf(await requester.send(third, requester.request(third)))
  leafOf(await requester.send(third, requester.request(third)))
})

test('approving another key for a node id revokes the key that had it', async () => {
  const { coordinator, create } = await setUp()
  const [old, replacement] = [await create(), await create()]
  const before = leafOf(await old.send(coordinator, old.request(coordinator, { key: plotJoinKey })))
  const { answer } = await askAgain(coordinator, replacement)
  assert.equal(coordinator.enrolment.pending()[0]?.replaces, old.fingerprint)
  await coordinator.enrolment.approve('worker-1', replacement.fingerprint)
  const after = leafOf(await answer)
  assert.ok(coordinator.ca.revocations.isRevoked(before.serial))
  assert.ok(!coordinator.ca.revocations.isRevoked(after.serial))
  await assert.rejects(old.send(coordinator, old.request(coordinator, { key: plotJoinKey })), code('P2P_PKI_REVOKED'))
})

test('an approval pushes out the holder of a node id once, not again later', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const { answer } = await askAgain(coordinator, requester)
  await coordinator.enrolment.approve('worker-1')
  const renewing = await create()
  renewing.chainPem = ((await answer) as CertificateAnswer & { status: 'issued' }).certificate_chain
  const renewed = leafOf(await renewing.send(coordinator, renewing.request(coordinator)))

  const waiting = new AbortController()
  const replayed = requester.send(coordinator, requester.request(coordinator), waiting.signal)
  await until(() => coordinator.enrolment.pending().length === 1)
  waiting.abort()
  assert.equal((await replayed).status, 'pending')
  assert.ok(!coordinator.ca.revocations.isRevoked(renewed.serial))
})

test('two machines that wait under one name are told apart by request', async () => {
  const { coordinator, create } = await setUp()
  const both = [await create(), await create()]
  const asked = await Promise.all(both.map((requester) => askAgain(coordinator, requester)))
  await assert.rejects(coordinator.enrolment.approve('worker-1'), code('P2P_PKI_REQUEST_UNKNOWN'))
  for (const { request_id } of coordinator.enrolment.pending()) await coordinator.enrolment.reject(request_id)
  await Promise.all(asked.map(({ answer }) => assert.rejects(answer, code('P2P_PKI_REJECTED'))))
})

test('the queue is bounded, in all and for one address', async () => {
  const { coordinator, create } = await setUp({ enrolment: { pendingMax: 10 } })
  const stopped = new AbortController()
  const add = async (i: number, address: string): Promise<CertificateAnswer> => {
    const requester = await create()
    requester.remoteAddress = address
    return requester.send(coordinator, requester.request(coordinator, { node_id: `worker-${i}` }), stopped.signal)
  }
  const waiting = Array.from({ length: 8 }, (_, i) => add(i, '10.0.0.7'))
  await until(() => coordinator.enrolment.pending().length === 8)
  await assert.rejects(add(8, '10.0.0.7'), code('P2P_PKI_BUSY'))
  waiting.push(add(9, '10.0.0.8'), add(10, '10.0.0.9'))
  await until(() => coordinator.enrolment.pending().length === 10)
  await assert.rejects(add(11, '10.0.0.10'), code('P2P_PKI_BUSY'))
  stopped.abort()
  assert.ok((await Promise.all(waiting)).every(({ status }) => status === 'pending'))
  coordinator.clock.advance(86_400_001)
  assert.deepEqual(coordinator.enrolment.pending(), [], 'nobody decided for a day')
})

test('malformed requests are refused, naming the field', async () => {
  const { coordinator, create } = await setUp()
  const requester = await create()
  const wrong: [string, Partial<Record<keyof CertificateRequest, unknown>>][] = [
    ['node_id', { node_id: '../root' }],
    ['node_id', { node_id: '' }],
    ['role', { role: 'admin' }],
    ['csr', { csr: 'x'.repeat(20_000) }],
    ['ip_addresses', { ip_addresses: Array.from({ length: 33 }, () => '10.0.0.1') }],
    ['dns_names', { dns_names: 'name' }],
    ['challenge', { challenge: 'short' }],
    ['challenge', { challenge: `${'c'.repeat(32)}/../x` }],
    ['challenge_port', { challenge_port: 22 }],
    ['challenge_port', { challenge_port: 70_000 }],
    ['proof', { proof: { kind: 'magic' } }],
    ['proof.mac', { proof: { kind: 'plot', mac: 'zz' } }],
  ]
  for (const [field, change] of wrong) {
    const request = { ...requester.request(coordinator), ...change } as CertificateRequest
    await assert.rejects(requester.send(coordinator, request), (error: { code: string; message: string }) => {
      assert.equal(error.code, 'P2P_RPC_INVALID_PARAMS')
      assert.match(error.message, new RegExp(field.replace('.', '\\.')))
      return true
    })
  }
  assert.throws(() => coordinator.enrolment.nonce('x', requester.connection), code('P2P_RPC_INVALID_PARAMS'))
})

test('nothing is issued when the record cannot be written', async () => {
  const { coordinator, create, createToken } = await setUp()
  const requester = await create()
  const token = await createToken()
  coordinator.store.failure = new Error('disk full')
  await assert.rejects(requester.send(coordinator, requester.withToken(coordinator, token)), /disk full/)
  coordinator.store.failure = undefined
  assert.equal(coordinator.ca.holder('worker-1'), undefined)
  leafOf(await requester.send(coordinator, requester.withToken(coordinator, token)))
})
