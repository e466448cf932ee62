import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import { jsonValue } from '../../../../src/base/control-store.ts'
import { DeployError } from '../../../../src/base/errors.ts'
import type { Principal } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { signPlan } from '../../../../src/deploy/signed-plan.ts'
import { simulatedSigner } from '../../../../src/testing/simulated-signature.ts'
import { serviceRecord } from '../members.ts'
import { assignment, COORDINATOR, deployment, FROM_COORDINATOR, PERSON, TestNode, WORKER } from './node.ts'

let node: TestNode

beforeEach(async () => {
  node = await new TestNode().start()
})

afterEach(() => node.stop())

describe('a plan', () => {
  test('is followed: what it names is fetched and runs, and the coordinator is told', async () => {
    await node.take({ revision: 3, assignments: [assignment(deployment('web'), 2)] })
    assert.deepEqual(node.artifacts.fetched, ['web-1'])
    const spec = node.host.specs.get('web')
    assert.equal(spec?.instances, 2)
    assert.equal(spec?.folder, '/artifacts/web-1')
    assert.equal(node.report.revision, 3)
    const [web] = node.report.assignments
    assert.equal(web?.hasArtifact, true)
    assert.deepEqual(
      web?.instances.map(({ id, state }) => [id, state]),
      [
        ['web#1', 'running'],
        ['web#2', 'running'],
      ],
    )
  })

  test('that leaves a service out removes it, and what was fetched for it', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    await node.take({ revision: 2, assignments: [] })
    assert.deepEqual([...node.host.specs.keys()], [])
    assert.deepEqual([...node.artifacts.present], [])
    assert.deepEqual(node.report.assignments, [])
  })

  test('that wants a service again while what it left is removed keeps that', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    const removal = Promise.withResolvers<void>()
    node.artifacts.removalGate = removal.promise
    await node.take({ revision: 2, assignments: [] })
    await node.take({ revision: 3, assignments: [assignment(deployment('web', { generation: 3 }))] })
    removal.resolve()
    await node.settled()
    assert.deepEqual([...node.artifacts.present], ['web-1'], 'it runs from there')
  })

  test('is followed again after a restart without a coordinator', async () => {
    await node.take({ revision: 4, assignments: [assignment(deployment('web'), 3)] })
    await node.kill()
    node.members.set('c1', 'coordinator', { status: 'dead' })
    node.coordinatorFailure = new Error('nobody there')
    await node.start()
    assert.equal(node.host.specs.get('web')?.instances, 3)
    assert.equal(node.agent.plan()?.revision, 4)
    assert.deepEqual(node.artifacts.fetched, ['web-1'], 'fetched once')
  })

  test('is refused when it is older, of another node or cluster, or not signed by a coordinator', async () => {
    await node.take({ revision: 5, assignments: [assignment(deployment('web'))] })
    const refused = (message: RegExp) => ({ code: 'P2P_DEPLOY_PLAN_REJECTED', message })
    await assert.rejects(node.take({ revision: 4 }), refused(/revision is 4, the node has 5/))
    await assert.rejects(node.take({ revision: 5, isDraining: true }), refused(/revision is 5/))
    await assert.rejects(node.take({ revision: 6, nodeId: 'w2' }), refused(/for node w2/))
    await assert.rejects(node.take({ revision: 6, cluster: 'other' }), refused(/cluster other/))
    await assert.rejects(node.take({ revision: 6 }, { ...COORDINATOR, cluster: 'other' }), refused(/no coordinator/))
    await assert.rejects(node.take({ revision: 6 }, WORKER), refused(/no coordinator/))
    const signed = signPlan(simulatedSigner(COORDINATOR), {
      cluster: 'test',
      nodeId: 'w1',
      revision: 6,
      assignments: [],
      isDraining: false,
    })
    await assert.rejects(node.takeSigned({ ...signed, plan: signed.plan.replace('6', '7') }), refused(/no coordinator/))
    assert.deepEqual(node.agent.rejected(), { forged: 3, foreign: 2, older: 2 })
    assert.equal(node.agent.plan()?.revision, 5)
    assert.deepEqual([...node.host.specs.keys()], ['web'])
  })

  test('is taken twice without harm', async () => {
    const plan = { revision: 5, assignments: [assignment(deployment('web'))] }
    await node.take(plan)
    assert.deepEqual(await node.take(plan), { revision: 5 })
    assert.deepEqual(node.host.calls, ['deploy web 1.0.0'])
  })

  test('is taken from the orchestrator of a coordinator only', async () => {
    const strangers: Principal[] = [
      { kind: 'person', name: 'root', role: 'admin' },
      { kind: 'node', nodeId: 'c1', role: 'coordinator', service: 'shop' },
      { kind: 'node', nodeId: 'c1', role: 'coordinator' },
      { kind: 'node', nodeId: 'w2', role: 'worker', service: 'orchestrator' },
    ]
    for (const caller of strangers) {
      await assert.rejects(node.take({ revision: 9 }, COORDINATOR, caller), { code: 'P2P_RPC_ACCESS_DENIED' })
    }
    assert.equal(node.agent.plan(), undefined)
  })

  test('that comes while an older one is carried out ends that', async () => {
    const gate = Promise.withResolvers<void>()
    node.host.gates.set('web', gate.promise)
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    node.host.gates.delete('web')
    await node.take({
      revision: 2,
      assignments: [assignment(deployment('web', { generation: 2, version: '2.0.0', artifact: 'web-2' }))],
    })
    gate.resolve()
    await node.settled()
    assert.equal(node.host.specs.get('web')?.version, '2.0.0')
    assert.equal(node.report.assignments[0]?.failure, undefined)
  })
})

