import assert from 'node:assert/strict'
import { test } from 'node:test'
import { StorageError } from '../../../src/base/errors.ts'
import { defineService, method } from '../../../src/service/index.ts'
import { StubAudit } from './http/stub-audit.ts'
import { call, startNode, turn, VIEWER } from './support/node.ts'

const OPERATOR = { kind: 'person', name: 'olga', role: 'operator' } as const

function door(done: string[]) {
  const open = (name: string, requiredRole: 'viewer' | 'operator' | 'admin') =>
    method({
      description: '',
      public: true,
      requiredRole,
      handler: () => {
        done.push(name)
        if (name === 'jam') throw new Error('jammed')
        return name
      },
    })
  return defineService({
    name: 'door',
    version: '1',
    description: '',
    methods: { look: open('look', 'viewer'), open: open('open', 'operator'), jam: open('jam', 'admin') },
  })
}

async function start() {
  const audit = new StubAudit()
  const done: string[] = []
  const node = await startNode({ services: [door(done)], audit })
  return { audit, done, node, [Symbol.asyncDispose]: () => node.manager.stop() }
}

test('what a person does with more than a viewer’s rights is recorded before it is done, and how it ended', async () => {
  await using world = await start()
  const { audit, done, node } = world
  const opening = call(node, 'door/open', { pin: 'secret' }, { caller: OPERATOR })
  assert.deepEqual(done, [], 'the record comes first')
  assert.equal(await opening, 'open')
  await assert.rejects(call(node, 'door/jam'), { code: 'P2P_RPC_SERVICE_FAILED' })
  await turn()
  assert.deepEqual(audit.written, [
    'intent rpc door/open person:olga',
    'succeeded rpc door/open undefined',
    'intent rpc door/jam person:ada',
    'failed rpc door/jam P2P_RPC_SERVICE_FAILED',
  ])
  assert.ok(!JSON.stringify(audit.acts).includes('secret'))
})

test('reading is not recorded, nor are calls of services', async () => {
  await using world = await start()
  const { audit, node } = world
  await call(node, 'door/look', {}, { caller: VIEWER })
  await call(node, 'door/open', {}, { caller: { kind: 'node', nodeId: 'n1', role: 'worker', service: 'other' } })
  assert.deepEqual(audit.written, [])
})

test('what was refused is recorded', async () => {
  await using world = await start()
  const { audit, done, node } = world
  await assert.rejects(call(node, 'door/jam', {}, { caller: OPERATOR }), { code: 'P2P_RPC_ACCESS_DENIED' })
  assert.deepEqual(audit.written, ['refused rpc door/jam person:olga P2P_RPC_ACCESS_DENIED'])
  assert.deepEqual(done, [])
})

test('without a record nothing is done, and who gave up meanwhile is not served', async () => {
  await using world = await start()
  const { audit, done, node } = world
  audit.failure = new StorageError('P2P_STORAGE_FULL', 'no room')
  await assert.rejects(call(node, 'door/open', {}, { caller: OPERATOR }), { code: 'P2P_STORAGE_FULL' })
  audit.failure = undefined
  const giveUp = new AbortController()
  const opening = call(node, 'door/open', {}, { caller: OPERATOR, signal: giveUp.signal })
  giveUp.abort()
  await assert.rejects(opening, { code: 'P2P_RPC_CANCELLED' })
  await turn()
  assert.deepEqual(done, [])
  assert.deepEqual(node.manager.tableSizes(), { channels: 0, calling: 0, serving: 0, running: 0, unfinished: 0 })
})
