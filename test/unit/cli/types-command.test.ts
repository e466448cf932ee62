import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { before, test, type TestContext } from 'node:test'
import { fakeUser } from './fake-host.ts'
import { problem, stubNode, type TestAuthority, testAuthority } from './stub-node.ts'

let authority: TestAuthority
before(async () => {
  authority = await testAuthority()
})

const LEND = {
  name: 'lend',
  description: 'Lends one book',
  params: { type: 'object', properties: { id: { type: 'integer' } }, required: ['id'] },
  result: { type: 'object', properties: { title: { type: 'string' } }, required: ['title'] },
  required_role: 'operator',
  timeout_ms: 30_000,
  cache_ttl_ms: 0,
}
const TAIL = { ...LEND, name: 'tail', params: null, result: null, stream: true, item: { type: 'string' } }

function details(name: string, methods: object[]): object {
  const info = { name, version: '1.0.0', description: 'Lends books', exposed_methods: [], metadata: {} }
  return { status: 'running', health: 'healthy', info, methods: [], method_details: methods }
}

/** A cluster whose one node runs `library`, and `web`, a program without methods; and a dead node. */
async function cluster(t: TestContext) {
  const user = fakeUser(t)
  const node = await stubNode(t, authority)
  node.answers['POST /auth/token'] = {
    body: { access_token: 'token', token_type: 'bearer', expires_in: 43_200, role: 'admin' },
  }
  const service = (methods: string[]) => ({ version: '1.0.0', status: 'healthy', description: '', methods })
  const member = {
    address: '127.0.0.1',
    port: node.port,
    role: 'worker',
    addresses: [],
    capabilities: [],
    metadata: {},
  }
  node.answers['GET /cluster/nodes'] = {
    body: {
      nodes: [
        { ...member, node_id: 'n1', status: 'alive', services: { library: service(['lend']), web: service([]) } },
        { ...member, node_id: 'n2', status: 'dead', services: { gone: service(['x']) } },
      ],
    },
  }
  node.answers['GET /services/library'] = { body: details('library', [LEND, TAIL]) }
  mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
  writeFileSync(
    join(user.folder, 'data/coordinator/operator.json'),
    JSON.stringify({
      cluster: 'c1',
      credential: `P2PO1-${'x'.repeat(43)}`,
      url: node.url,
      ca_certificate: authority.ca,
    }),
  )
  return { user, node }
}

test('writes the types of what runs and has methods; streams are iterables of their items', async (t) => {
  const { user } = await cluster(t)
  const { code, output } = await user.run('types')
  assert.equal(code, 0)
  assert.match(output, /from cluster c1/)
  assert.match(output, /readonly library: OnNodes<Library>/)
  assert.match(output, /tail\(params\?: object, options\?: CallOptions\): Promise<AsyncIterable<string>>/)
  assert.doesNotMatch(output, /[Ww]eb|[Gg]one/)
})

test('only those named; an unknown one is refused with what was meant', async (t) => {
  const { user, node } = await cluster(t)
  assert.match((await user.run('types', 'library')).output, /interface Library/)
  node.answers['GET /services/libary'] = problem('P2P_SERVICE_NOT_FOUND', 404)
  const { code, talk } = await user.run('types', 'libary')
  assert.equal(code, 2)
  assert.match(talk, /did you mean library/)
})

test('--check tells by its exit code whether the file is what would be written, and writes nothing', async (t) => {
  const { user, node } = await cluster(t)
  const path = join(user.folder, 'services.ts')
  assert.equal((await user.run('types', '--file', 'services.ts')).code, 0)
  const written = readFileSync(path, 'utf8')
  assert.equal((await user.run('types', '--file', 'services.ts', '--check')).code, 0)
  node.answers['GET /services/library'] = { body: details('library', [LEND]) }
  const { code, talk } = await user.run('types', '--file', 'services.ts', '--check')
  assert.equal(code, 3)
  assert.match(talk, /run "p2p types --file services.ts"/)
  assert.equal(readFileSync(path, 'utf8'), written)
  assert.equal((await user.run('types', '--check')).code, 2)
})