describe('what cannot be done', () => {
  test('is told with its reason, and tried again with growing pauses', async () => {
    node.artifacts.failure = new DeployError('P2P_DEPLOY_ARTIFACT_UNKNOWN', 'no node has it: deploy it again')
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    assert.equal(node.report.assignments[0]?.failure, 'no node has it: deploy it again')
    assert.equal(node.report.assignments[0]?.hasArtifact, false)
    node.artifacts.failure = undefined
    await node.clock.run(5_000)
    await node.settled()
    assert.equal(node.host.specs.has('web'), true)
    assert.equal(node.report.assignments[0]?.failure, undefined)
  })

  test('of a fetch is over once it is fetched: while it starts nothing is told of it', async () => {
    node.artifacts.failure = new DeployError('P2P_ARTIFACT_UNAVAILABLE', 'nobody is there yet')
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    assert.deepEqual(
      [node.report.assignments[0]?.hasArtifact, node.report.assignments[0]?.failure],
      [false, 'nobody is there yet'],
    )
    node.artifacts.failure = undefined
    const gate = Promise.withResolvers<void>()
    node.host.gates.set('web', gate.promise)
    await node.clock.run(1_000)
    const [web] = node.report.assignments
    assert.deepEqual([web?.hasArtifact, web?.failure], [true, undefined])
    gate.resolve()
  })

  test('does not end what runs: a version that does not start leaves the old one', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    node.host.failures.set('web', new Error('main.ts:3:1 is wrong'))
    const second = deployment('web', { generation: 2, version: '2.0.0', artifact: 'web-2' })
    await node.take({ revision: 2, assignments: [assignment(second)] })
    assert.equal(node.report.assignments[0]?.failure, 'main.ts:3:1 is wrong')
    assert.equal(node.report.assignments[0]?.hasArtifact, true)
    assert.equal(node.host.specs.get('web')?.version, '1.0.0')
    assert.deepEqual([...node.artifacts.present].sort(), ['web-1', 'web-2'], 'the old one may be gone back to')
  })

  test('disturbs no other service', async () => {
    node.host.failures.set('bad', new Error('broken'))
    await node.take({ revision: 1, assignments: [assignment(deployment('bad')), assignment(deployment('web'))] })
    assert.deepEqual([...node.host.specs.keys()], ['web'])
  })
})

test('of each service the present and the previous artifact are kept', async () => {
  for (const [i, version] of ['1', '2', '3'].entries()) {
    const of = deployment('web', { generation: i + 1, artifact: `web-${version}`, version: `${version}.0.0` })
    await node.take({ revision: i + 1, assignments: [assignment(of)] })
  }
  assert.deepEqual([...node.artifacts.present].sort(), ['web-2', 'web-3'])
})

