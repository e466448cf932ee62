import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { request } from 'node:http'
import { test } from 'node:test'
import { createRateLimiter } from '../../../../src/transport/index.ts'
import { ManualClock } from '../auth/manual-clock.ts'
import { DIGEST, StubUploads } from './stub-deployments.ts'
import { type Answer, jsonBody, type StubNode, startStubNode } from './stub-node.ts'

const BUNDLE = randomBytes(3 * 1024 * 1024)
const BUNDLE_DIGEST = createHash('sha256').update(BUNDLE).digest('hex')

function begin(node: StubNode, token: string, body: object = { digest: BUNDLE_DIGEST, size_bytes: BUNDLE.length }) {
  return node.ask('/api/artifacts', { ...jsonBody(body), token })
}

function part(node: StubNode, token: string, offset: number | string, bytes: Uint8Array): Promise<Answer> {
  const headers = { 'content-type': 'application/octet-stream' }
  const body = new Uint8Array(bytes)
  return node.ask(`/api/artifacts/${BUNDLE_DIGEST}?offset=${offset}`, { method: 'PUT', body, headers, token })
}

test('a bundle goes up in parts larger than other bodies may be, and is checked with its last byte', async () => {
  await using node = await startStubNode({ artifacts: new StubUploads() })
  const token = await node.tokenFor('operator')
  const begun = await begin(node, token)
  assert.deepEqual([begun.status, begun.json().offset, begun.json().artifact], [201, 0, undefined])
  const first = await part(node, token, 0, BUNDLE.subarray(0, 2_000_000))
  assert.deepEqual([first.status, first.json().offset, first.json().artifact], [200, 2_000_000, undefined])
  const head = await node.ask(`/api/artifacts/${BUNDLE_DIGEST}`, { method: 'HEAD', token })
  assert.deepEqual([head.status, head.headers.get('upload-offset'), head.text], [200, '2000000', ''])
  const last = await part(node, token, 2_000_000, BUNDLE.subarray(2_000_000))
  assert.equal(last.json().artifact.digest, BUNDLE_DIGEST)
  assert.equal((await begin(node, token)).status, 200, 'what is here need not be sent again')
})

test('what came before the connection broke is kept, and the upload goes on there', async () => {
  await using node = await startStubNode({ artifacts: new StubUploads() })
  const token = await node.tokenFor('operator')
  await begin(node, token)
  const { promise: sent, resolve } = Promise.withResolvers<void>()
  const outgoing = request(`${node.url}/api/artifacts/${BUNDLE_DIGEST}?offset=0`, {
    method: 'PUT',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/octet-stream',
      'content-length': BUNDLE.length,
    },
  })
  outgoing.on('error', () => {})
  outgoing.write(BUNDLE.subarray(0, 100_000), () => resolve())
  await sent
  const offset = async (): Promise<number> => {
    const { headers } = await node.ask(`/api/artifacts/${BUNDLE_DIGEST}`, { method: 'HEAD', token })
    return Number(headers.get('upload-offset'))
  }
  while ((await offset()) < 100_000);
  outgoing.destroy()
  const whole = await part(node, token, 100_000, BUNDLE.subarray(100_000))
  assert.equal(whole.json().artifact.digest, BUNDLE_DIGEST)
})

test('an upload that was whole when the answer was lost is checked by an empty part', async () => {
  const artifacts = new StubUploads()
  await using node = await startStubNode({ artifacts })
  const token = await node.tokenFor('operator')
  await begin(node, token)
  await artifacts.append(
    BUNDLE_DIGEST,
    0,
    (async function* () {
      yield BUNDLE
    })(),
  )
  const answer = await node.ask(`/api/artifacts/${BUNDLE_DIGEST}?offset=${BUNDLE.length}`, { method: 'PUT', token })
  assert.equal(answer.json().artifact.digest, BUNDLE_DIGEST)
})

