import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { RolloutStatus } from '../../../../src/base/deployment.ts'
import type { StubHost } from '../agent/stub-host.ts'
import { Cluster } from './cluster.ts'

const ADA = 'person:ada'
let cluster: Cluster

beforeEach(async () => {
  cluster = new Cluster()
  await cluster.startCoordinator()
  for (const nodeId of ['w1', 'w2', 'w3']) await cluster.startWorker(nodeId)
})

afterEach(() => cluster.stop())

/** The coordinator of these tests runs no services. */
const ONLY_WORKERS = { placement: { labels: { role: 'worker' } } }

async function deployed(service: string, version: string, options: object = {}): Promise<void> {
  const artifact = cluster.upload(service, version)
  const isNew = !cluster.orchestrator.list().some(({ deployment }) => deployment.service === service)
  await cluster.orchestrator.deploy({ service, artifact, ...(isNew && ONLY_WORKERS), ...options }, ADA)
  assert.equal(await cluster.ended(service), 'succeeded')
}

describe('a deployment', () => {
  test('runs as often as wanted, spread over the nodes, and its rollout ends well', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    assert.deepEqual(cluster.running('web'), { w1: '1 × 1.0.0', w2: '1 × 1.0.0', w3: '1 × 1.0.0' })
    const status = cluster.orchestrator.get('web')
    assert.deepEqual([status.healthy, status.running, status.wanted], [3, 3, 3])
    assert.deepEqual(status.problems, [])
    assert.equal(status.instances[0]?.version, '1.0.0')
  })

  test('scales up and down, and starts nothing anew by that', async () => {
    await deployed('web', '1.0.0', { count: 1 })
    await cluster.orchestrator.scale('web', 'every', ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.equal(Object.keys(cluster.running('web')).length, 3)
    const generations = [...cluster.workers.values()].map(({ host }) => host.specs.get('web')?.generation)
    assert.deepEqual(generations, [1, 1, 1])
    await cluster.orchestrator.scale('web', 2, ADA)
    await cluster.ended('web')
    assert.equal(Object.keys(cluster.running('web')).length, 2)
  })

  test('stops everywhere, starts again, restarts', async () => {
    await deployed('web', '1.0.0', { count: 2 })
    await cluster.orchestrator.stop('web', ADA)
    await cluster.settled()
    assert.deepEqual(cluster.running('web'), {})
    await cluster.orchestrator.start('web', ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.equal(Object.keys(cluster.running('web')).length, 2)
    await cluster.orchestrator.restart('web', ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    const [host] = [...cluster.workers.values()].map((worker) => worker.host).filter((h) => h.specs.has('web'))
    assert.equal(host?.specs.get('web')?.generation, 4)
  })

  test('is removed with its history; a new one of its name goes on counting', async () => {
    await deployed('web', '1.0.0')
    await cluster.orchestrator.remove('web', ADA)
    assert.deepEqual(cluster.running('web'), {}, 'it has ended when that is answered')
    assert.throws(() => cluster.orchestrator.get('web'), { code: 'P2P_DEPLOY_UNKNOWN_SERVICE' })
    assert.deepEqual([...(cluster.kept ?? [])], [])
    await deployed('web', '1.0.0')
    assert.equal(cluster.orchestrator.get('web').deployment.generation, 2)
    assert.equal((await cluster.orchestrator.history('web')).length, 1)
  })

  test('is removed although a node that has it cannot be reached, which is waited for 15 s', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    cluster.cut.add('w2')
    let isAnswered = false
    const removed = cluster.orchestrator.remove('web', ADA).then(() => (isAnswered = true))
    await cluster.pass(14_000)
    assert.equal(isAnswered, false)
    await cluster.pass(1_000)
    await removed
    assert.deepEqual(cluster.running('web'), { w2: '1 × 1.0.0' })
  })

  test('says of a node that does not take its plan why, until it does', async () => {
    cluster.cut.add('w2')
    const artifact = cluster.upload('web', '1.0.0')
    await cluster.orchestrator.deploy({ service: 'web', artifact, count: 3, ...ONLY_WORKERS }, ADA)
    await cluster.settled()
    const told = cluster.orchestrator.get('web').rollout?.nodes.find(({ nodeId }) => nodeId === 'w2')
    assert.deepEqual([told?.state, told?.reason], ['fetching', 'it did not take its plan: w2 is not reached'])
    cluster.cut.delete('w2')
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.deepEqual(
      cluster.orchestrator.get('web').rollout?.nodes.map(({ reason }) => reason),
      [undefined, undefined, undefined],
    )
  })

  test('is a job no more when its schedule is taken away, and a job as long as nothing is said', async () => {
    const job = { kind: 'cron', schedule: '0 0 1 1 *', timeZone: 'UTC', retries: 0 } as const
    await deployed('web', '1.0.0', { job })
    assert.deepEqual(cluster.running('web'), {})
    await deployed('web', '1.1.0')
    assert.deepEqual(cluster.orchestrator.get('web').deployment.job, job)
    await cluster.orchestrator.deploy({ service: 'web', job: null }, ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.equal(cluster.orchestrator.get('web').deployment.job, undefined)
    assert.equal(Object.values(cluster.running('web')).join(), '1 × 1.1.0')
  })

  test('is shown as a plan first, which changes nothing', async () => {
    await deployed('web', '1.0.0', { count: 1 })
    const plan = await cluster.orchestrator.plan({ service: 'web', artifact: cluster.upload('web', '1.1.0'), count: 2 })
    assert.deepEqual([plan.fromVersion, plan.toVersion, plan.refusals], ['1.0.0', '1.1.0', []])
    assert.ok(plan.changes.some(({ path, from, to }) => path === 'count' && from === '1' && to === '2'))
    assert.equal(
      plan.nodes.reduce((sum, { to }) => sum + to, 0),
      2,
    )
    assert.equal(cluster.orchestrator.get('web').deployment.version, '1.0.0')
    assert.equal((await cluster.orchestrator.history('web')).length, 1)
  })
})

describe('a deployment is refused, and nothing changes, when', () => {
  const refused = (request: object, code: string, message: RegExp): Promise<void> =>
    assert.rejects(cluster.orchestrator.deploy({ service: 'web', ...request }, ADA), { code, message })

  test('there is no such bundle, or none was named', async () => {
    await refused({ artifact: 'nowhere' }, 'P2P_DEPLOY_ARTIFACT_UNKNOWN', /upload it first/)
    await refused({}, 'P2P_DEPLOY_INVALID', /say which bundle/)
    await refused({ artifact: cluster.upload('shop', '1.0.0') }, 'P2P_DEPLOY_INVALID', /holds service shop, not web/)
    assert.deepEqual(cluster.orchestrator.list(), [])
  })

  test('its name is that of a part of the node', async () => {
    await refused(
      { service: 'system', artifact: cluster.upload('system', '1.0.0') },
      'P2P_DEPLOY_INVALID',
      /part of every node/,
    )
  })

  test('its manifest asks for more than is granted', async () => {
    const permissions = { net: true, childProcess: false, read: ['/etc/shop'], write: [] }
    const artifact = cluster.upload('web', '1.0.0', { manifest: { permissions } })
    await refused({ artifact }, 'P2P_DEPLOY_REFUSED', /--grant net,read=\/etc\/shop grants it/)
    const granted = { net: true, childProcess: false, read: ['/etc'], write: [] }
    await cluster.orchestrator.deploy({ service: 'web', artifact, granted }, ADA)
  })

  test('a secret it needs is not there', async () => {
    const artifact = cluster.upload('web', '1.0.0', { manifest: { secrets: ['token'] } })
    await refused({ artifact }, 'P2P_DEPLOY_SECRET_UNKNOWN', /p2p secrets set token/)
  })

  test('its version goes backwards, unless somebody insists', async () => {
    await deployed('web', '2.0.0')
    const artifact = cluster.upload('web', '1.9.0')
    await refused({ artifact }, 'P2P_DEPLOY_REFUSED', /older than 2\.0\.0/)
    await cluster.orchestrator.deploy({ service: 'web', artifact, force: true }, ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
  })

  test('another change is on its way, unless it is to take its place', async () => {
    await cluster.orchestrator.deploy(
      { service: 'web', artifact: cluster.upload('web', '1.0.0'), ...ONLY_WORKERS },
      ADA,
    )
    const artifact = cluster.upload('web', '1.1.0')
    await refused({ artifact }, 'P2P_DEPLOY_BUSY', /generation 1 of web is on its way/)
    await cluster.orchestrator.deploy({ service: 'web', artifact, force: true }, ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    const history = await cluster.orchestrator.history('web')
    assert.deepEqual(
      history.map(({ state }) => state),
      ['succeeded', 'superseded'],
    )
  })

  test('a method would vanish that was called, unless somebody insists; one that nobody calls may go', async () => {
    const methods = ['buy', 'sell'].map((name) => ({ name, isPublic: true }))
    const first = cluster.upload('shop', '1.0.0', { methods })
    await cluster.orchestrator.deploy({ service: 'shop', artifact: first, ...ONLY_WORKERS, count: 'every' }, ADA)
    await cluster.ended('shop')
    await deployed('web', '1.0.0')
    cluster.host('w2').callers.set('shop', { buy: ['web', 'person:ada', 'shop', 'gone'] })
    await cluster.pass(10_000)
    const artifact = cluster.upload('shop', '2.0.0', { methods: [] })
    const refusal = {
      code: 'P2P_DEPLOY_REFUSED',
      message:
        'Service shop was not deployed: buy: the method is gone, and web and ada called it in the last days: keep the method as it was beside the new one, or --force',
    }
    await assert.rejects(cluster.orchestrator.deploy({ service: 'shop', artifact }, ADA), refusal)
    await cluster.killCoordinator()
    await cluster.startCoordinator()
    const plan = await cluster.orchestrator.plan({ service: 'shop', artifact })
    assert.deepEqual(
      plan.incompatible.map(({ method, callers }) => ({ method, callers })),
      [
        { method: 'buy', callers: ['web', 'person:ada'] },
        { method: 'sell', callers: [] },
      ],
    )
    assert.deepEqual(plan.warnings, ['sell: the method is gone; nobody has called it in the last days'])
    const kept = cluster.upload('shop', '2.1.0', { methods: methods.slice(0, 1) })
    await cluster.orchestrator.deploy({ service: 'shop', artifact: kept }, ADA)
    assert.equal(await cluster.ended('shop'), 'succeeded')
    await cluster.orchestrator.deploy({ service: 'shop', artifact, force: true }, ADA)
    assert.equal(await cluster.ended('shop'), 'succeeded')
  })

  test('its code does not tell its methods: that is said, and no reason to refuse it', async () => {
    await deployed('web', '1.0.0')
    const artifact = cluster.upload('web', '1.1.0', { unreadable: 'main.ts:3:7: it needs a database' })
    const { refusals, warnings } = await cluster.orchestrator.plan({ service: 'web', artifact })
    assert.deepEqual(refusals, [])
    assert.match(warnings.join(), /the methods of 1\.1\.0 cannot be told: main\.ts:3:7: it needs a database/)
  })

  test('another service needs one that is to be removed', async () => {
    await deployed('shop', '1.0.0')
    await deployed('web', '1.0.0', { dependsOn: [{ service: 'shop', healthy: true }] })
    await assert.rejects(cluster.orchestrator.remove('shop', ADA), {
      code: 'P2P_DEPLOY_REFUSED',
      message: /needed by web/,
    })
  })
})

describe('an update', () => {
  const canary = { update: { kind: 'canary', nodes: 1, watchMs: 10_000, batch: 1 } } as const

  test('that is the first one and fails is kept stopped, with the reason and what helps', async () => {
    for (const { host } of cluster.workers.values()) failsFrom(host, '1.0.0')
    await cluster.orchestrator.deploy(
      { service: 'web', artifact: cluster.upload('web', '1.0.0'), ...ONLY_WORKERS },
      ADA,
    )
    assert.equal(await cluster.ended('web'), 'failed')
    assert.deepEqual(cluster.running('web'), {})
    const [problem = ''] = cluster.orchestrator.get('web').problems
    assert.match(
      problem,
      /^1\.0\.0 is kept stopped: w\d: .*\. Deploy a mended one; p2p start web tries this one again$/,
    )
  })

  test('goes from node to node and is told as it goes', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    await cluster.orchestrator.deploy({ service: 'web', artifact: cluster.upload('web', '2.0.0') }, ADA)
    await cluster.settled()
    assert.equal(Object.values(cluster.running('web')).filter((text) => text.endsWith('2.0.0')).length, 1, 'one first')
    const seen: RolloutStatus[] = []
    const following = (async () => {
      for await (const status of cluster.orchestrator.follow('web', new AbortController().signal)) seen.push(status)
    })()
    assert.equal(await cluster.ended('web'), 'succeeded')
    await following
    assert.equal(seen.at(-1)?.state, 'succeeded')
    assert.deepEqual([seen.at(-1)?.done, seen.at(-1)?.wanted], [3, 3])
    assert.ok(seen.length > 2)
    assert.deepEqual(Object.values(cluster.running('web')), ['1 × 2.0.0', '1 × 2.0.0', '1 × 2.0.0'])
  })

  test('that does not start on its first node returns by itself, and no other node has seen it', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    for (const { host } of cluster.workers.values()) failsFrom(host, '2.0.0')
    await cluster.orchestrator.deploy({ service: 'web', artifact: cluster.upload('web', '2.0.0'), ...canary }, ADA)
    assert.equal(await cluster.ended('web'), 'rolled-back')
    assert.deepEqual(Object.values(cluster.running('web')), ['1 × 1.0.0', '1 × 1.0.0', '1 × 1.0.0'])
    const tried = [...cluster.workers.values()].filter(({ host }) => host.calls.includes('deploy web 2.0.0'))
    assert.equal(tried.length, 1)
    const { rollout, deployment } = cluster.orchestrator.get('web')
    assert.match(rollout?.reason ?? '', /2\.0\.0 is broken/)
    assert.equal(deployment.version, '1.0.0')
    assert.equal((await cluster.orchestrator.history('web'))[0]?.state, 'rolled-back')
  })

  test('is rolled back by hand to the version before, with as many instances as now', async () => {
    await deployed('web', '1.0.0', { count: 1, config: { colour: 'red' } })
    await deployed('web', '2.0.0', { config: { colour: 'blue' } })
    await cluster.orchestrator.scale('web', 2, ADA)
    await cluster.ended('web')
    await cluster.orchestrator.rollback('web', ADA)
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.deepEqual(Object.values(cluster.running('web')), ['1 × 1.0.0', '1 × 1.0.0'])
    const { deployment } = cluster.orchestrator.get('web')
    assert.deepEqual([deployment.generation, deployment.config, deployment.by], [4, { colour: 'red' }, ADA])
    await cluster.orchestrator.rollback('web', ADA, 2)
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.deepEqual(Object.values(cluster.running('web')), ['1 × 2.0.0', '1 × 2.0.0'])
  })

  test('cannot be rolled back to what never was', async () => {
    await deployed('web', '1.0.0')
    const refused = { code: 'P2P_DEPLOY_NO_EARLIER' }
    await assert.rejects(cluster.orchestrator.rollback('web', ADA), refused)
    await assert.rejects(cluster.orchestrator.rollback('web', ADA, 7), refused)
    await assert.rejects(cluster.orchestrator.rollback('shop', ADA), { code: 'P2P_DEPLOY_UNKNOWN_SERVICE' })
  })

  test('that is on its way is taken back', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    await cluster.orchestrator.deploy({ service: 'web', artifact: cluster.upload('web', '2.0.0') }, ADA)
    await cluster.settled()
    await cluster.orchestrator.rollback('web', ADA)
    assert.equal(await cluster.ended('web'), 'rolled-back')
    assert.deepEqual(Object.values(cluster.running('web')), ['1 × 1.0.0', '1 × 1.0.0', '1 × 1.0.0'])
  })
})

describe('nodes', () => {
  test('that are drained hand over what they have and get nothing until they are back', async () => {
    await deployed('web', '1.0.0', { count: 2 })
    const [drained] = Object.keys(cluster.running('web')) as [string]
    const told: (string | undefined)[] = []
    const unlisten = cluster.orchestrator.onChange(() => told.push(cluster.orchestrator.drains().get(drained)))
    await cluster.orchestrator.drain(drained, ADA)
    assert.equal(told[0], 'draining', 'until its services have gone')
    await cluster.pass(30_000)
    assert.equal(told.at(-1), 'drained')
    unlisten()
    const after = cluster.running('web')
    assert.equal(after[drained], undefined)
    assert.equal(Object.keys(after).length, 2)
    assert.equal(cluster.agent(drained).plan()?.isDraining, true)
    await assert.rejects(cluster.orchestrator.drain('nobody', ADA), { code: 'P2P_NETWORK_NODE_UNKNOWN' })
    await cluster.orchestrator.undrain(drained, ADA)
    await cluster.settled()
    assert.equal(cluster.agent(drained).plan()?.isDraining, false)
    assert.deepEqual([...cluster.orchestrator.drains()], [])
  })

  test('that die for good are replaced; one that comes back in time has exactly what it had', async () => {
    await deployed('web', '1.0.0', { count: 2 })
    const before = cluster.running('web')
    const [victim] = Object.keys(before) as [string]
    await cluster.killWorker(victim)
    await cluster.pass(5_000)
    await cluster.startWorker(victim)
    await cluster.pass(5_000)
    assert.deepEqual(cluster.running('web'), before)
    await cluster.killWorker(victim)
    await cluster.pass(60_000)
    assert.equal(Object.keys(cluster.running('web')).length, 2)
    await cluster.startWorker(victim)
    await cluster.pass(10_000)
    assert.equal(Object.keys(cluster.running('web')).length, 2, 'and none twice')
  })

  test('without a coordinator start again with what they had', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    await cluster.killCoordinator()
    await cluster.killWorker('w2')
    await cluster.startWorker('w2')
    assert.equal(cluster.running('web')['w2'], '1 × 1.0.0')
  })

  test('that cannot be reached get their plan when they can', async () => {
    cluster.cut.add('w1')
    await deployed('web', '1.0.0', { count: 1, placement: { labels: { node: 'w2' } } })
    await cluster.orchestrator.deploy(
      { service: 'edge', artifact: cluster.upload('edge', '1.0.0'), placement: { labels: { node: 'w1' } } },
      ADA,
    )
    await cluster.settled()
    assert.deepEqual(cluster.running('edge'), {})
    cluster.cut.delete('w1')
    await cluster.pass(60_000)
    assert.deepEqual(cluster.running('edge'), { w1: '1 × 1.0.0' })
  })

  test('whose plan is newer than the coordinator knows (its vault was restored) follow it again', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    await cluster.killCoordinator()
    const revision = cluster.agent('w1').plan()?.revision ?? 0
    for (const path of await cluster.world.disk.list('/data')) await cluster.world.disk.remove(`/data/${path}`)
    await cluster.startCoordinator()
    await cluster.settled()
    assert.deepEqual(cluster.running('web'), {}, 'nothing is desired any more')
    assert.ok((cluster.agent('w1').plan()?.revision ?? 0) > revision)
  })
})

