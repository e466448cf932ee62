import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { type TestContext, test } from 'node:test'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { WebSocket } from 'ws'
import type { TlsMaterial } from '../../src/base/credentials.ts'
import {
  type CertificateAuthority,
  createCertificateAuthority,
  createLocalIdentity,
} from '../../src/pki/coordinator/index.ts'
import { ACCESS, type AccessRule } from '../../src/service/auth/access.ts'
import { splitCertificates } from '../../src/pki/x509/pem.ts'
import { MemoryStore } from '../unit/pki/memory-store.ts'
import { openssl } from '../unit/pki/openssl.ts'
import { certifyWorker, openPeersOf, realNeeds } from './support/certified-worker.ts'
import { isLeftOut } from './support/left-out.ts'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

/** How somebody asks. */
interface Visitor {
  tls?: TlsMaterial
  token?: string
}

interface Answer {
  status: number
  body: string
}

type Ask = (visitor: Visitor, method: string, path: string, body?: object) => Promise<Answer>

const COORDINATOR = 'coordinator-1'

async function startCoordinator(t: TestContext) {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config(COORDINATOR, {
    port,
    bind_address: '127.0.0.1',
    coordinator_mode: true,
    rate_limit_enabled: false,
  })
  const node = startNode(t, file)
  const { url, operatorFile } = await node.ready()
  const { credential, ca_certificate: ca } = JSON.parse(readFileSync(operatorFile as string, 'utf8')) as {
    credential: string
    ca_certificate: string
  }
  const ask: Ask = (visitor, method, path, body) => askOver({ url, ca }, visitor, method, path, body)
  const tokenFor = async (role: string): Promise<string> => {
    const answer = await ask({}, 'POST', '/auth/token', { credential, role, ttl_s: 3_600 })
    return (JSON.parse(answer.body) as { access_token: string }).access_token
  }
  const run = (...args: string[]) => p2p(args, { cwd: home.directory })
  const login = await run('login')
  assert.equal(login.code, 0, login.stderr)
  return { port, url, ca, ask, tokenFor, run }
}

