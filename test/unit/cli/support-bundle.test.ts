import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { before, suite, test, type TestContext } from 'node:test'
import { text } from 'node:stream/consumers'
import { createGunzip } from 'node:zlib'
import { extract } from 'tar-stream'
import { redacted, redactedText } from '../../../src/cli/support/redact.ts'
import { type FakeUser, fakeUser, NOW_MS } from './fake-host.ts'
import { problem, type StubNode, stubNode, type StubRequest, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const started = new Date(NOW_MS - 60_000).toISOString()

/** Each must not be found anywhere in the bundle. */
const SECRETS = [
  'hunter2-url',
  'hunter2-config',
  'hunter2-env',
  'hunter2-line',
  'hunter2-field',
  'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC',
  'eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl',
  'P2PO1-operatorcredential',
  'QRN3-MNR9-5N8B',
  'joinsecretpart',
  'AKIAIOSFODNN7EXAMPLE',
  'hunter2-bearer',
  'hunter2-event',
]

async function cluster(t: TestContext): Promise<[FakeUser, StubNode]> {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  const ok = (body: unknown) => ({ body })
  Object.assign(node.answers, {
    'POST /auth/token': ok({ access_token: 't', token_type: 'bearer', expires_in: 43_200, role: 'admin' }),
    'GET /api/status': ok({ node_id: 'c1', cluster: 'corp', version: '3.0.0' }),
    'GET /cluster/nodes': ok({
      nodes: [
        { node_id: 'c1', status: 'alive', last_seen: started },
        { node_id: '../../etc', status: 'alive', last_seen: started },
        { node_id: 'w2', status: 'dead', last_seen: started },
      ],
    }),
    'GET /services': ok({ services: {} }),
    'GET /api/deployments': ok({
      deployments: [
        {
          deployment: { service: 'shop', config: { db_password: 'hunter2-config', environment: { A: 'hunter2-env' } } },
        },
      ],
    }),
    'GET /api/deployments/shop/history': ok({ history: [{ reason: 'token=P2P1-abc-joinsecretpart' }] }),
    'GET /api/dashboard/full-data': ok({ metrics: { tokens_total: 4 } }),
    'GET /metrics?format=json': ok({}),
    'GET /api/ca': ok({ cluster: 'corp', issued: [{ serial: '01ab', key: 'P2PO1-operatorcredential' }] }),
    'GET /api/nodes/pending': ok({ pending: [] }),
    'GET /api/alerts': ok({ alerts: [], targets: [{ name: 'webhook a.example' }] }),
    'GET /api/events?limit=500': ok({ events: [{ summary: 'deployed with secret=hunter2-event' }] }),
    'GET /api/audit?limit=1000': problem('P2P_RPC_ACCESS_DENIED', 403),
    'POST /rpc': ({ body, path }: StubRequest) => {
      const { method } = body as { method: string }
      const config = { redisUrl: 'redis://user:hunter2-url@10.0.0.9:6379', port: 8001, path }
      return ok({ jsonrpc: '2.0', id: 1, result: method === 'system/get_config' ? { config } : {} })
    },
    'GET /api/logs': ({ path }: StubRequest) => {
      const { searchParams } = new URL(path, node.url)
      const cursor = Number(searchParams.get('cursor') ?? 11)
      const count = Math.min(Number(searchParams.get('limit')), 4, cursor - 1)
      const logs = Array.from({ length: count }, (_, index) => logLine(cursor - 1 - index))
      return ok({ logs, total: 10, next_cursor: cursor - count > 1 ? cursor - count : null })
    },
  })
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  const credential = { cluster: 'c1', credential: 'P2PO1-x', url: node.url, ca_certificate: authority.ca }
  writeFileSync(join(user.folder, 'data/coordinator/operator.json'), JSON.stringify(credential))
  return [user, node]
}

const TEXTS = [
  'password: hunter2-line',
  '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----',
  'the token eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl was shown',
  'recovery key P2PR-DQ3A-7ECC-F89Z-G3CW-QRN3-MNR9-5N8B-TKXP-46SM',
  'key AKIAIOSFODNN7EXAMPLE',
  'Authorization: Bearer hunter2-bearer-0123456789',
]

function logLine(cursor: number): object {
  const message = TEXTS[cursor % TEXTS.length]
  return {
    timestamp: started,
    node_id: 'c1',
    level: 'INFO',
    message,
    cursor,
    fields: { apiKey: 'hunter2-field', n: cursor },
  }
}

/** Path in the archive to content. */
async function unpacked(file: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  const unpack = extract()
  Readable.from([readFileSync(file)])
    .pipe(createGunzip())
    .pipe(unpack)
  for await (const entry of unpack) files.set(entry.header.name, await text(entry))
  return files
}

suite('p2p support-bundle', () => {
  test('holds what helps, and none of the secrets that stood in it', async (t) => {
    const [user] = await cluster(t)
    const { code, output, talk } = await user.run('support-bundle')
    assert.equal(code, 0, talk)
    const path = join(user.folder, 'p2p-support-20260102-030405.tar.gz')
    assert.equal(output, `${path}\n`)
    if (process.platform !== 'win32') assert.equal(statSync(path).mode & 0o777, 0o600)
    const files = await unpacked(path)
    const names = [...files.keys()].map((name) => name.replace('p2p-support-20260102-030405/', ''))
    for (const name of [
      'contents.json',
      'members.json',
      'alerts.json',
      'deployments/shop.json',
      'certificates.json',
      'logs.jsonl',
    ]) {
      assert.ok(names.includes(name), name)
    }
    assert.ok(names.includes('nodes/c1/config.json'))
    const all = [...files.values()].join('\n')
    for (const secret of SECRETS) assert.ok(!all.includes(secret), `${secret} is in the bundle`)
    assert.match(all, /redis:\/\/user:\[redacted\]@10\.0\.0\.9:6379/)
    assert.match(all, /"port": 8001/)
    assert.match(all, /"tokens_total": 4/, 'a count of tokens is no secret')
    assert.match(all, /"serial": "01ab"/)
  })

  test('the lines are all there, oldest first, page by page', async (t) => {
    const [user, node] = await cluster(t)
    await user.run('support-bundle', '--file', 'b.tar.gz')
    const files = await unpacked(join(user.folder, 'b.tar.gz'))
    const lines = [...files].find(([name]) => name.endsWith('logs.jsonl'))?.[1] ?? ''
    const cursors = lines
      .split('\n')
      .filter(Boolean)
      .map((line) => (JSON.parse(line) as { cursor: number }).cursor)
    assert.deepEqual(cursors, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    assert.equal(node.requests.filter(({ path }) => path.startsWith('/api/logs')).length, 3)
  })

  test('what cannot be read is named, and the rest comes', async (t) => {
    const [user] = await cluster(t)
    const { code, talk } = await user.run('support-bundle', '--file', 'b.tar.gz')
    assert.equal(code, 0)
    assert.match(talk, /Left out: audit\.json: refused with P2P_RPC_ACCESS_DENIED/)
    const files = await unpacked(join(user.folder, 'b.tar.gz'))
    const contents = [...files].find(([name]) => name.endsWith('contents.json'))?.[1] ?? ''
    assert.match(contents, /"name": "audit\.json"/)
  })

  test('the name of a node cannot lead out of the folder', async (t) => {
    const [user] = await cluster(t)
    await user.run('support-bundle', '--file', 'b.tar.gz')
    const names = [...(await unpacked(join(user.folder, 'b.tar.gz'))).keys()]
    assert.ok(names.every((name) => !name.split('/').includes('..')))
  })

  test('no file is written over', async (t) => {
    const [user] = await cluster(t)
    writeFileSync(join(user.folder, 'b.tar.gz'), 'mine')
    const { code, talk } = await user.run('support-bundle', '--file', 'b.tar.gz')
    assert.equal(code, 2)
    assert.match(talk, /choose another by --file/)
    assert.equal(readFileSync(join(user.folder, 'b.tar.gz'), 'utf8'), 'mine')
  })

  test('without a login nothing is written', async (t) => {
    const user = fakeUser(t)
    assert.equal((await user.run('support-bundle', '--file', 'b.tar.gz')).code, 77)
    assert.ok(!existsSync(join(user.folder, 'b.tar.gz')))
  })
})

suite('redaction', () => {
  test('by name, at any depth, whatever the type', () => {
    const value = {
      a: [{ clientSecret: { deep: 'x' } }],
      pin_password: 1234,
      tokenId: 'public',
      passwordFile: '/etc/x',
    }
    assert.deepEqual(redacted(value), {
      a: [{ clientSecret: '[redacted]' }],
      pin_password: '[redacted]',
      tokenId: 'public',
      passwordFile: '/etc/x',
    })
  })

  test('a word that only ends like a harmless one is none', () => {
    assert.deepEqual(redacted({ secretItems: 'x', password_void: 'y', token_ttl_ms: 5, cookieCount: 2 }), {
      secretItems: '[redacted]',
      password_void: '[redacted]',
      token_ttl_ms: 5,
      cookieCount: 2,
    })
  })

  test('by shape, also in names of fields and in parts of URLs', () => {
    assert.deepEqual(redacted({ 'https://u:pw@h/x': 1 }), { 'https://u:[redacted]@h/x': 1 })
    assert.equal(redactedText('https://h/?api_key=abcdef&x=1'), 'https://h/?api_key=[redacted]&x=1')
    assert.equal(redactedText('{"password":"abc def"}'), '{"password":[redacted]}')
    assert.equal(
      redactedText('https://hooks.slack.com/services/T0/B0/abcdef'),
      'https://hooks.slack.com/services/[redacted]',
    )
    assert.equal(redactedText('https://h/dashboard#login=SBIn6--yd'), 'https://h/dashboard#login=[redacted]')
  })

  test('of an environment only the names are left', () => {
    assert.deepEqual(redacted({ env: { PATH: '/bin', DB: 'x' } }), { env: { PATH: '[redacted]', DB: '[redacted]' } })
    assert.deepEqual(redacted({ environment: ['A=b=c'] }), { environment: ['A=[redacted]'] })
  })

  test('what is no secret stays as it is', () => {
    const value = { node_id: 'w1', count: 3, when: null, ok: true, text: 'Call of inventory/find took 3 ms' }
    assert.deepEqual(redacted(value), value)
  })
})