describe('a coordinator that is killed', () => {
  test('knows everything it had answered, and goes on with the rollout', async () => {
    await deployed('web', '1.0.0', { count: 3 })
    await cluster.orchestrator.drain('w3', ADA)
    await cluster.orchestrator.deploy({ service: 'web', artifact: cluster.upload('web', '2.0.0') }, ADA)
    await cluster.killCoordinator()
    await cluster.startCoordinator()
    assert.equal(await cluster.ended('web'), 'succeeded')
    assert.deepEqual(
      new Set(Object.values(cluster.running('web')).map((text) => text.split(' ')[2])),
      new Set(['2.0.0']),
    )
    assert.equal(cluster.running('web')['w3'], undefined)
    assert.equal((await cluster.orchestrator.history('web')).length, 2)
  })

  test('in the middle of whatever its disk does, loses nothing it answered and leaves nothing half done', async () => {
    await deployed('web', '1.0.0', { count: 2 })
    let version = 1
    for (let operations = 1; operations <= 16; operations++) {
      const before = cluster.orchestrator.get('web').deployment.version
      const artifact = cluster.upload('web', `1.${version++}.0`)
      let answered = before
      cluster.world.disk.cutPowerAfter(operations)
      const deploying = cluster.orchestrator
        .deploy({ service: 'web', artifact, force: true }, ADA)
        .then(({ toVersion }) => (answered = toVersion))
        .catch(() => {})
      await cluster.pass(2_000)
      await cluster.loseCoordinatorsPower()
      await deploying
      assert.equal(await cluster.ended('web'), 'succeeded', `cut in operation ${operations}`)
      const now = cluster.orchestrator.get('web').deployment.version
      assert.ok(now === answered || now === `1.${version - 1}.0`, `${answered} was answered, ${now} is there`)
      await cluster.pass(5_000)
      assert.deepEqual(Object.values(cluster.running('web')), [`1 × ${now}`, `1 × ${now}`])
    }
  })
})

function failsFrom(host: StubHost, version: string): void {
  const real = host.deploy.bind(host)
  host.deploy = async (spec, options) => {
    if (spec.version !== version) return real(spec, options)
    host.calls.push(`deploy ${spec.name} ${spec.version}`)
    throw new Error(`${version} is broken`)
  }
}
