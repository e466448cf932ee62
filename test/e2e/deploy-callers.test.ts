import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { send, statusOf, succeeded, upload } from './support/deployments.ts'
import { callMethod, signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, startNode } from './support/node-process.ts'

interface Plan {
  refusals: { code: string; message: string }[]
  incompatible: { method: string; callers: string[] }[]
  warnings: string[]
}

type Files = Record<string, string | object>

/** @param methods text of the members of `methods` */
function service(name: string, version: string, methods: string, manifest: object = {}): Files {
  return {
    'manifest.json': { name, version, ...manifest },
    'main.js': `
      import { defineService, method, z } from 'p2p-core/service'
      const told = []
      export default defineService({
        name: '${name}', version: '${version}', description: 'x',
        reconfigure(service, change) { told.push(change) },
        methods: { ${methods} },
      })`,
  }
}

const PRICE = `price: method({ description: 'x', public: true, result: z.object({ price: z.number() }), handler: () => ({ price: 3 }) })`
const STOCK = `stock: method({ description: 'x', public: true, handler: () => 7 })`
const TELL = `tell: method({ description: 'x', public: true, handler: (_, { service }) => ({ pid: process.pid, key: service.secrets.key, told }) })`
const ORDER = `order: method({ description: 'x', public: true, handler: (_, { service }) => service.proxy.shop.price({}) })`

test('who calls a method keeps it from vanishing; another secret reaches what runs', {
  timeout: 120_000,
}, async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1', rate_limit_enabled: false }
  const c1 = startNode(t, home.config('c1', { ...common, port, coordinator_mode: true }))
  const { url, operatorFile } = await c1.ready()
  const api = { ...(await signIn(url, operatorFile as string)), url }
  const addresses = { coordinator_addresses: [`127.0.0.1:${port}`] }
  await startNode(t, home.config('w1', { ...common, port: await freePort(), ...addresses })).ready()
  const bring = (name: string, files: Files): Promise<string> => upload(api, join(home.directory, name), files)
  const deploy = async (name: string, files: Files, body: object = {}): Promise<void> => {
    await send(api, 'PUT', `/api/deployments/${name}`, { artifact: await bring(name, files), ...body })
    await succeeded(api, name)
  }

  await send(api, 'PUT', '/api/secrets/key', { value: 'one' })
  const first = { placement: { labels: { role: 'worker' } }, healthy_ms: 100 }
  const manifest = { secrets: ['key'], reload: 'signal' }
  await deploy('shop', service('shop', '1.0.0', [PRICE, STOCK, TELL].join(), manifest), first)
  await deploy('desk', service('desk', '1.0.0', ORDER), first)

  await t.test('in place, with the same process', async () => {
    const tell = () => callMethod(api, { method: 'shop/tell', node: 'w1' }) as Promise<{ pid: number; key: string }>
    const before = await tell()
    assert.equal(before.key, 'one')
    await send(api, 'PUT', '/api/secrets/key', { value: 'two' })
    await succeeded(api, 'shop')
    assert.deepEqual(await tell(), { pid: before.pid, key: 'two', told: [{ config: [], secrets: ['key'] }] })
    const { instances, deployment } = await statusOf(api, 'shop')
    assert.deepEqual(
      instances.map(({ generation }) => generation),
      [deployment.generation],
    )
  })

  await t.test('with another process when a restart is asked for', async () => {
    const idOf = async (): Promise<string | undefined> => (await statusOf(api, 'shop')).instances[0]?.id
    const before = await idOf()
    await send(api, 'POST', '/api/deployments/shop/restart')
    await succeeded(api, 'shop')
    assert.notEqual(await idOf(), before)
  })

  await t.test('refused, with the names of those who called', async () => {
    assert.deepEqual(await callMethod(api, { method: 'desk/order', node: 'w1' }), { price: 3 })
    const artifact = await bring('shop', service('shop', '1.1.0', TELL, manifest))
    const plan = await eventually(
      () => send<Plan>(api, 'POST', '/api/deployments/shop/plan', { artifact }),
      ({ refusals }) => refusals.length > 0,
      300,
    )
    assert.deepEqual(
      plan.incompatible.map(({ method, callers }) => ({ method, callers })),
      [
        { method: 'price', callers: ['desk'] },
        { method: 'stock', callers: [] },
      ],
    )
    assert.match(plan.refusals[0]?.message ?? '', /^price: the method is gone, and desk called it in the last days/)
    assert.ok(plan.warnings.includes('stock: the method is gone; nobody has called it in the last days'))
    await assert.rejects(send(api, 'PUT', '/api/deployments/shop', { artifact }), /P2P_DEPLOY_REFUSED.*desk called it/)
    await deploy('shop', service('shop', '1.1.0', [PRICE, TELL].join(), manifest))
    await deploy('shop', service('shop', '1.2.0', TELL, manifest), { force: true })
    await assert.rejects(callMethod(api, { method: 'desk/order', node: 'w1' }))
  })
})
