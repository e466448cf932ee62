import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { type StubNode, startStubNode } from './stub-node.ts'

/** A build with one script, the folders as they lie in dist. */
async function startWithBuild(t: TestContext): Promise<StubNode> {
  const dist = await mkdtemp(join(tmpdir(), 'p2p-dashboard-'))
  t.after(() => rm(dist, { recursive: true }))
  await mkdir(join(dist, 'dashboard/assets'), { recursive: true })
  await writeFile(join(dist, 'dashboard/index.html'), '<!doctype html><title>page</title>')
  await writeFile(join(dist, 'dashboard/assets/index-a1.js'), 'plain')
  await writeFile(join(dist, 'dashboard/assets/index-a1.js.br'), 'as brotli')
  await writeFile(join(dist, 'dashboard/assets/index-a1.js.gz'), 'as gzip')
  await writeFile(join(dist, 'secret.js'), 'not of the page')
  const node = await startStubNode({}, { assetsDirectory: join(dist, 'assets/') })
  t.after(() => node[Symbol.asyncDispose]())
  return node
}

/** fetch would unpack what it gets; HEAD leaves the headers as they are. */
const headOf = (node: StubNode, accepted: string) =>
  node.ask('/dashboard/assets/index-a1.js', { method: 'HEAD', headers: { 'accept-encoding': accepted } })

test('every address of the page answers the page, never kept, under a policy without anything inline', async (t) => {
  const node = await startWithBuild(t)
  for (const path of ['/dashboard', '/dashboard/nodes', '/dashboard/nodes/worker-1', '/dashboard/services/a%2Fb']) {
    const answer = await node.ask(path)
    assert.equal(answer.status, 200, path)
    assert.match(answer.text, /<title>page/)
    assert.equal(answer.headers.get('content-type'), 'text/html; charset=utf-8')
    assert.equal(answer.headers.get('cache-control'), 'no-store')
    const policy = answer.headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'; script-src 'self'; style-src 'self'/)
    assert.doesNotMatch(policy, /unsafe|\*|https?:/)
  }
})

test('the root leads to the page', async (t) => {
  const node = await startWithBuild(t)
  const answer = await node.ask('/', { redirect: 'manual' })
  assert.equal(answer.status, 302)
  assert.equal(answer.headers.get('location'), '/dashboard')
})

test('an asset is kept for good and sent in the smallest form the browser takes', async (t) => {
  const node = await startWithBuild(t)
  for (const [accepted, encoding] of [
    ['gzip, deflate, br', 'br'],
    ['gzip', 'gzip'],
    ['br;q=0, gzip', 'gzip'],
    ['identity', null],
    ['xbr', null],
  ] as const) {
    const { status, headers } = await headOf(node, accepted)
    assert.equal(status, 200)
    assert.equal(headers.get('content-encoding'), encoding, accepted)
    assert.equal(headers.get('vary'), 'accept-encoding')
    assert.equal(headers.get('cache-control'), 'public, max-age=31536000, immutable')
    assert.equal(headers.get('content-type'), 'text/javascript; charset=utf-8')
  }
  const plain = await node.ask('/dashboard/assets/index-a1.js', { headers: { 'accept-encoding': 'identity' } })
  assert.equal(plain.text, 'plain')
})

test('a file of an older build is 404 and not kept', async (t) => {
  const node = await startWithBuild(t)
  const answer = await node.ask('/dashboard/assets/index-old.js')
  assert.equal(answer.status, 404)
  assert.match(answer.json().detail, /npm run build/)
  assert.equal(answer.headers.get('cache-control'), 'no-store')
})

test('nothing but files of the page is served, whatever the spelling', async (t) => {
  const node = await startWithBuild(t)
  for (const name of [
    '..%2f..%2fsecret.js',
    '..%5c..%5csecret.js',
    '.js',
    'index-a1.js.br',
    'index-a1.js%00',
    'a.html',
  ]) {
    const { status } = await node.ask(`/dashboard/assets/${name}`)
    assert.ok(status === 400 || status === 401, `${name}: ${status}`)
  }
})