function askOver(
  node: { url: string; ca: string },
  { tls, token }: Visitor,
  method: string,
  path: string,
  body?: object,
): Promise<Answer> {
  const text = body && JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const outgoing = request(
      new URL(path, node.url),
      {
        method,
        ca: node.ca,
        ...(tls && { cert: tls.certificateChainPem, key: tls.keyPem }),
        checkServerIdentity: () => undefined,
        agent: false,
        timeout: 20_000,
        headers: {
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...(text !== undefined && { 'content-type': 'application/json', 'content-length': text.length }),
        },
      },
      (incoming) => {
        const status = incoming.statusCode as number
        // Streams have no end: that they were let in, or not, is in the head.
        if (incoming.headers['content-type']?.includes('event-stream')) {
          incoming.destroy()
          resolve({ status, body: '' })
          return
        }
        let received = ''
        incoming.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
        incoming.on('end', () => resolve({ status, body: received }))
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${method} ${path}: no answer`)))
    outgoing.on('error', reject)
    outgoing.end(text)
  })
}

/** The table, with something in the place of each parameter. */
const ROUTES = Object.entries(ACCESS as Record<string, AccessRule>).map(([key, rule]) => {
  const [method, pattern] = key.split(' ') as [string, string]
  return { key, rule, method, path: pattern.replaceAll(/\{\w+\}/g, 'x') }
})

/** Of what is allowed only reading is done; that the rest succeeds is shown on a stub (access.test.ts). */
async function walk(ask: Ask, visitor: Visitor, role: string | undefined): Promise<void> {
  for (const { key, rule, method, path } of ROUTES) {
    const isAllowed = rule === 'open' || (role !== undefined && (rule as readonly string[]).includes(role))
    if (isAllowed && method !== 'GET') continue
    const { status, body } = await ask(visitor, method, path, method === 'GET' ? undefined : {})
    const shown = `${key} as ${role ?? 'a stranger'}: ${status} ${body.slice(0, 200)}`
    if (isAllowed) assert.ok(rule === 'open' || (status !== 401 && status !== 403), shown)
    else if (key === 'POST /p2p/v1/channel') assert.ok([401, 403, 505].includes(status), shown)
    else assert.equal(status, role === undefined ? 401 : 403, shown)
  }
}

test('every route of a real node, with every kind of credential: the access table and nothing else', {
  timeout: 120_000,
}, async (t) => {
  const { port, url, ca, ask, tokenFor, run } = await startCoordinator(t)
  const made = await run('token', 'create', '--uses', '9', '--output', 'json')
  const joinToken = (JSON.parse(made.stdout) as { token: string }).token
  const certify = (nodeId: string) => certifyWorker(t, { port, nodeId, token: joinToken })
  const worker = await certify('worker-1')

  await t.test('nobody', () => walk(ask, {}, undefined))
  for (const role of ['viewer', 'operator', 'admin']) {
    await t.test(role, async () => walk(ask, { token: await tokenFor(role) }, role))
  }
  await t.test("a worker's certificate", () => walk(ask, { tls: worker.current() }, 'node'))

  await t.test('the certificate of another CA, also one that names this cluster and its coordinator', async () => {
    const { cluster } = worker.identity()
    const foreign = await foreignCoordinator(t, cluster)
    await walk(ask, { tls: foreign }, undefined)
  })

  await t.test('a built-in method is for whom it says', async () => {
    const admin = { token: await tokenFor('admin') }
    const services = JSON.parse((await ask(admin, 'GET', '/services')).body) as Record<string, unknown>
    const ranks = ['viewer', 'operator', 'admin']
    let denied = 0
    for (const service of Object.keys(services)) {
      const { method_details: methods } = JSON.parse((await ask(admin, 'GET', `/services/${service}`)).body) as {
        method_details: { name: string; required_role: string }[]
      }
      for (const { name, required_role: needed } of methods) {
        const call = { jsonrpc: '2.0', id: 1, method: `${service}/${name}`, params: {} }
        const stranger = await ask({}, 'POST', '/rpc', call)
        assert.equal(stranger.status, 401, call.method)
        for (const role of ranks.slice(0, ranks.indexOf(needed))) {
          const { body } = await ask({ token: await tokenFor(role) }, 'POST', '/rpc', call)
          assert.match(body, /P2P_RPC_ACCESS_DENIED/, `${call.method} as ${role}: ${body}`)
          denied++
        }
      }
    }
    assert.ok(denied > 10, `${denied} methods ask for more than a viewer`)
  })

  await t.test(
    'a worker cannot act for a person, for another node, or for the node services of the coordinator',
    async () => {
      const visitor = { tls: worker.current() }
      const calls: [string, object][] = [
        ['orchestrator/read_secrets', { secrets: [{ name: 'shop/db', version: 0 }] }],
        ['orchestrator/uninstall_service', { service_name: 'shop' }],
        ['orchestrator/scale_service', { service_name: 'shop', count: 1 }],
      ]
      for (const [method, params] of calls) {
        const { body } = await ask(visitor, 'POST', '/rpc', { jsonrpc: '2.0', id: 1, method, params })
        assert.match(body, /P2P_RPC_ACCESS_DENIED/, `${method}: ${body}`)
      }
    },
  )

  await t.test('a worker cannot have a certificate in the name of another node, or as a coordinator', async () => {
    const victim = await certify('worker-2')
    const taken = { code: 'P2P_PKI_NODE_ID_TAKEN' }
    await assert.rejects(certify('worker-2'), taken)
    await assert.rejects(certify(COORDINATOR), taken)
    assert.equal(victim.identity().nodeId, 'worker-2')
  })

  await t.test('WebSocket: for viewers; not for strangers, not for nodes, not from a page of elsewhere', async () => {
    const token = await tokenFor('viewer')
    const open = (visitor: Visitor, headers: Record<string, string> = {}): Promise<number> =>
      new Promise((resolve, reject) => {
        const socket = new WebSocket(`${url.replace('https', 'wss')}/ws/dashboard`, {
          ca,
          ...(visitor.tls && { cert: visitor.tls.certificateChainPem, key: visitor.tls.keyPem }),
          // What its types call a boolean is what node:tls takes for an error.
          checkServerIdentity: () => undefined as never,
          headers: { ...(visitor.token !== undefined && { authorization: `Bearer ${visitor.token}` }), ...headers },
        })
        socket.on('unexpected-response', (_request, response) => {
          resolve(response.statusCode as number)
          response.destroy()
        })
        socket.on('open', () => {
          resolve(101)
          socket.terminate()
        })
        socket.on('error', reject)
      })
    assert.equal(await open({ token }), 101)
    assert.equal(await open({}), 401)
    assert.equal(await open({ tls: worker.current() }), 403)
    assert.equal(await open({ token }, { origin: 'https://evil.example' }), 403)
  })

  await t.test('a revoked certificate is cut off, on connections that are open too, and is a stranger', async () => {
    const tls = worker.current()
    const socket: TLSSocket = connectTls({
      port,
      host: '127.0.0.1',
      ca,
      cert: tls.certificateChainPem,
      key: tls.keyPem,
      ALPNProtocols: ['http/1.1'],
      checkServerIdentity: () => undefined,
    })
    await once(socket, 'secureConnect')
    socket.write('GET /services HTTP/1.1\r\nHost: a\r\n\r\n')
    const [head] = await once(socket, 'data')
    assert.match(String(head), /^HTTP\/1\.1 200/)
    const cut = once(socket.resume(), 'close')
    const { peers } = await openPeersOf(t, worker)
    const channel = await peers.open({ addresses: [`127.0.0.1:${port}`] })
    const closed = once(channel.closed, 'abort')
    const revoked = await run('nodes', 'revoke', 'worker-1', '--yes')
    assert.equal(revoked.code, 0, revoked.stderr)
    await cut
    await closed
    await walk(ask, { tls }, undefined)
  })

  await t.test('and openssl finds it in the list', { skip: isLeftOut('openssl') }, async () => {
    const [leaf = '', issuing = ''] = splitCertificates(worker.current().certificateChainPem)
    const der = await derOf(`${url}/internal/crl`, ca)
    const { output: pem } = openssl(['crl', '-inform', 'DER', '-in', 'der'], { der })
    const args = ['verify', '-crl_check', '-CRLfile', 'pem', '-CAfile', 'ca', '-untrusted', 'issuing', 'leaf']
    assert.match(openssl(args, { pem, ca, issuing, leaf }).output, /certificate revoked/)
  })
})

function derOf(url: string, ca: string): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { ca, checkServerIdentity: () => undefined, agent: false }, (incoming) => {
      incoming.toArray().then((chunks) => resolve(Buffer.concat(chunks)), reject)
    })
    outgoing.on('error', reject)
    outgoing.end()
  })
}

/** A certificate that says everything that the coordinator's says, from a CA of somebody else. */
async function foreignCoordinator(t: TestContext, cluster: string): Promise<TlsMaterial> {
  const needs = { ...realNeeds, store: new MemoryStore() }
  const authority: CertificateAuthority & { start(signal: AbortSignal): Promise<void> } = createCertificateAuthority(
    needs,
    {
      cluster,
    },
  )
  const { signal } = new AbortController()
  await authority.start(signal)
  const names = { dnsNames: () => [], ipAddresses: () => [] }
  const identity = createLocalIdentity({ ...needs, ca: authority }, { nodeId: COORDINATOR, ...names })
  await identity.start(signal)
  t.after(() => identity.stop())
  return identity.current()
}
