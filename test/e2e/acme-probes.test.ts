import assert from 'node:assert/strict'
import { createHash, webcrypto } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type RequestListener } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { test, type TestContext } from 'node:test'
import { createServer as createTlsServer, type SecureContextOptions } from 'node:tls'
import 'reflect-metadata'
import { Extension, PemConverter, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import dnsPacket from 'dns-packet'
import { AcmeProblem } from '../../src/pki/acme/problem.ts'
import { createChallengeProbes } from '../../src/pki/coordinator/index.ts'

const HOST = '127.0.0.1'
const QUESTION = {
  identifier: { type: 'dns', value: 'www.corp.test' } as const,
  token: 'a-token-of-the-order',
  keyAuthorization: 'a-token-of-the-order.thumbprint',
}
const signal = new AbortController().signal
const isProblem =
  (type: string, text = /./) =>
  (error: unknown) =>
    error instanceof AcmeProblem && error.type === type && text.test(error.message)

async function listen(
  t: TestContext,
  server: { listen(port: number, host: string): unknown; close(): unknown; address(): unknown },
) {
  server.listen(0, HOST)
  await once(server as never, 'listening')
  t.after(() => server.close())
  return (server.address() as AddressInfo).port
}

test('http-01: the key authorization under the well-known path is the answer, anything else is not', async (t) => {
  let answer: RequestListener = () => {}
  const hosts: (string | undefined)[] = []
  const server = createServer((request, response) => {
    hosts.push(request.headers.host)
    answer(request, response)
  })
  const httpPort = await listen(t, server)
  const probe = () => createChallengeProbes({ httpPort }).http(HOST, QUESTION, signal)
  answer = ({ url }, response) => {
    response.end(url === `/.well-known/acme-challenge/${QUESTION.token}` ? `${QUESTION.keyAuthorization}\r\n` : '')
  }
  await probe()
  assert.deepEqual(hosts, [`www.corp.test:${httpPort}`])
  const wrong: [RequestListener, RegExp][] = [
    [(_, response) => response.end('something else'), /not the key authorization/],
    [(_, response) => response.end(QUESTION.token), /not the key authorization/],
    [(_, response) => response.writeHead(404).end(QUESTION.keyAuthorization), /status 404/],
    [(_, response) => response.writeHead(302, { location: 'http://169.254.169.254/' }).end(), /not followed/],
    [(_, response) => response.end(QUESTION.keyAuthorization + ' '.repeat(1_000)), /longer than 512/],
    [(_, response) => void response.write('x'.repeat(100_000)), /longer than 512/],
  ]
  for (const [listener, text] of wrong) {
    answer = listener
    await assert.rejects(probe(), isProblem('incorrectResponse', text))
  }
  server.closeAllConnections()
})

test('http-01: a port where nobody is, a server that says nothing, and garbage are told apart from a wrong answer', async (t) => {
  const closed = createTcpServer()
  const httpPort = await listen(t, closed)
  closed.close()
  await once(closed, 'close')
  await assert.rejects(createChallengeProbes({ httpPort }).http(HOST, QUESTION, signal), isProblem('connection'))
  const garbage = createTcpServer((socket) => socket.end('\u0000\u0001 nonsense\r\n\r\n'))
  const garbagePort = await listen(t, garbage)
  await assert.rejects(
    createChallengeProbes({ httpPort: garbagePort }).http(HOST, QUESTION, signal),
    isProblem('connection'),
  )
  const asked = Promise.withResolvers<void>()
  const silent = createTcpServer((socket) => {
    t.after(() => socket.destroy())
    asked.resolve()
  })
  const late = new AbortController()
  const waiting = createChallengeProbes({ httpPort: await listen(t, silent) }).http(HOST, QUESTION, late.signal)
  await asked.promise
  late.abort()
  await assert.rejects(waiting, isProblem('connection'))
})

test('dns-01: one of the TXT records is the digest of the key authorization', async (t) => {
  const expected = createHash('sha256').update(QUESTION.keyAuthorization).digest('base64url')
  let records: string[] | undefined = []
  const names: string[] = []
  const server = createSocket('udp4')
  server.on('message', (message, from) => {
    const query = dnsPacket.decode(message)
    const name = query.questions?.[0]?.name ?? ''
    names.push(name)
    const answers = (records ?? []).map((data) => ({ type: 'TXT' as const, name, data }))
    const flags = dnsPacket.AUTHORITATIVE_ANSWER | (records ? 0 : 3)
    const { id = 0, questions = [] } = query
    server.send(dnsPacket.encode({ type: 'response', id, flags, questions, answers }), from.port, from.address)
  })
  server.bind(0, HOST)
  await once(server, 'listening')
  t.after(() => server.close())
  const probes = createChallengeProbes({ nameServers: [`${HOST}:${server.address().port}`] })
  records = ['another', expected]
  await probes.dns(QUESTION, signal)
  assert.deepEqual([...new Set(names)], ['_acme-challenge.www.corp.test'])
  records = ['another']
  await assert.rejects(probes.dns(QUESTION, signal), isProblem('incorrectResponse', new RegExp(expected)))
  records = undefined
  await assert.rejects(probes.dns(QUESTION, signal), isProblem('dns', /ENOTFOUND/))
})

const EC = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const

interface Shown {
  names?: string[]
  digest?: Uint8Array
  isCritical?: boolean
  hasIdentifier?: boolean
}

/** What a server shows for `acme-tls/1`. */
async function challengeCertificate(shown: Shown): Promise<SecureContextOptions> {
  const {
    names = ['www.corp.test'],
    digest = createHash('sha256').update(QUESTION.keyAuthorization).digest(),
    isCritical = true,
    hasIdentifier = true,
  } = shown
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify'])
  const value = Uint8Array.of(0x04, digest.length, ...digest)
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=challenge',
    keys,
    signingAlgorithm: EC,
    extensions: [
      new SubjectAlternativeNameExtension(names.map((name) => ({ type: 'dns' as const, value: name }))),
      ...(hasIdentifier ? [new Extension('1.3.6.1.5.5.7.1.31', isCritical, value)] : []),
    ],
  })
  const key = PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey), 'PRIVATE KEY')
  return { cert: certificate.toString('pem'), key }
}

