import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { prepareUpgrade } from '../../../../src/deploy/program/prepare-upgrade.ts'
import { stepUpgrade, upgradeWaves, withReport, withState } from '../../../../src/deploy/program/step-upgrade.ts'
import type { Upgrade, UpgradeNodeState } from '../../../../src/deploy/program/upgrade.ts'
import { serviceRecord, StubMembers } from '../members.ts'

const WAVES = [['w1'], ['w2', 'w3'], ['c1']]

function upgrade(states: Record<string, UpgradeNodeState> = {}): Upgrade {
  return {
    key: 'u1',
    number: 1,
    digest: 'b'.repeat(64),
    version: '3.0.1',
    fromVersion: '3.0.0',
    waves: WAVES,
    nodes: WAVES.flat().map((nodeId) => ({ nodeId, state: states[nodeId] ?? 'waiting' })),
    state: 'running',
    by: 'person:admin',
    startedAtMs: 1,
  }
}

const report = (nodeId: string, state: UpgradeNodeState, key = 'u1') => ({
  nodeId,
  version: '3.0.0',
  upgrade: { key, state, reason: `${state} there` },
})

suite('the order of an upgrade', () => {
  test('one worker, the others in batches, then each coordinator, the one that leads last', () => {
    const node = (nodeId: string, role: 'worker' | 'coordinator') => ({ nodeId, role })
    const nodes = [
      node('a-leads', 'coordinator'),
      ...['w3', 'w1', 'w4', 'w2'].map((id) => node(id, 'worker')),
      node('c2', 'coordinator'),
    ]
    const waves = upgradeWaves(nodes, { batch: 2, leader: 'a-leads' })
    assert.deepEqual(waves, [['w1'], ['w2', 'w3'], ['w4'], ['c2'], ['a-leads']])
    assert.deepEqual(upgradeWaves([node('a-leads', 'coordinator')], { batch: 5, leader: 'a-leads' }), [['a-leads']])
  })

  test('a wave is asked when the one before is done, and the upgrade ends with the last', () => {
    const asked = (states: Record<string, UpgradeNodeState>) => stepUpgrade(upgrade(states), 9).ask
    assert.deepEqual(asked({}), ['w1'])
    assert.deepEqual(asked({ w1: 'watching' }), [])
    assert.deepEqual(asked({ w1: 'done' }), ['w2', 'w3'])
    assert.deepEqual(asked({ w1: 'done', w2: 'done', w3: 'starting' }), [])
    assert.deepEqual(asked({ w1: 'done', w2: 'done', w3: 'done' }), ['c1'])
    const { upgrade: ended } = stepUpgrade(upgrade({ w1: 'done', w2: 'done', w3: 'done', c1: 'done' }), 9)
    assert.deepEqual([ended.state, ended.endedAtMs], ['succeeded', 9])
  })

  test('after a failure nobody else is asked, and it ends when those under way have', () => {
    const failing = withReport(upgrade({ w1: 'done', w2: 'watching', w3: 'waiting' }), report('w2', 'returned'))
    const { upgrade: ended, ask } = stepUpgrade(failing, 9)
    assert.deepEqual(ask, [])
    assert.deepEqual([ended.state, ended.reason], ['failed', 'w2: returned there'])
    const other = withReport(upgrade({ w1: 'done', w2: 'watching', w3: 'fetching' }), report('w2', 'failed'))
    assert.equal(stepUpgrade(other, 9).upgrade.state, 'running')
    assert.equal(stepUpgrade(withReport(other, report('w3', 'done')), 9).upgrade.state, 'failed')
  })

  test('a node that has forgotten the order is asked again; what it said of its end is final', () => {
    const forgotten = withReport(upgrade({ w1: 'fetching' }), report('w1', 'done', 'another'))
    assert.deepEqual(stepUpgrade(forgotten, 9).ask, ['w1'])
    const untouched = upgrade({ w1: 'done' })
    assert.deepEqual(withReport(untouched, { nodeId: 'w1', version: '3.0.0' }), untouched)
    assert.deepEqual(withState(untouched, 'w1', 'failed', 'late'), untouched)
    assert.deepEqual(withReport(untouched, report('stranger', 'done')), untouched)
  })
})

suite('what speaks against an upgrade', () => {
  function members(): StubMembers {
    const found = new StubMembers('c1', () => 0)
    const services = [serviceRecord('program')]
    found.set('c1', 'coordinator', { services })
    found.set('w1', 'worker', { services })
    found.set('w2', 'worker', { services, status: 'dead' })
    found.set('w3', 'worker')
    return found
  }
  const plan = (request: { version?: string; nodes?: string[]; force?: boolean }) =>
    prepareUpgrade({ version: '3.0.1', batch: 1, force: false, ...request }, members().members(), 'c1')

  test('nodes that are away, or too old to be upgraded so, are left out and named', () => {
    const { waves, leftOut, refusals, fromVersion } = plan({})
    assert.deepEqual([waves, refusals, fromVersion], [[['w1'], ['c1']], [], '3.0.0'])
    assert.deepEqual(
      leftOut.map(({ nodeId }) => nodeId),
      ['w2', 'w3'],
    )
    assert.match(leftOut[0]?.why ?? '', /is dead/)
    assert.match(leftOut[1]?.why ?? '', /by hand/)
  })

  test('nodes that were named are not left out in silence', () => {
    assert.match(plan({ nodes: ['w2'] }).refusals[0]?.message ?? '', /w2 is dead/)
    assert.match(plan({ nodes: ['w3'] }).refusals[0]?.message ?? '', /w3 .*by hand/)
    assert.match(plan({ nodes: ['w9'] }).refusals[0]?.message ?? '', /no node w9/)
    assert.deepEqual(plan({ nodes: ['w1'] }).waves, [['w1']])
  })

  test('an older version needs force, and so does the one that runs', () => {
    const older = plan({ version: '2.9.9' })
    assert.match(older.refusals[0]?.message ?? '', /runs 3\.0\.0, and 2\.9\.9 is older: --force/)
    assert.deepEqual(plan({ version: '2.9.9', force: true }).refusals, [])
    assert.match(plan({ version: '3.0.0' }).refusals[0]?.message ?? '', /no node is left/)
    assert.deepEqual(plan({ version: '3.0.0', force: true }).waves, [['w1'], ['c1']])
    // A release candidate comes before its release.
    assert.equal(plan({ version: '3.0.0-rc.1' }).refusals.length, 2)
  })
})