test('a service gets what its manifest asks for, as far as it was granted, and its configuration', async () => {
  node.artifacts.manifests.set('web-1', {
    permissions: { net: true, childProcess: true, read: ['/etc/web', 'assets'], write: ['/var/web'] },
    config: { port: 1, name: 'web' },
  })
  const granted = { net: true, childProcess: false, read: ['/etc'], write: [] }
  await node.take({ revision: 1, assignments: [assignment(deployment('web', { granted, config: { port: 2 } }))] })
  const spec = node.host.specs.get('web')
  assert.deepEqual(spec?.permissions, {
    net: true,
    childProcess: false,
    read: ['/artifacts/web-1/assets', '/etc/web'],
    write: [],
  })
  assert.deepEqual(spec?.config, { port: 2, name: 'web' })
})

describe('dependencies', () => {
  const web = deployment('web', { dependsOn: [{ service: 'db', healthy: true }] })

  test('are waited for, and said', async () => {
    await node.take({ revision: 1, assignments: [assignment(web)] })
    assert.equal(node.report.assignments[0]?.waitsFor, 'db')
    node.members.set('w2', 'worker', { services: [serviceRecord('db', 'failing')] })
    await node.settled()
    assert.equal(node.host.specs.has('web'), false, 'it must be healthy')
    node.members.set('w2', 'worker', { services: [serviceRecord('db', 'healthy')] })
    await node.settled()
    assert.equal(node.host.specs.has('web'), true)
    assert.equal(node.report.assignments[0]?.waitsFor, undefined)
  })

  test('that go away do not end what runs', async () => {
    node.members.set('w2', 'worker', { services: [serviceRecord('db')] })
    await node.take({ revision: 1, assignments: [assignment(web)] })
    node.members.set('w2', 'worker', { status: 'dead' })
    await node.take({ revision: 2, assignments: [assignment({ ...web, generation: 2 }, 2)] })
    assert.equal(node.host.specs.get('web')?.instances, 2)
  })
})

