import assert from 'node:assert/strict'
import { afterEach, beforeEach, test } from 'node:test'
import type { Secrets } from '../../../../src/base/secrets.ts'
import { Cluster } from './cluster.ts'

const ADA = 'person:ada'
const CANARY = 'canary-90b1'
const ON_WORKERS = { placement: { labels: { role: 'worker' } } }
let cluster: Cluster

beforeEach(async () => {
  cluster = new Cluster()
  await cluster.startCoordinator()
  await cluster.startWorker('w1')
})

afterEach(() => cluster.stop())

function secrets(): Secrets {
  if (!cluster.coordinator) throw new Error('no coordinator')
  return cluster.coordinator.secrets
}

const given = (nodeId = 'w1', service = 'web'): unknown => cluster.host(nodeId).specs.get(service)?.secrets

async function deploy(options: object = {}): Promise<void> {
  const artifact = cluster.upload('web', '1.0.0', { manifest: { secrets: ['password'] } })
  await cluster.orchestrator.deploy({ service: 'web', artifact, ...ON_WORKERS, ...options }, ADA)
  await cluster.ended('web')
}

test('a service gets the secrets its manifest names, under its own names', async () => {
  await secrets().set('password', 'one', ADA)
  await deploy()
  assert.deepEqual(given(), { password: 'one' })
  await secrets().set('shop/db', 'two', ADA)
  await cluster.orchestrator.deploy({ service: 'web', secrets: { password: 'shop/db' } }, ADA)
  await cluster.ended('web')
  assert.deepEqual(given(), { password: 'two' })
})

test('a new value reaches those that use it by a rollout of its own, and nobody else', async () => {
  await secrets().set('password', 'one', ADA)
  await deploy()
  const shop = cluster.upload('shop', '1.0.0')
  await cluster.orchestrator.deploy({ service: 'shop', artifact: shop, ...ON_WORKERS }, ADA)
  await cluster.ended('shop')
  const facts = await secrets().set('password', 'two', 'person:bob')
  assert.deepEqual([facts.version, facts.by, facts.usedBy], [2, 'person:bob', ['web']])
  assert.equal(await cluster.ended('web'), 'succeeded')
  assert.deepEqual(given(), { password: 'two' })
  assert.match((await cluster.orchestrator.history('web'))[0]?.deployment.reason ?? '', /secret password/)
  assert.equal((await cluster.orchestrator.history('shop')).length, 1)
})

test('going back brings back the value that was used then', async () => {
  await secrets().set('password', 'one', ADA)
  await deploy()
  await secrets().set('password', 'two', ADA)
  await cluster.ended('web')
  await cluster.orchestrator.rollback('web', ADA)
  assert.equal(await cluster.ended('web'), 'succeeded')
  assert.deepEqual(given(), { password: 'one' })
})

test('a value with which the service fails goes back by itself', async () => {
  await secrets().set('password', 'one', ADA)
  await deploy()
  const { host } = cluster.workers.get('w1') as { host: ReturnType<Cluster['host']> }
  const real = host.deploy.bind(host)
  host.deploy = async (spec, options) => {
    if (spec.secrets['password'] === 'wrong') throw new Error('the database refuses the password')
    return real(spec, options)
  }
  await secrets().set('password', 'wrong', ADA)
  assert.equal(await cluster.ended('web'), 'rolled-back')
  assert.deepEqual(given(), { password: 'one' })
})

test('values come out nowhere: not in lists, status, plans or history', async () => {
  await secrets().set('password', CANARY, ADA)
  await deploy()
  const { orchestrator } = cluster
  const plan = await orchestrator.plan({ service: 'web', count: 2 })
  const shown = [
    secrets().list(),
    orchestrator.list(),
    plan,
    await orchestrator.history('web'),
    cluster.agent('w1').plan(),
    cluster.agent('w1').report(),
  ]
  assert.doesNotMatch(JSON.stringify(shown), /canary/)
  assert.deepEqual(
    secrets()
      .list()
      .map(({ name, version, usedBy }) => [name, version, usedBy]),
    [['password', 1, ['web']]],
  )
  const { disk } = cluster.world
  for (const name of await disk.list('/data')) {
    assert.doesNotMatch(Buffer.from(await disk.readFile(`/data/${name}`)).toString('latin1'), /canary/, name)
  }
})

test('a node is given only what the services in its plan name, and only its agent asks', async () => {
  await secrets().set('password', CANARY, ADA)
  await secrets().set('other', CANARY, ADA)
  await deploy()
  await cluster.startWorker('w2')
  const ask = (nodeId: string, name: string, service = 'deploy_agent'): Promise<unknown> =>
    cluster.call(
      'orchestrator/read_secrets',
      { secrets: [{ name, version: 1 }] },
      { kind: 'node', nodeId, role: 'worker', service },
    )
  assert.deepEqual(await ask('w1', 'password'), { secrets: [{ name: 'password', version: 1, value: CANARY }] })
  await assert.rejects(ask('w1', 'other'), { code: 'P2P_DEPLOY_SECRET_UNKNOWN' })
  await assert.rejects(ask('w2', 'password'), { code: 'P2P_DEPLOY_SECRET_UNKNOWN' })
  await assert.rejects(ask('w1', 'password', 'web'), { code: 'P2P_RPC_ACCESS_DENIED' })
  const admin = { kind: 'person', name: 'root', role: 'admin' } as const
  const asked = { secrets: [{ name: 'password', version: 1 }] }
  await assert.rejects(cluster.call('orchestrator/read_secrets', asked, admin), { code: 'P2P_RPC_ACCESS_DENIED' })
})

test('names and sizes have bounds; what is used is not deleted; a new secret of an old name goes on counting', async () => {
  const invalid = { code: 'P2P_DEPLOY_INVALID' }
  await assert.rejects(secrets().set('../x', 'v', ADA), invalid)
  await assert.rejects(secrets().set('', 'v', ADA), invalid)
  await assert.rejects(secrets().set('big', 'x'.repeat(65 * 1_024), ADA), invalid)
  await secrets().set('password', 'one', ADA)
  await deploy()
  await assert.rejects(secrets().delete('password', ADA), { code: 'P2P_DEPLOY_REFUSED', message: /used by web/ })
  await cluster.orchestrator.remove('web', ADA)
  await secrets().delete('password', ADA)
  await assert.rejects(secrets().delete('password', ADA), { code: 'P2P_DEPLOY_SECRET_UNKNOWN' })
  assert.deepEqual(secrets().list(), [])
  assert.equal((await secrets().set('password', 'two', ADA)).version, 2)
})

test('they are there again when the coordinator is, and need it no more once a node has them', async () => {
  await secrets().set('password', CANARY, ADA)
  await deploy()
  await cluster.killCoordinator()
  await cluster.killWorker('w1')
  await cluster.startWorker('w1')
  assert.deepEqual(given(), { password: CANARY })
  await cluster.startCoordinator()
  assert.equal(secrets().list()[0]?.version, 1)
})
