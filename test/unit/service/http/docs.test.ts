import assert from 'node:assert/strict'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { ACCESS } from '../../../../src/service/auth/access.ts'
import { INVENTORY, type Json, startStubNode } from './stub-node.ts'

for (const path of ['/docs', '/redoc']) {
  test(`${path} is a page whose every script and style comes from this node`, async () => {
    await using node = await startStubNode()
    const page = await node.ask(path)
    assert.equal(page.headers.get('content-type'), 'text/html; charset=utf-8')
    const policy = page.headers.get('content-security-policy') ?? ''
    assert.match(policy, /default-src 'none'; script-src 'self';/)
    assert.doesNotMatch(policy, /unsafe-eval|https?:|\*/)
    const loaded = [...page.text.matchAll(/(?:src|href)="([^"]+)"/g)].map((match) => match[1] as string)
    const local = loaded.filter((url) => url !== 'data:,')
    assert.ok(local.length >= 2)
    for (const url of local) {
      assert.match(url, /^\/docs\/assets\//)
      const asset = await node.ask(url)
      assert.equal(asset.status, 200, url)
      assert.match(asset.headers.get('content-type') ?? '', url.endsWith('.css') ? /^text\/css/ : /^text\/javascript/)
      assert.ok(asset.text.length > 100, url)
    }
    for (const [, attributes, code] of page.text.matchAll(/<script([^>]*)>([^<]*)<\/script>/g)) {
      assert.match(attributes as string, /src=/, 'no inline script')
      assert.equal(code, '')
    }
    assert.doesNotMatch(page.text, /https?:\/\//)
  })
}

test('the build folder is asked first, then the development install', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'p2p-assets-'))
  try {
    await writeFile(join(directory, 'swagger-ui.css'), '/* built */')
    await using node = await startStubNode({}, { assetsDirectory: directory })
    assert.equal((await node.ask('/docs/assets/swagger-ui.css')).text, '/* built */')
    assert.match((await node.ask('/docs/assets/swagger-ui-bundle.js')).text, /SwaggerUIBundle/)
  } finally {
    await rm(directory, { recursive: true })
  }
})

test('a file that is nowhere is 404 and says how it gets there', async () => {
  const missing = Object.assign(new Error('missing'), { code: 'ENOENT' })
  await using node = await startStubNode({ files: { readFile: () => Promise.reject(missing) } })
  const answer = await node.ask('/docs/assets/redoc.standalone.js')
  assert.equal(answer.status, 404)
  assert.match(answer.json().detail, /npm run build/)
})

test('nothing but the listed files is served, whatever the spelling', async () => {
  await using node = await startStubNode()
  for (const name of ['package.json', '..%2f..%2fpackage.json', '%2e%2e', 'swagger-ui.css%00', 'swagger-ui.css.map']) {
    const { status } = await node.ask(`/docs/assets/${name}`)
    assert.ok(status === 400 || status === 401, `${name}: ${status}`)
  }
})

test('every public method is in the document: its parameters, its result, its request', async () => {
  await using node = await startStubNode()
  const { paths, components } = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  const { post } = paths['/rpc']
  assert.deepEqual(
    post['x-methods'].map(({ method }: { method: string }) => method),
    ['inventory/list'],
    'the one that is not public is left out',
  )
  const { schemas } = components
  assert.deepEqual(schemas['rpc.inventory.list.params'], {
    type: 'object',
    properties: { prefix: { $ref: '#/components/schemas/rpc.inventory.list.params/$defs/name' } },
    $defs: { name: { type: 'string' } },
  })
  assert.deepEqual(schemas['rpc.inventory.list.result'], { type: 'array', items: { type: 'string' } })
  assert.deepEqual(schemas['rpc.inventory.list.request'].properties.method, { const: 'inventory/list' })
  const forms = post.requestBody.content['application/json'].schema.anyOf
  assert.ok(forms.some(({ $ref }: { $ref?: string }) => $ref === '#/components/schemas/rpc.inventory.list.request'))
})

test('the document follows the services: one that comes later is in it, one that went is not', async () => {
  let list = [INVENTORY]
  await using node = await startStubNode({ services: { list: () => list, get: () => undefined } })
  const token = await node.tokenFor('viewer')
  const methods = async (): Promise<string[]> => {
    const { paths } = (await node.ask('/openapi.json', { token })).json()
    return paths['/rpc'].post['x-methods'].map(({ method }: { method: string }) => method)
  }
  assert.deepEqual(await methods(), ['inventory/list'])
  const [listMethod] = INVENTORY.methods as [(typeof INVENTORY.methods)[number]]
  list = [{ ...INVENTORY, name: 'other', methods: [{ ...listMethod, service: 'other', name: 'go' }] }]
  assert.deepEqual(await methods(), ['other/go'])
})

test('the validator used here refuses a document that is wrong', async () => {
  await using node = await startStubNode()
  const document = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  delete document['info'].title
  const { valid } = await new Validator().validate(document)
  assert.equal(valid, false)
})

test('every answer in the document says what it is', async () => {
  await using node = await startStubNode()
  const { paths } = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  for (const [path, operations] of Object.entries<Record<string, Json>>(paths)) {
    for (const operation of Object.values(operations)) {
      assert.ok(operation.summary && operation.operationId && operation.tags.length === 1, path)
      for (const response of Object.values<{ description: string }>(operation.responses)) {
        assert.notEqual(response.description, 'Default Response', path)
      }
    }
  }
})

test('docs/protocol/http.md lists the routes of the access table, no more and no less', async () => {
  const page = await readFile(new URL('../../../../docs/protocol/http.md', import.meta.url), 'utf8')
  const [, table = ''] = /\| Route \| Who \|\n([\s\S]*?)\n\n/.exec(page) ?? []
  const listed = [...table.matchAll(/`((?:GET|POST|PUT|DELETE) [^`]+)`/g)].map((match) => match[1] as string)
  assert.deepEqual(listed.sort(), Object.keys(ACCESS).sort())
})
