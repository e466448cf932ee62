import assert from 'node:assert/strict'
import { afterEach, beforeEach, describe, test } from 'node:test'
import type { Principal } from '../../../../src/base/identity.ts'
import type { NodeReport } from '../../../../src/deploy/index.ts'
import { callMethod, PERSON } from '../agent/node.ts'
import { Cluster } from './cluster.ts'

const AGENT: Principal = { kind: 'node', nodeId: 'w1', role: 'worker', service: 'deploy_agent' }
let cluster: Cluster

beforeEach(async () => {
  cluster = new Cluster()
  await cluster.startCoordinator()
  await cluster.startWorker('w1')
})

afterEach(() => cluster.stop())

const call = (method: string, params: object = {}): Promise<unknown> => cluster.call(method, params, PERSON)

async function installed(version: string): Promise<void> {
  // Digests of real bundles are checked by the method.
  const digest = version.replaceAll('.', '').padEnd(64, 'a')
  cluster.uploaded.set(digest, { service: 'web', version, manifest: {} })
  await call('orchestrator/install_service', { service_name: 'web', artifact: digest })
  await cluster.ended('web')
}

describe('people', () => {
  beforeEach(async () => {
    // So that it does not end up on the coordinator, which runs no agent here.
    await cluster.orchestrator.drain('c1', 'person:ada')
  })

  test('install, look at, scale, stop and remove services by the names of the Python program', async () => {
    await installed('1.0.0')
    const list = (await call('orchestrator/list_services')) as {
      total_installed: number
      total_running: number
      services: { deployment: { service: string } }[]
    }
    assert.deepEqual([list.total_installed, list.total_running], [1, 1])
    assert.equal(list.services[0]?.deployment.service, 'web')
    await call('orchestrator/scale_service', { service_name: 'web', count: 2 })
    await cluster.ended('web')
    const details = (await call('orchestrator/get_service_details', { service_name: 'web' })) as { running: number }
    assert.equal(details.running, 2)
    await call('orchestrator/restart_service', { service_name: 'web' })
    await cluster.ended('web')
    await call('orchestrator/stop_service', { service_name: 'web' })
    assert.deepEqual(cluster.running('web'), {})
    await call('orchestrator/start_service', { service_name: 'web' })
    await cluster.ended('web')
    const status = (await call('orchestrator/get_orchestrator_status')) as { instances: object; active_updates: number }
    assert.deepEqual([status.instances, status.active_updates], [{ wanted: 2, running: 2, healthy: 2 }, 0])
    await call('orchestrator/uninstall_service', { service_name: 'web' })
    await assert.rejects(call('orchestrator/get_service_details', { service_name: 'web' }), {
      code: 'P2P_DEPLOY_UNKNOWN_SERVICE',
    })
  })

  test('update and roll back by the names of the update manager', async () => {
    await installed('1.0.0')
    const second = '2'.repeat(64)
    cluster.uploaded.set(second, { service: 'web', version: '2.0.0', manifest: {} })
    await call('update_manager/start_update', { service_name: 'web', artifact: second, strategy: 'all_at_once' })
    const active = (await call('update_manager/list_active_updates')) as {
      total: number
      updates: { to_version: string }[]
    }
    assert.deepEqual([active.total, active.updates[0]?.to_version], [1, '2.0.0'])
    assert.equal(await cluster.ended('web'), 'succeeded')
    await call('update_manager/rollback', { service_name: 'web' })
    assert.equal(await cluster.ended('web'), 'succeeded')
    const { update } = (await call('update_manager/get_update_status', { service_name: 'web' })) as {
      update: { to_version: string; state: string }
    }
    assert.deepEqual([update.to_version, update.state], ['1.0.0', 'succeeded'])
    const { history } = (await call('update_manager/get_update_history', { service_name: 'web' })) as {
      history: { state: string }[]
    }
    assert.equal(history.length, 3)
  })
})

test('what changes something is for people who ask the coordinator itself', async () => {
  const services = cluster.coordinator?.services ?? []
  const changing = services.flatMap((service) =>
    Object.entries(service.methods)
      .filter(([, { requiredRole }]) => requiredRole === 'operator')
      .map(([name]) => ({ service, name })),
  )
  assert.equal(changing.length, 8)
  for (const { service, name } of changing) {
    const refused = { code: 'P2P_RPC_ACCESS_DENIED' }
    const params = { service_name: 'web', artifact: 'a'.repeat(64), count: 1 }
    await assert.rejects(callMethod(service, name, params, AGENT), refused, name)
    await assert.rejects(callMethod(service, name, params, PERSON, 'w1'), refused, name)
  }
})

describe('a report', () => {
  const report = (changes: object = {}): NodeReport => ({ nodeId: 'w1', revision: 0, assignments: [], ...changes })
  const send = (told: object, caller: Principal): Promise<unknown> =>
    cluster.call('orchestrator/report', { report: told, started_at_ms: 1 }, caller)

  test('is taken from the agent of the node it tells of, and from nobody else', async () => {
    await send(report(), AGENT)
    for (const caller of [PERSON, { ...AGENT, nodeId: 'w2' }, { ...AGENT, service: 'web' }] as Principal[]) {
      await assert.rejects(send(report(), caller), { code: 'P2P_RPC_ACCESS_DENIED' })
    }
  })

  test('that is none, or too large, is refused', async () => {
    const instance = { id: 'web#1', state: 'running', health: 'healthy', restarts: 0 }
    const web = { service: 'web', generation: 1, hasArtifact: true, instances: [instance] }
    await send(report({ assignments: [web] }), AGENT)
    const invalid = { code: 'P2P_RPC_INVALID_PARAMS' }
    await assert.rejects(send(report({ revision: -1 }), AGENT), invalid)
    await assert.rejects(
      send(report({ assignments: [{ ...web, instances: [{ ...instance, state: 'dancing' }] }] }), AGENT),
      invalid,
    )
    await assert.rejects(send(report({ assignments: Array.from({ length: 600 }, () => web) }), AGENT), invalid)
    await assert.rejects(send(report({ assignments: [{ ...web, failure: 'x'.repeat(5_000) }] }), AGENT), invalid)
  })

  test('of a process that is gone counts no more', async () => {
    await cluster.orchestrator.drain('c1', 'person:ada')
    await installed('1.0.0')
    assert.equal(cluster.orchestrator.get('web').running, 1)
    cluster.cut.add('w1')
    cluster.members.set('w1', 'worker', { startedAtMs: 99 })
    await cluster.settled()
    assert.equal(cluster.orchestrator.get('web').running, 0)
  })
})