test('a wrong offset, too many bytes, another digest, an unknown upload: each refused with where to go on', async () => {
  await using node = await startStubNode({ artifacts: new StubUploads() })
  const token = await node.tokenFor('operator')
  const unknown = await part(node, token, 0, BUNDLE)
  assert.deepEqual([unknown.status, unknown.json().code], [404, 'P2P_ARTIFACT_UNKNOWN'])
  assert.match(unknown.json().detail, /POST \/api\/artifacts/)
  await begin(node, token)
  const ahead = await part(node, token, 5, BUNDLE.subarray(5))
  assert.deepEqual([ahead.status, ahead.json().details.offset], [409, 0])
  const tooMany = await part(node, token, 0, Buffer.concat([BUNDLE, Buffer.alloc(1)]))
  assert.equal(tooMany.status, 413)
  const other = 'b2'.repeat(32)
  await begin(node, token, { digest: other, size_bytes: 3 })
  const init = { method: 'PUT', body: 'abc', headers: { 'content-type': 'application/octet-stream' }, token }
  assert.equal((await node.ask(`/api/artifacts/${other}?offset=0`, init)).status, 400)
  assert.equal((await node.ask(`/api/artifacts/${other}`, { token })).status, 404, 'it was thrown away')
})

test('what is no upload is refused before a byte is taken', async () => {
  const artifacts = new StubUploads()
  artifacts.append = () => assert.fail('reached')
  artifacts.begin = () => assert.fail('reached')
  await using node = await startStubNode({ artifacts })
  const token = await node.tokenFor('operator')
  for (const body of [
    {},
    { digest: BUNDLE_DIGEST },
    { digest: BUNDLE_DIGEST.toUpperCase(), size_bytes: 1 },
    { digest: '../etc/passwd', size_bytes: 1 },
    { digest: BUNDLE_DIGEST, size_bytes: 0 },
    { digest: BUNDLE_DIGEST, size_bytes: 1.5 },
  ]) {
    assert.equal((await begin(node, token, body)).status, 400, JSON.stringify(body))
  }
  const put = (path: string, type = 'application/octet-stream') =>
    node.ask(path, { method: 'PUT', body: 'x', headers: { 'content-type': type }, token })
  assert.equal((await put(`/api/artifacts/${DIGEST}?offset=-1`)).status, 400)
  assert.equal((await put(`/api/artifacts/${DIGEST}?offset=1e3`)).status, 400)
  assert.equal((await put(`/api/artifacts/${DIGEST}`)).status, 400)
  assert.equal((await put('/api/artifacts/xyz?offset=0')).status, 400)
  for (const type of ['text/plain', 'application/json']) {
    const text = await put(`/api/artifacts/${DIGEST}?offset=0`, type)
    assert.deepEqual([text.status, text.json().code], [415, 'P2P_HTTP_MEDIA_TYPE_UNSUPPORTED'])
    assert.match(text.json().detail, /^Bodies here are application\/octet-stream, not /)
  }
  const elsewhere = await node.ask('/api/tokens', {
    method: 'POST',
    body: 'x',
    headers: { 'content-type': 'application/octet-stream' },
    token: await node.tokenFor('admin'),
  })
  assert.equal(elsewhere.status, 415, 'no other route takes such a body')
})

test('a viewer uploads nothing', async () => {
  const artifacts = new StubUploads()
  artifacts.append = () => assert.fail('reached')
  await using node = await startStubNode({ artifacts })
  const token = await node.tokenFor('viewer')
  assert.equal((await begin(node, token)).status, 403)
  assert.equal((await part(node, token, 0, BUNDLE)).status, 403)
})

test('the parts of an upload have a lane of their own', async () => {
  const clock = new ManualClock()
  const limiter = () => createRateLimiter({ clock }, { perMinute: 60, burst: 2 })
  const limits = { rpc: limiter(), health: limiter(), default: limiter() }
  await using node = await startStubNode({ artifacts: new StubUploads(), limits })
  const token = await node.tokenFor('operator')
  await begin(node, token)
  for (let offset = 0; offset < 10; offset++) {
    assert.equal((await part(node, token, offset, BUNDLE.subarray(offset, offset + 1))).status, 200)
  }
})