describe('secrets', () => {
  const canary = 'canary-7c1f'
  const web = deployment('web', { secrets: { password: 'shop/db' }, secretVersions: { 'shop/db': 2 } })

  test('come from the coordinator once, and from the vault after a restart without it', async () => {
    node.secrets.set('shop/db@2', canary)
    await node.take({ revision: 1, assignments: [assignment(web)] })
    assert.deepEqual(node.host.specs.get('web')?.secrets, { password: canary })
    await node.kill()
    node.secrets.clear()
    node.coordinatorFailure = new Error('nobody there')
    await node.start()
    assert.deepEqual(node.host.specs.get('web')?.secrets, { password: canary })
  })

  test('change in place: the service is deployed again with the new value', async () => {
    node.secrets.set('shop/db@2', 'old').set('shop/db@3', 'new')
    await node.take({ revision: 1, assignments: [assignment(web)] })
    const next = { ...web, generation: 2, processGeneration: 2, secretVersions: { 'shop/db': 3 } }
    await node.take({ revision: 2, assignments: [assignment(next)] })
    assert.deepEqual(node.host.specs.get('web')?.secrets, { password: 'new' })
  })

  test('of two services, in two versions, are each its own, and both are in the vault', async () => {
    const old = { ...web, service: 'old', secretVersions: { 'shop/db': 1 } }
    node.secrets.set('shop/db@1', 'first').set('shop/db@2', 'second')
    const secrets = (): unknown => ['old', 'web'].map((service) => node.host.specs.get(service)?.secrets)
    await node.take({ revision: 1, assignments: [assignment(old), assignment(web)] })
    assert.deepEqual(secrets(), [{ password: 'first' }, { password: 'second' }])
    await node.kill()
    node.coordinatorFailure = new Error('nobody there')
    await node.start()
    assert.deepEqual(secrets(), [{ password: 'first' }, { password: 'second' }])
  })

  test('kept by name alone, as an earlier version did, are known again, and forgotten as others', async () => {
    const operations = [
      { type: 'put' as const, key: 'agent/secrets/shop%2Fdb', value: jsonValue({ version: 2, value: 'kept' }) },
    ]
    await node.vault.store.transact({ operations })
    await node.kill()
    await node.start()
    node.coordinatorFailure = new Error('nobody there')
    await node.take({ revision: 1, assignments: [assignment(web)] })
    assert.deepEqual(node.host.specs.get('web')?.secrets, { password: 'kept' })
    await node.take({ revision: 2, assignments: [] })
    assert.deepEqual(await node.vault.store.range('agent/secrets/'), [])
  })

  test('that the coordinator leaves out of its answer keep the service from starting', async () => {
    node.isSilentOnSecrets = true
    await node.take({ revision: 1, assignments: [assignment(web)] })
    assert.equal(node.host.specs.has('web'), false)
    assert.match(node.report.assignments[0]?.failure ?? '', /shop\/db/)
  })

  test('that cannot be had keep the service from starting until a coordinator is back', async () => {
    node.coordinatorFailure = new Error('the coordinator does not answer')
    await node.take({ revision: 1, assignments: [assignment(web)] })
    assert.equal(node.host.specs.has('web'), false)
    node.coordinatorFailure = undefined
    node.secrets.set('shop/db@2', canary)
    node.members.set('c1', 'coordinator', { startedAtMs: 5 })
    await node.settled()
    assert.deepEqual(node.host.specs.get('web')?.secrets, { password: canary })
  })

  test('are in no log line, report or file, and forgotten with the last service that names them', async () => {
    const lines: unknown[] = []
    const note = (...line: unknown[]): void => void lines.push(line)
    await node.kill()
    node.log = { ...silentLogger, debug: note, info: note, warning: note, error: note, child: () => node.log }
    await node.start()
    node.secrets.set('shop/db@2', canary)
    node.host.failures.set('web', new Error('broken'))
    await node.take({ revision: 1, assignments: [assignment(web)] })
    await node.take({ revision: 1, assignments: [] }).catch(() => {})
    assert.ok(lines.length > 0)
    assert.doesNotMatch(
      JSON.stringify([lines, node.reports, await node.call('get_agent_status', {}, PERSON)]),
      /canary/,
    )
    const { disk } = node.world
    const names = await disk.list('/data')
    assert.ok(names.length > 0)
    for (const name of names) {
      assert.doesNotMatch(Buffer.from(await disk.readFile(`/data/${name}`)).toString('latin1'), /canary/, name)
    }
    await node.take({ revision: 2, assignments: [] })
    await node.kill()
    await node.start()
    assert.deepEqual(await node.vault.store.range('agent/secrets/'), [])
  })
})

describe('a person', () => {
  const control = (service_name: string, action: string): Promise<unknown> =>
    node.call('control_service', { service_name, action }, PERSON)

  test('stops a deployed service on this node, also over a restart of the node and a new plan, until it is started', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    await control('web', 'stop')
    assert.equal(node.report.assignments[0]?.isStoppedHere, true)
    await node.kill()
    await node.start()
    await node.take({ revision: 2, assignments: [assignment(deployment('web', { generation: 2 }))] })
    assert.equal(node.report.assignments[0]?.isStoppedHere, true)
    assert.equal(node.report.assignments[0]?.instances[0]?.state, 'stopped')
    await control('web', 'start')
    assert.equal(node.host.specs.get('web')?.generation, 2)
    assert.equal(node.report.assignments[0]?.isStoppedHere, undefined)
    assert.equal(node.report.assignments[0]?.instances[0]?.state, 'running')
  })

  test('controls the folders of the node as well', async () => {
    node.host.folders.add('inventory')
    await control('inventory', 'stop')
    await control('inventory', 'restart')
    assert.deepEqual(node.host.calls, ['stop inventory', 'restart inventory'])
  })

  test('is told why it cannot be done', async () => {
    await assert.rejects(control('shop', 'start'), { code: 'P2P_SERVICE_NOT_FOUND' })
    node.host.failures.set('web', new Error('port 80 is taken'))
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    await assert.rejects(control('web', 'start'), { code: 'P2P_SERVICE_START_FAILED', message: /port 80 is taken/ })
    node.host.failures.clear()
    await control('web', 'start')
    assert.equal(node.report.assignments[0]?.instances[0]?.state, 'running')
  })

  test('is believed from a coordinator, not from another worker', async () => {
    node.host.folders.add('inventory')
    const params = { service_name: 'inventory', action: 'stop' }
    node.members.set('w2', 'worker')
    await assert.rejects(node.call('control_service', params, PERSON, 'w2'), { code: 'P2P_RPC_ACCESS_DENIED' })
    await assert.rejects(node.call('control_service', params, FROM_COORDINATOR), { code: 'P2P_RPC_ACCESS_DENIED' })
    assert.deepEqual(node.host.calls, [])
    await node.call('control_service', params, PERSON, 'c1')
    assert.deepEqual(node.host.calls, ['stop inventory'])
  })
})

