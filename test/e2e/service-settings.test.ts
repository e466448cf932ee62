import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { eventually } from './support/node-process.ts'
import { type ServiceNode, startServices } from './support/service-node.ts'

/** Tells what it has, and what it was told of; refuses a colour that is none. */
const SHOP = `
import { defineService, method } from 'p2p-core/service'
const told = []
export default defineService({
  name: 'shop', version: '1.0.0', description: 'x',
  methods: { tell: method({
    description: 'x', public: true,
    handler: (_, { service }) => ({ pid: process.pid, config: service.config, key: service.secrets.key, told }),
  }) },
  reconfigure(service, change) {
    if (service.config.colour === 'none') throw new Error('none is no colour')
    if (service.config.colour === 'crash') process.exit(3)
    told.push(change)
  },
})`

interface Told {
  pid: number
  config: object
  key: string
  told: { config: string[]; secrets: string[] }[]
}

function tell(node: ServiceNode): Promise<Told> {
  return node.call('shop/tell') as Promise<Told>
}

describe('another configuration or secret', () => {
  for (const kind of ['process', 'thread', 'inline'] as const) {
    test(`reaches a service that says so as it runs (${kind})`, async (t) => {
      const node = await startServices(t, {
        'shop/main.js': SHOP,
        'shop/manifest.json': JSON.stringify({ name: 'shop', kind, reload: 'signal', secrets: ['key'] }),
      })
      await node.manager.settled()
      const { host } = node.manager
      const spec = (generation: number, colour: string, key: string) =>
        node.spec('shop', { name: 'shop', generation, config: { colour }, secrets: { key } })
      await host.deploy(spec(1, 'red', 'one'))
      const before = await tell(node)
      const [{ id } = { id: '' }] = node.instances('shop')
      await host.deploy(spec(2, 'red', 'two'))
      await host.deploy(spec(3, 'blue', 'two'))
      const after = await tell(node)
      assert.deepEqual([after.pid, after.config, after.key], [before.pid, { colour: 'blue' }, 'two'])
      assert.deepEqual(after.told, [
        { config: [], secrets: ['key'] },
        { config: ['colour'], secrets: [] },
      ])
      const [now] = node.instances('shop')
      assert.deepEqual([now?.id, now?.generation, now?.restarts], [id, 3, 0])

      await assert.rejects(host.deploy(spec(4, 'none', 'three')), {
        code: 'P2P_SERVICE_START_FAILED',
        message: /^Service shop did not take its new settings: none is no colour/,
      })
      const kept = await tell(node)
      assert.deepEqual([kept.pid, kept.config, kept.key], [before.pid, { colour: 'blue' }, 'two'])
      assert.equal(node.instances('shop')[0]?.generation, 3)
    })
  }

  test('is what a service starts with that ended since; one that ends of it has not taken it', async (t) => {
    const manifest = { name: 'shop', reload: 'signal', secrets: ['key'], restart: { backoffMs: 1 } }
    const node = await startServices(t, { 'shop/main.js': SHOP, 'shop/manifest.json': JSON.stringify(manifest) })
    await node.manager.settled()
    const { host } = node.manager
    const spec = (colour: string) => node.spec('shop', { name: 'shop', config: { colour }, secrets: { key: 'k' } })
    await host.deploy(spec('red'))
    await host.deploy(spec('blue'))
    process.kill(node.instances('shop')[0]?.pid as number, 'SIGKILL')
    await node.until(() => node.instances('shop')[0]?.restarts === 1 && node.manager.get('shop')?.status === 'running')
    assert.deepEqual((await tell(node)).config, { colour: 'blue' })
    await assert.rejects(host.deploy(spec('crash')), { code: 'P2P_SERVICE_START_FAILED', message: /exit code 3/ })
    await node.until(() => node.instances('shop')[0]?.restarts === 2 && node.manager.get('shop')?.status === 'running')
    assert.deepEqual((await tell(node)).config, { colour: 'blue' })
  })

  test('starts a service anew that does not say so', async (t) => {
    const node = await startServices(t, {
      'shop/main.js': SHOP,
      'shop/manifest.json': JSON.stringify({ name: 'shop', secrets: ['key'] }),
    })
    await node.manager.settled()
    const spec = (key: string) => node.spec('shop', { name: 'shop', secrets: { key } })
    await node.manager.host.deploy(spec('one'))
    const before = node.instances('shop')
    await node.manager.host.deploy(spec('two'))
    const after = await tell(node)
    assert.notEqual(node.instances('shop')[0]?.id, before[0]?.id)
    assert.deepEqual([after.key, after.told], ['two', []])
  })

  test('is in the files of a program when it gets SIGHUP, and on no disk', {
    skip: process.platform !== 'linux',
  }, async (t) => {
    const exec = {
      command: 'sh',
      args: ['run.sh', '{file:shop.conf}', '{data}'],
      files: { 'shop.conf': 'colour={config:colour} key={secret:key}' },
    }
    const manifest = { name: 'shop', reload: 'signal', secrets: ['key'], exec }
    const node = await startServices(t, {
      'shop/run.sh': `trap 'cat "$1" > "$2/read"' HUP
        cat "$1" > "$2/read"; echo "$1" > "$2/where"
        while :; do sleep 0.02; done`,
      'shop/manifest.json': JSON.stringify(manifest),
    })
    await node.manager.settled()
    const { host } = node.manager
    const spec = (colour: string, key: string) =>
      node.spec('shop', { name: 'shop', config: { colour }, secrets: { key } })
    const read = (file: string): string => readFileSync(`${node.state}/services/shop/data/${file}`, 'utf8')
    const reads = (text: string): Promise<string> =>
      eventually(
        async () => (existsSync(`${node.state}/services/shop/data/where`) ? read('read') : ''),
        (found) => found === text,
      )
    await host.deploy(spec('red', 'one'))
    await reads('colour=red key=one')
    const [{ pid } = { pid: 0 }] = node.instances('shop')
    await host.deploy(spec('blue', 'two'))
    await reads('colour=blue key=two')
    assert.equal(node.instances('shop')[0]?.pid, pid)
    const where = read('where').trim()
    assert.match(where, /^\/dev\/shm\/p2p-core-[0-9a-f]{16}-\w+\/shop\.conf$/)
    await host.stop('shop')
    assert.equal(existsSync(where), false)
  })
})