test('tls-alpn-01: the certificate shown for acme-tls/1 holds the digest, critical, and names the host alone', async (t) => {
  const asked: string[] = []
  const probe = async (shown: Shown, ALPNProtocols = ['acme-tls/1']) => {
    const SNICallback = (name: string, done: (error: null) => void): void => {
      asked.push(name)
      done(null)
    }
    const options = { ...(await challengeCertificate(shown)), ALPNProtocols, SNICallback }
    const server = createTlsServer(options, (socket) => socket.on('error', () => {}))
    server.on('tlsClientError', () => {})
    const tlsPort = await listen(t, server)
    return createChallengeProbes({ tlsPort }).tlsAlpn(HOST, QUESTION, signal)
  }
  await probe({})
  assert.deepEqual(asked, ['www.corp.test'])
  const wrong: Shown[] = [
    { names: ['other.corp.test'] },
    { names: ['www.corp.test', 'other.corp.test'] },
    { digest: new Uint8Array(32) },
    { digest: new Uint8Array(31) },
    { isCritical: false },
    { hasIdentifier: false },
  ]
  for (const shown of wrong) await assert.rejects(probe(shown), isProblem('incorrectResponse'), JSON.stringify(shown))
  await assert.rejects(probe({}, ['http/1.1']), isProblem('tls'))
})

test('tls-alpn-01: an address is asked for by its name in the reverse tree', async (t) => {
  const asked: unknown[] = []
  const server = createTlsServer(
    {
      ...(await challengeCertificate({})),
      ALPNProtocols: ['acme-tls/1'],
      SNICallback: (name, done) => {
        asked.push(name)
        done(null)
      },
    },
    (socket) => socket.on('error', () => {}),
  )
  const tlsPort = await listen(t, server)
  for (const value of ['10.1.2.3', '2001:db8::1']) {
    const question = { ...QUESTION, identifier: { type: 'ip', value } as const }
    await assert.rejects(
      createChallengeProbes({ tlsPort }).tlsAlpn(HOST, question, signal),
      isProblem('incorrectResponse'),
    )
  }
  assert.deepEqual(asked, [
    '3.2.1.10.in-addr.arpa',
    '1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa',
  ])
})