describe('a job', () => {
  const job = deployment('backup', { job: { kind: 'cron', schedule: '0 3 * * *', timeZone: 'UTC', retries: 0 } })

  test('runs once per run id, and its end is told', async () => {
    await node.take({ revision: 1, assignments: [assignment(job)] })
    assert.deepEqual(node.host.calls, [], 'nothing is due')
    await node.take({ revision: 2, assignments: [assignment(job, 1, 'r1')] })
    assert.equal(node.host.specs.get('backup')?.manifest.restart?.policy, 'never')
    assert.deepEqual(node.report.assignments[0]?.run, { id: 'r1', state: 'running' })
    node.host.happens('backup', 'stopped')
    await node.settled()
    assert.deepEqual(node.report.assignments[0]?.run, { id: 'r1', state: 'succeeded' })
    await node.take({ revision: 3, assignments: [assignment(job, 1, 'r1')] })
    assert.deepEqual(node.host.calls, ['deploy backup 1.0.0'])
    await node.take({ revision: 4, assignments: [assignment(job, 1, 'r2')] })
    node.host.happens('backup', 'failed', 'exit code 3')
    await node.settled()
    assert.deepEqual(node.report.assignments[0]?.run, { id: 'r2', state: 'failed', exit: 'exit code 3' })
  })

  test('that did not start has failed, and is not begun again', async () => {
    node.host.failures.set('backup', new Error('no such program'))
    await node.take({ revision: 1, assignments: [assignment(job, 1, 'r1')] })
    assert.deepEqual(node.report.assignments[0]?.run, { id: 'r1', state: 'failed', exit: 'no such program' })
    await node.clock.run(600_000)
    assert.deepEqual(node.host.calls, ['deploy backup 1.0.0'])
  })

  test('that ran when the node went down has failed, and is not begun again by itself', async () => {
    await node.take({ revision: 1, assignments: [assignment(job, 1, 'r1')] })
    await node.kill()
    await node.start()
    assert.deepEqual(node.host.calls, [])
    assert.match(node.report.assignments[0]?.run?.exit ?? '', /restarted/)
  })
})

describe('reports', () => {
  test('go to a coordinator when it comes back, also when nothing has changed', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    const before = node.reports.length
    node.members.set('c1', 'coordinator', { status: 'dead' })
    await node.settled()
    assert.equal(node.reports.length, before, 'there is nobody to tell')
    node.members.set('c1', 'coordinator', { startedAtMs: 9 })
    await node.settled()
    assert.equal(node.reports.length, before + 1)
  })

  test('are repeated until they are taken, and then are the newest', async () => {
    await node.take({ revision: 1, assignments: [assignment(deployment('web'))] })
    node.coordinatorFailure = new Error('busy')
    node.host.happens('web', 'backoff', 'exit code 1')
    await node.settled()
    node.host.happens('web', 'failed', 'given up')
    await node.clock.run(60_000)
    const before = node.reports.length
    node.coordinatorFailure = undefined
    await node.clock.run(60_000)
    assert.equal(node.reports.length, before + 1)
    assert.equal(node.report.assignments[0]?.instances[0]?.state, 'failed')
  })
})