test('the code of a service tells its methods without being begun, and without its rights', async (t) => {
  const node = await startServices(t, {
    'shop/main.ts': `
      import { BaseService, serviceMethod, z } from 'p2p-core/service'
      export class Run extends BaseService {
        static SERVICE_NAME = 'shop'
        async initialize() { throw new Error('it was begun') }
        @serviceMethod({ description: 'x', public: true, params: z.object({ id: z.number() }) })
        async buy({ id }: { id: number }) { return { id } }
      }`,
    'shop/manifest.json': JSON.stringify({ name: 'shop', secrets: ['key'] }),
    'greedy/main.js': `import { readFileSync } from 'node:fs'\nreadFileSync('/etc/passwd')\nexport class Run {}`,
    'other/main.js': `import { defineService } from 'p2p-core/service'
      export default defineService({ name: 'another', version: '1.0.0', description: 'x', methods: {} })`,
  })
  const { host } = node.manager
  const asked = (name: string) => host.methodsOf(node.spec(name, { name }))
  const methods = await asked('shop')
  assert.deepEqual(
    methods.map(({ name, isPublic, params }) => ({ name, isPublic, required: params?.['required'] })),
    [{ name: 'buy', isPublic: true, required: ['id'] }],
  )
  await assert.rejects(asked('greedy'), /Access to this API has been restricted/)
  await assert.rejects(asked('other'), /its code names the service another, and not other/)
})

test('another generation of the same is a restart; another number of instances is none', async (t) => {
  for (const reload of ['restart', 'signal']) {
    const node = await startServices(t, {
      'shop/main.js': SHOP,
      'shop/manifest.json': JSON.stringify({ name: 'shop', reload, secrets: ['key'] }),
    })
    await node.manager.settled()
    const ids = (): string[] => node.instances('shop').map(({ id }) => id)
    const spec = (generation: number, instances: number) =>
      node.spec('shop', { name: 'shop', generation, instances, secrets: { key: 'k' } })
    await node.manager.host.deploy(spec(1, 1))
    const [first] = ids()
    await node.manager.host.deploy(spec(1, 2))
    assert.equal(ids()[0], first)
    assert.equal(ids().length, 2)
    await node.manager.host.deploy(spec(2, 2))
    assert.equal(ids().length, 2)
    assert.ok(!ids().includes(first as string))
    assert.deepEqual(new Set(node.instances('shop').map(({ generation }) => generation)), new Set([2]))
  }
})
