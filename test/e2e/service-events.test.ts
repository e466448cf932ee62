import assert from 'node:assert/strict'
import { test } from 'node:test'
import { service, startServices } from './support/service-node.ts'

const PUBLIC = `description: 'x', public: true`

test('services in processes of their own publish and hear events, balanced and to all', async (t) => {
  const hear = (name: string) =>
    service(
      name,
      `heard: method({ ${PUBLIC}, handler: () => heard })`,
      `initialize({ events }) {
        events.subscribe('orders.*', (data, event) => void heard.push({ data, topic: event.topic, from: event.from.service }))
        events.subscribe('flush', () => void heard.push({ topic: 'flush' }), { delivery: 'all' })
      }`,
    ).replace('export default', 'const heard: object[] = []\nexport default')
  const node = await startServices(t, {
    'billing/main.ts': hear('billing'),
    'stock/main.ts': hear('stock'),
    'shop/main.ts': service(
      'shop',
      `order: method({ ${PUBLIC}, handler: (params, { service }) => { service.events.publish('orders.created', params); service.events.publish('flush'); service.events.publish('other', 1) } }),
      wrong: method({ ${PUBLIC}, handler: (_, { service }) => service.events.publish('no topic') })`,
    ),
  })
  await node.manager.settled()
  await node.until(() => node.manager.records().filter(({ events }) => events?.length === 2).length === 2)
  await node.call('shop/order', { id: 7 })
  for (const name of ['billing', 'stock']) {
    let heard: unknown[] = []
    // The call goes the same way as the events before it, so that one more at most is needed.
    for (let i = 0; i < 100 && heard.length < 2; i++) heard = (await node.call(`${name}/heard`)) as unknown[]
    assert.deepEqual(heard, [{ data: { id: 7 }, topic: 'orders.created', from: 'shop' }, { topic: 'flush' }])
  }
  await assert.rejects(node.call('shop/wrong'), { code: 'P2P_RPC_SERVICE_FAILED', message: /"no topic" is no topic/ })
  await node.manager.host.stop('stock')
  assert.deepEqual(node.manager.records().find(({ name }) => name === 'stock')?.events, undefined)
})
