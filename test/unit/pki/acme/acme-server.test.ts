import assert from 'node:assert/strict'
import { generateKeyPairSync, webcrypto, X509Certificate } from 'node:crypto'
import { test, type TestContext } from 'node:test'
import 'reflect-metadata'
import { Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509'
import type { AcmeAnswer } from '../../../../src/base/acme.ts'
import { toBase64Url } from '../../../../src/base/bytes.ts'
import { AcmeProblem } from '../../../../src/pki/acme/problem.ts'
import type { ChallengeProbes, ChallengeQuestion } from '../../../../src/pki/acme-server/challenge-prover.ts'
import { createAcmeServer, createCertificateAuthority } from '../../../../src/pki/coordinator/index.ts'
import { splitCertificates } from '../../../../src/pki/x509/pem.ts'
import { systemRandom } from '../../../../src/platform/index.ts'
import { ManualClock } from '../manual-clock.ts'
import { MemoryStore } from '../memory-store.ts'
import { openssl, skipWithoutOpenssl } from '../openssl.ts'
import { RecordingLogger } from '../recording-logger.ts'
import { until } from '../until.ts'
import { AcmeTestClient, base64UrlDer, BASE, pathOf } from './acme-client.ts'

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

/** A network where every name leads to 10.0.0.7, and every question is answered as `answer` says. */
interface FakeNetwork extends ChallengeProbes {
  answer: (question: ChallengeQuestion) => void
  addresses: string[]
  asked: string[]
}

function fakeNetwork(): FakeNetwork {
  const network: FakeNetwork = {
    answer: () => {},
    addresses: ['10.0.0.7'],
    asked: [],
    resolve: async () => network.addresses,
    http: async (address, question) => {
      network.asked.push(`http ${address}`)
      network.answer(question)
    },
    tlsAlpn: async (address, question) => {
      network.asked.push(`tls ${address}`)
      network.answer(question)
    },
    dns: async (question) => {
      network.asked.push('dns')
      network.answer(question)
    },
  }
  return network
}

async function start(t: TestContext, store = new MemoryStore()) {
  const clock = new ManualClock()
  const log = new RecordingLogger()
  const network = fakeNetwork()
  const needs = { store, clock, random: systemRandom, log }
  const ca = createCertificateAuthority(needs)
  await ca.start(new AbortController().signal)
  const server = createAcmeServer({ ...needs, ca, probes: network })
  await server.start(new AbortController().signal)
  t.after(() => server.stop())
  const credential = (names: string[] = [], uses = 1) =>
    server.createCredential({ label: 'test', names, uses, ttlMs: 3_600_000 })
  const client = async () => {
    const opened = await AcmeTestClient.create(server)
    assert.equal((await opened.openAccount(await credential())).status, 201)
    return opened
  }
  return { store, clock, log, network, ca, server, credential, client }
}

async function csr(names: { dns?: string[]; ip?: string[]; uri?: string[]; cn?: string }, algorithm: object = EC) {
  const keys = (await webcrypto.subtle.generateKey(algorithm as typeof EC, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair
  const items = [
    ...(names.dns ?? []).map((value) => ({ type: 'dns' as const, value })),
    ...(names.ip ?? []).map((value) => ({ type: 'ip' as const, value })),
    ...(names.uri ?? []).map((value) => ({ type: 'url' as const, value })),
  ]
  const request = await Pkcs10CertificateRequestGenerator.create({
    name: names.cn === undefined ? [] : [{ CN: [names.cn] }],
    keys,
    signingAlgorithm: algorithm as typeof EC,
    extensions: items.length > 0 ? [new SubjectAlternativeNameExtension(items)] : [],
  })
  return { csr: toBase64Url(new Uint8Array(request.rawData)), keys }
}

// What a server answers is looked at member by member.
// oxlint-disable-next-line typescript/no-explicit-any
type Json = Record<string, any>
const bodyOf = (answer: AcmeAnswer): Json => answer.body as Json
const typeOf = (answer: AcmeAnswer): string => String(bodyOf(answer).type).split(':').at(-1) as string

async function proveAll(client: AcmeTestClient, order: Json, type = 'http-01'): Promise<void> {
  for (const url of order.authorizations) {
    const authorization = bodyOf(await client.post(pathOf(url)))
    const challenge = authorization.challenges.find((one: Json) => one.type === type)
    assert.equal(bodyOf(await client.post(pathOf(challenge.url), {})).status, 'valid')
  }
}

async function orderFor(
  client: AcmeTestClient,
  ...identifiers: { type: string; value: string }[]
): Promise<AcmeAnswer> {
  return client.post('/acme/new-order', { identifiers })
}

/** A certificate for a name, the whole way. */
async function issue(client: AcmeTestClient, name: string, more: object = {}) {
  const answer = await client.post('/acme/new-order', { identifiers: [{ type: 'dns', value: name }], ...more })
  assert.equal(answer.status, 201, JSON.stringify(answer.body))
  await proveAll(client, bodyOf(answer))
  const request = await csr({ dns: [name] })
  const order = bodyOf(await client.post(pathOf(bodyOf(answer).finalize), { csr: request.csr }))
  assert.equal(order.status, 'valid', JSON.stringify(order))
  const download = await client.post(pathOf(order.certificate))
  return { order, chainPem: download.body as string, keys: request.keys, download }
}

test('a client orders, proves, and gets a certificate that openssl accepts for a server and for nothing else', {
  skip: skipWithoutOpenssl,
}, async (t) => {
  const { client, ca, network } = await start(t)
  const { chainPem, download } = await issue(await client(), 'www.corp.test')
  assert.equal(download.contentType, 'application/pem-certificate-chain')
  assert.deepEqual(network.asked, ['http 10.0.0.7'])
  const [leaf, issuing] = splitCertificates(chainPem) as [string, string]
  const files = { 'root.pem': ca.trust.ca_certificate, 'issuing.pem': issuing, 'leaf.pem': leaf }
  const verify = (purpose: string) =>
    openssl(
      [
        'verify',
        '-x509_strict',
        '-purpose',
        purpose,
        '-verify_hostname',
        'www.corp.test',
        '-CAfile',
        'root.pem',
      ].concat(['-untrusted', 'issuing.pem', 'leaf.pem']),
      files,
    )
  assert.ok(verify('sslserver').ok, verify('sslserver').output)
  assert.ok(!verify('sslclient').ok)
  assert.equal(new X509Certificate(leaf).subjectAltName, 'DNS:www.corp.test')
})

test('addresses, wildcards and several names come together in one certificate', async (t) => {
  const { client, network } = await start(t)
  const opened = await client()
  const order = bodyOf(
    await orderFor(
      opened,
      { type: 'dns', value: '*.corp.test' },
      { type: 'dns', value: 'corp.test' },
      { type: 'ip', value: '10.9.9.9' },
    ),
  )
  const types = ['dns-01', 'tls-alpn-01', 'http-01']
  for (const [index, url] of order.authorizations.entries()) {
    const { challenges } = bodyOf(await opened.post(pathOf(url)))
    const chosen = challenges.find((one: Json) => one.type === types[index])
    assert.equal(bodyOf(await opened.post(pathOf(chosen.url), {})).status, 'valid')
  }
  assert.deepEqual(network.asked, ['dns', 'tls 10.0.0.7', 'http 10.9.9.9'])
  const request = await csr({ dns: ['*.corp.test'], ip: ['10.9.9.9'], cn: 'corp.test' })
  const done = bodyOf(await opened.post(pathOf(order.finalize), { csr: request.csr }))
  const { body } = await opened.post(pathOf(done.certificate))
  const names = new X509Certificate(body as string).subjectAltName
  assert.equal(names, 'DNS:*.corp.test, DNS:corp.test, IP Address:10.9.9.9')
})

test('accounts are opened for credentials only, as often as those were made for', async (t) => {
  const { server, credential, clock } = await start(t)
  const stranger = await AcmeTestClient.create(server)
  assert.equal(typeOf(await stranger.post('/acme/new-account', {})), 'externalAccountRequired')
  const once = await credential()
  const unknown = { ...once, facts: { ...once.facts, kid: 'nobody' } }
  assert.equal(typeOf(await stranger.openAccount(unknown)), 'unauthorized')
  const wrongKey = { ...once, hmac_key: toBase64Url(new Uint8Array(32)) }
  assert.equal(typeOf(await stranger.openAccount(wrongKey)), 'unauthorized')
  const first = await AcmeTestClient.create(server)
  const stolen = await first.binding(once.facts.kid, once.hmac_key)
  assert.equal(
    typeOf(await stranger.post('/acme/new-account', { externalAccountBinding: stolen })),
    'unauthorized',
    "another key's binding",
  )
  for (const header of [{ url: `${BASE}/acme/new-order` }, { alg: 'HS512' }, { nonce: 'x' }]) {
    const bad = await first.binding(once.facts.kid, once.hmac_key, header).catch(() => ({}))
    const answer = await first.post('/acme/new-account', { externalAccountBinding: bad })
    assert.match(typeOf(answer), /unauthorized|malformed/)
  }
  assert.equal((await first.openAccount(once)).status, 201)
  const second = await AcmeTestClient.create(server)
  assert.equal(typeOf(await second.openAccount(once)), 'externalAccountRequired')
  const late = await credential()
  clock.advance(3_600_000)
  assert.equal(typeOf(await second.openAccount(late)), 'externalAccountRequired')
  first.kid = undefined
  const again = await first.post('/acme/new-account', { onlyReturnExisting: true })
  assert.equal(again.status, 200)
  assert.equal(typeOf(await second.post('/acme/new-account', { onlyReturnExisting: true })), 'accountDoesNotExist')
})

test('every kind of key of stock clients opens an account, a weak one does not', async (t) => {
  const { server, credential } = await start(t)
  for (const alg of ['ES256', 'EdDSA', 'RS256'] as const) {
    const client = await AcmeTestClient.create(server, alg)
    assert.equal((await client.openAccount(await credential())).status, 201, alg)
  }
  const weak = await AcmeTestClient.create(server, 'RS256', 1_024).catch(() => undefined)
  // jose itself may refuse to sign with so weak a key.
  if (weak) {
    const answer = await weak.openAccount(await credential()).catch(() => undefined)
    if (answer) assert.equal(typeOf(answer), 'badPublicKey')
  }
})

test('a request is taken once, for the URL it was signed for, from the account that signed it', async (t) => {
  const { client, server } = await start(t)
  const opened = await client()
  const path = '/acme/new-order'
  const payload = { identifiers: [{ type: 'dns', value: 'a.test' }] }
  const body = await opened.sign({ path, payload })
  assert.equal((await opened.send(path, body)).status, 201)
  assert.equal(typeOf(await opened.send(path, body)), 'badNonce')
  const refused: [Record<string, unknown>, string][] = [
    [{ nonce: undefined }, 'badNonce'],
    [{ nonce: 'made-up' }, 'badNonce'],
    [{ url: `${BASE}/acme/key-change` }, 'unauthorized'],
    [{ url: 'https://elsewhere.test/acme/new-order' }, 'unauthorized'],
    [{ kid: `${BASE}/acme/account/nobody` }, 'accountDoesNotExist'],
    [{ kid: 'https://elsewhere.test/acme/account/x' }, 'accountDoesNotExist'],
    [{ kid: undefined }, 'malformed'],
    [{ jwk: opened.jwk }, 'malformed'],
    [{ jwk: opened.jwk, kid: undefined }, 'malformed'],
  ]
  for (const [header, type] of refused) {
    const answer = await opened.post(path, payload, { header })
    assert.equal(typeOf(answer), type, JSON.stringify(header))
    assert.ok(answer.headers['replay-nonce'], 'a refusal brings the next nonce')
  }
  const other = await client()
  const forged = await other.post(path, payload, { header: { kid: opened.kid } })
  assert.equal(typeOf(forged), 'unauthorized')
  assert.equal((await server.listCredentials()).length, 2)
})

test('no algorithm but those of account keys is taken, and no key is confused with another', async (t) => {
  const { client } = await start(t)
  const opened = await client()
  const encode = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  for (const alg of ['none', 'HS256', 'ES256K', 'PS256', 'RS1', 7, null]) {
    const body = {
      protected: encode({ alg, nonce: 'x', url: `${BASE}/acme/new-order`, kid: opened.kid }),
      payload: encode({}),
      signature: '',
    }
    assert.equal(typeOf(await opened.send('/acme/new-order', body)), 'badSignatureAlgorithm')
  }
  const { n, e } = generateKeyPairSync('rsa', { modulusLength: 2_048 }).publicKey.export({ format: 'jwk' })
  const mixed = { alg: 'ES256', url: `${BASE}/acme/new-account`, jwk: { kty: 'RSA', n, e } }
  for (const jwk of [{ kty: 'oct', k: 'AAAA' }, { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, mixed.jwk, {}, 'x']) {
    const answer = await opened.post('/acme/new-account', {}, { header: { jwk, kid: undefined } })
    assert.match(typeOf(answer), /badPublicKey|malformed|unauthorized/)
  }
})

test('bodies that are no signed request are refused, whatever they are', async (t) => {
  const { client, server } = await start(t)
  const opened = await client()
  const good = (await opened.sign({ path: '/acme/new-order', payload: {} })) as Json
  const bodies: unknown[] = [
    undefined,
    null,
    7,
    'text',
    [],
    {},
    { ...good, protected: 'ü' },
    { ...good, protected: Buffer.from('[1]').toString('base64url') },
    { ...good, protected: 'A'.repeat(20_000) },
    { ...good, payload: 7 },
    { ...good, signature: undefined },
    { ...good, header: { alg: 'none' } },
    { payload: good.payload, signatures: [good] },
  ]
  for (const body of bodies) assert.equal(typeOf(await opened.send('/acme/new-order', body)), 'malformed')
  const tampered = { ...((await opened.sign({ path: '/acme/new-order', payload: {} })) as Json), payload: 'e30' }
  const changed = { ...tampered, payload: Buffer.from('{"identifiers":[]}').toString('base64url') }
  assert.equal(typeOf(await opened.send('/acme/new-order', changed)), 'unauthorized')
  assert.ok(server.nonce())
})

test('an account sees its own orders and certificates, and nobody else’s', async (t) => {
  const { client } = await start(t)
  const owner = await client()
  const other = await client()
  const { order } = await issue(owner, 'a.test')
  const paths = [order.finalize, order.certificate, order.authorizations[0]].map(pathOf)
  for (const path of [...paths, pathOf(owner.kid)]) {
    const answer = await other.post(path)
    assert.ok(answer.status === 404 || answer.status === 403, `${path}: ${answer.status}`)
  }
  assert.equal(bodyOf(await owner.post(`${pathOf(owner.kid)}/orders`)).orders.length, 1)
  assert.equal(bodyOf(await other.post(`${pathOf(other.kid)}/orders`)).orders.length, 0)
})

test('a credential limits the names of its accounts', async (t) => {
  const { server, credential } = await start(t)
  const client = await AcmeTestClient.create(server)
  await client.openAccount(await credential(['*.corp.test', '10.0.0.9']))
  assert.equal((await orderFor(client, { type: 'dns', value: 'www.corp.test' })).status, 201)
  assert.equal((await orderFor(client, { type: 'ip', value: '10.0.0.9' })).status, 201)
  for (const value of ['corp.test', 'www.other.test']) {
    assert.equal(typeOf(await orderFor(client, { type: 'dns', value })), 'rejectedIdentifier')
  }
})

test('a wrong answer fails the order, and says what was found', async (t) => {
  const { client, network, clock } = await start(t)
  const opened = await client()
  network.answer = () => {
    throw new AcmeProblem('incorrectResponse', 'the answer is not the key authorization')
  }
  const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' }))
  const [authorization] = order.authorizations.map(pathOf)
  const { challenges } = bodyOf(await opened.post(authorization))
  const answering = opened.post(pathOf(challenges[0].url), {})
  // It looks again after 0.5, 1.5 and 3 s; the client is answered after 2 s that it is still being looked at.
  while (network.asked.length < 4) {
    await new Promise(setImmediate)
    clock.advance(500)
  }
  const meanwhile = await answering
  assert.match(bodyOf(meanwhile).status, /processing|invalid/)
  await until(() => opened.challengeFailures.length > 0)
  let after = bodyOf(await opened.post(authorization))
  for (let turn = 0; after.status === 'pending' && turn < 100; turn++) {
    await new Promise(setImmediate)
    after = bodyOf(await opened.post(authorization))
  }
  assert.equal(after.status, 'invalid')
  assert.match(after.challenges[0].error.detail, /not the key authorization/)
  assert.equal(bodyOf(await opened.post(pathOf(challenges[0].url))).status, 'invalid')
  assert.deepEqual(opened.challengeFailures, ['urn:ietf:params:acme:error:incorrectResponse'], 'told once')
  const location = pathOf(order.finalize).replace('/finalize', '')
  assert.equal(bodyOf(await opened.post(location)).status, 'invalid')
})

test('names that lead to this machine, to link-local or metadata addresses are not looked at', async (t) => {
  const { client, network } = await start(t)
  const opened = await client()
  for (const address of [
    '127.0.0.1',
    '::1',
    '169.254.169.254',
    'fe80::1',
    '0.0.0.0',
    '224.0.0.1',
    '::ffff:127.0.0.1',
  ]) {
    network.addresses = [address]
    const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' }))
    const { challenges } = bodyOf(await opened.post(pathOf(order.authorizations[0])))
    const answer = bodyOf(await opened.post(pathOf(challenges[0].url), {}))
    assert.equal(answer.status, 'invalid', address)
    assert.match(answer.error.type, /rejectedIdentifier/)
    assert.match(opened.challengeFailures.pop() ?? '', /rejectedIdentifier/)
  }
  assert.deepEqual(network.asked, [])
  network.addresses = ['169.254.169.254', '10.0.0.7']
  const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' }))
  await proveAll(opened, order)
  assert.deepEqual(network.asked, ['http 10.0.0.7'])
})

test('a name that leads elsewhere a moment later does not lead the look there', async (t) => {
  const { client, network } = await start(t)
  const opened = await client()
  let asked = 0
  Object.defineProperty(network, 'addresses', { get: () => [asked++ === 0 ? '10.0.0.7' : '127.0.0.1'] })
  await proveAll(opened, bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' })))
  assert.deepEqual([network.asked, asked], [['http 10.0.0.7'], 1])
})

test('a client on this machine may prove names of this machine', async (t) => {
  const { client, network } = await start(t)
  const opened = await client()
  network.addresses = ['127.0.0.1']
  const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'here.test' }))
  const { challenges } = bodyOf(await opened.post(pathOf(order.authorizations[0])))
  const answer = await opened.post(pathOf(challenges[0].url), {}, { isSameHost: true })
  assert.equal(bodyOf(answer).status, 'valid')
})

test('requests for keys and names that do not fit are refused, and the order can still be finished', async (t) => {
  const { client } = await start(t)
  const opened = await client()
  const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' }))
  const path = pathOf(order.finalize)
  const good = await csr({ dns: ['a.test'] })
  assert.equal(typeOf(await opened.post(path, { csr: good.csr })), 'orderNotReady')
  await proveAll(opened, order)
  const p521 = { ...EC, namedCurve: 'P-521' }
  const bad = [
    (await csr({ dns: ['b.test'] })).csr,
    (await csr({ dns: ['a.test', 'b.test'] })).csr,
    (await csr({})).csr,
    (await csr({ dns: ['a.test'], uri: ['spiffe://p2p-x/node/coordinator/c'] })).csr,
    (await csr({ dns: ['a.test'] }, p521)).csr,
    `${good.csr.slice(0, -6)}AAAAAA`,
    'AAAA',
    '',
    'x'.repeat(40_000),
  ]
  for (const request of bad)
    assert.equal(typeOf(await opened.post(path, { csr: request })), 'badCSR', request.slice(0, 20))
  assert.equal(typeOf(await opened.post(path, {})), 'malformed')
  assert.equal(bodyOf(await opened.post(path, { csr: good.csr })).status, 'valid')
  assert.equal(typeOf(await opened.post(path, { csr: good.csr })), 'orderNotReady')
})

test('a certificate is revoked by its account or by its own key, once, and is then in the list', async (t) => {
  const { client, ca } = await start(t)
  const owner = await client()
  const other = await client()
  const first = await issue(owner, 'a.test')
  const certificate = base64UrlDer(splitCertificates(first.chainPem)[0] as string)
  const path = '/acme/revoke-cert'
  assert.equal(typeOf(await other.post(path, { certificate })), 'unauthorized')
  assert.equal(typeOf(await owner.post(path, { certificate, reason: 7 })), 'badRevocationReason')
  assert.equal(typeOf(await owner.post(path, { certificate: 'AAAA' })), 'malformed')
  assert.equal((await owner.post(path, { certificate, reason: 1 })).status, 200)
  assert.equal(typeOf(await owner.post(path, { certificate })), 'alreadyRevoked')
  const { serialNumber } = new X509Certificate(first.chainPem)
  assert.ok(ca.revocations.isRevoked(serialNumber.toLowerCase()))
  assert.ok(!ca.revokedSerials().includes(serialNumber.toLowerCase()), 'nodes need not hear of it')
})

test('renewal is suggested at two thirds of the life, at once after a revocation, and replaces name the old one', async (t) => {
  const { client, server } = await start(t)
  const owner = await client()
  const { chainPem } = await issue(owner, 'a.test')
  const leaf = new X509Certificate(chainPem)
  const serial = Buffer.from(leaf.serialNumber, 'hex').toString('base64url')
  const id = `AAAA.${serial}`
  const { suggestedWindow } = bodyOf(await server.renewalInfo(BASE, id)) as Json
  const [from, to] = [leaf.validFrom, leaf.validTo].map((text) => Date.parse(text)) as [number, number]
  const start0 = Date.parse(suggestedWindow.start)
  assert.ok(start0 > from + (to - from) * 0.6 && start0 < from + (to - from) * 0.7)
  assert.ok(Date.parse(suggestedWindow.end) > start0)
  const renewed = await issue(owner, 'a.test', { replaces: id })
  assert.ok(renewed.chainPem)
  const twice = await owner.post('/acme/new-order', { identifiers: [{ type: 'dns', value: 'a.test' }], replaces: id })
  assert.equal(typeOf(twice), 'alreadyReplaced')
  await owner.post('/acme/revoke-cert', { certificate: base64UrlDer(splitCertificates(chainPem)[0] as string) })
  const revoked = bodyOf(await server.renewalInfo(BASE, id)) as Json
  assert.ok(Date.parse(revoked.suggestedWindow.start) <= from)
  assert.equal((await server.renewalInfo(BASE, 'AAAA.BBBB')).status, 404)
  assert.equal((await server.renewalInfo(BASE, 'nonsense')).status, 404)
})

test('an account changes its key, and the old one is worth nothing', async (t) => {
  const { client, server } = await start(t)
  const owner = await client()
  const next = await AcmeTestClient.create(server)
  const path = '/acme/key-change'
  const inner = { account: owner.kid, oldKey: owner.jwk }
  const signed = await next.sign({ path, payload: inner, header: { nonce: undefined } })
  const wrong = await next.sign({ path, payload: { ...inner, oldKey: next.jwk }, header: { nonce: undefined } })
  assert.equal(typeOf(await owner.post(path, wrong)), 'malformed')
  assert.equal((await owner.post(path, signed)).status, 200)
  assert.equal(typeOf(await owner.post('/acme/new-order', {})), 'unauthorized')
  next.kid = owner.kid
  assert.equal((await orderFor(next, { type: 'dns', value: 'a.test' })).status, 201)
  const other = await client()
  const taken = await next.sign({
    path,
    payload: { account: other.kid, oldKey: other.jwk },
    header: { nonce: undefined, kid: undefined, jwk: next.jwk },
  })
  assert.equal((await other.post(path, taken)).status, 409)
})

test('a credential that is withdrawn takes its accounts along', async (t) => {
  const { server, credential } = await start(t)
  const one = await credential([], 2)
  const client = await AcmeTestClient.create(server)
  await client.openAccount(one)
  await server.revokeCredential(one.facts.kid)
  assert.equal(typeOf(await orderFor(client, { type: 'dns', value: 'a.test' })), 'unauthorized')
  assert.deepEqual(await server.listCredentials(), [])
  await assert.rejects(server.revokeCredential('nobody'), { code: 'P2P_PKI_REQUEST_UNKNOWN' })
})

test('credentials are made with sound names, uses and lives only', async (t) => {
  const { server } = await start(t)
  const good = { label: 'web', names: ['*.corp.test'], uses: 1, ttlMs: 60_000 }
  for (const change of [
    { label: '' },
    { names: ['not a name'] },
    { names: ['*'] },
    { uses: 0 },
    { uses: 1.5 },
    { ttlMs: 1 },
    { ttlMs: NaN },
  ]) {
    await assert.rejects(server.createCredential({ ...good, ...change }), { code: 'P2P_RPC_INVALID_PARAMS' })
  }
})

test('no key, no token and no credential is in the log', async (t) => {
  const { server, credential, log } = await start(t)
  const one = await credential()
  const client = await AcmeTestClient.create(server)
  await client.openAccount(one)
  const order = bodyOf(await orderFor(client, { type: 'dns', value: 'a.test' }))
  const { challenges } = bodyOf(await client.post(pathOf(order.authorizations[0])))
  await proveAll(client, order)
  const text = JSON.stringify(log.lines)
  assert.match(text, /proved/)
  for (const secret of [one.hmac_key, challenges[0].token]) assert.ok(!text.includes(secret))
})

test('orders and accounts survive a restart; what was being looked at can be begun again', async (t) => {
  const { client, store, network, server } = await start(t)
  const opened = await client()
  const begun = Promise.withResolvers<void>()
  network.http = () => {
    begun.resolve()
    return new Promise(() => {})
  }
  const order = bodyOf(await orderFor(opened, { type: 'dns', value: 'a.test' }))
  const { challenges } = bodyOf(await opened.post(pathOf(order.authorizations[0])))
  const asked = opened.post(pathOf(challenges[0].url), {})
  await begun.promise
  const second = await start(t, store)
  const returned = opened.at(second.server)
  const { status } = bodyOf(await returned.post(pathOf(challenges[0].url)))
  assert.equal(status, 'pending')
  await proveAll(returned, order)
  await server.stop()
  await asked
})
