import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { DeployError } from '../../../../src/base/errors.ts'
import type { ProgramPointer } from '../../../../src/deploy/index.ts'
import { NEW, ProgramNode } from './stub-program.ts'

const MINUTE_MS = 60_000

/** A node whose process has just begun with the new program. */
async function switched(): Promise<ProgramNode> {
  const node = await new ProgramNode().start()
  await node.order()
  await node.clock.runUntil(() => node.restarts.length > 0, MINUTE_MS)
  await node.restart(NEW, node.pointer as ProgramPointer)
  return node
}

suite('a node changes its program', () => {
  test('what was fetched is written down first, and then the process begins anew', async () => {
    const node = await new ProgramNode().start()
    await node.order()
    assert.ok(await node.clock.runUntil(() => node.restarts.length > 0, MINUTE_MS))
    assert.deepEqual(node.pointer?.current, NEW)
    assert.deepEqual([node.pointer?.previous, node.pointer?.isConfirmed, node.pointer?.hadCompany], [null, false, true])
    assert.deepEqual(node.restarts, ['version 3.0.1 takes over'])
    // The same order again, as from a coordinator that was started anew.
    await node.order()
    await node.clock.run(MINUTE_MS)
    assert.equal(node.restarts.length, 1)
    await node.agent.stop()
  })

  test('the new program is confirmed when it is ready, has met another member, and has run well for a while', async () => {
    const node = await switched()
    await node.clock.run(MINUTE_MS)
    assert.equal(node.pointer?.isConfirmed, false, 'not before it is ready')
    assert.equal(node.state, 'watching')
    node.members.set('c1', 'coordinator', { status: 'dead' })
    node.agent.ready()
    await node.clock.run(MINUTE_MS)
    assert.equal(node.pointer?.isConfirmed, false, 'not alone, where it was not alone before')
    node.members.set('c1', 'coordinator', {
      services: [{ name: 'upgrades', version: '', description: '', health: 'healthy', methods: [] }],
    })
    assert.ok(await node.clock.runUntil(() => node.state === 'done', MINUTE_MS))
    assert.equal(node.pointer?.isConfirmed, true)
    assert.deepEqual(node.kept, [[NEW.digest]])
    await node.agent.stop()
  })

  test('a node that was alone need not meet anybody', async () => {
    const node = new ProgramNode()
    await node.start()
    node.members.set('c1', 'coordinator', { status: 'dead' })
    await node.order()
    await node.clock.runUntil(() => node.restarts.length > 0, MINUTE_MS)
    assert.equal(node.pointer?.hadCompany, false)
    await node.agent.stop()
  })

  test('what has gone back says so, with the reason', async () => {
    const node = await switched()
    const { upgrade } = node.pointer as ProgramPointer
    const failed = { ...NEW, reason: 'it ended with code 1: broken' }
    const back = { ...(node.pointer as ProgramPointer), current: null, isConfirmed: true, failed }
    await node.restart(null, back)
    assert.ok(await node.clock.runUntil(() => node.state === 'returned', MINUTE_MS))
    assert.deepEqual(node.told.at(-1)?.upgrade, { key: upgrade, state: 'returned', reason: failed.reason })
    await node.agent.stop()
  })

  const faults: [string, Partial<ProgramNode['faults']>, RegExp][] = [
    ['cannot be fetched', { fetch: new DeployError('P2P_ARTIFACT_UNAVAILABLE', 'nobody has it') }, /nobody has it/],
    [
      'does not fit on the disk',
      { fetch: new DeployError('P2P_ARTIFACT_NO_ROOM', 'the disk is full') },
      /disk is full/,
    ],
    ['lacks a package', { prepare: new DeployError('P2P_BUNDLE_DEPENDENCY', 'needs zod ^9') }, /needs zod \^9/],
    ['cannot be written down', { save: new Error('ENOSPC: no space left on device') }, /ENOSPC/],
  ]
  for (const [what, fault, reason] of faults) {
    test(`a program that ${what} changes nothing, and a later order may go well`, async () => {
      const node = await new ProgramNode().start()
      node.faults = fault
      await node.order()
      assert.ok(await node.clock.runUntil(() => node.state === 'failed', MINUTE_MS))
      assert.match(node.told.at(-1)?.upgrade?.reason ?? '', reason)
      assert.deepEqual([node.pointer, node.restarts], [undefined, []])
      node.faults = {}
      await node.order('u2')
      assert.ok(await node.clock.runUntil(() => node.restarts.length === 1, MINUTE_MS))
      await node.agent.stop()
    })
  }

  test('a bundle that is no program, or another version, is refused', async () => {
    for (const manifest of [{ kind: 'exec' as const }, { version: '9.9.9' }]) {
      const node = await new ProgramNode().start()
      node.manifest = { ...node.manifest, ...manifest }
      await node.order()
      assert.ok(await node.clock.runUntil(() => node.state === 'failed', MINUTE_MS))
      assert.match(node.told.at(-1)?.upgrade?.reason ?? '', /not program 3\.0\.1/)
      await node.agent.stop()
    }
  })

  test('only the upgrades of a coordinator may ask for it, and not of a process that cannot be replaced', async () => {
    const node = await new ProgramNode().start()
    const denied = { code: 'P2P_RPC_ACCESS_DENIED' }
    await assert.rejects(node.order('u1', { kind: 'person', name: 'ada', role: 'admin' }), denied)
    await assert.rejects(node.order('u1', { kind: 'node', nodeId: 'c1', role: 'worker', service: 'upgrades' }), denied)
    await assert.rejects(
      node.order('u1', { kind: 'node', nodeId: 'c1', role: 'coordinator', service: 'orchestrator' }),
      denied,
    )
    node.faults.replace = new DeployError('P2P_DEPLOY_REFUSED', 'on Windows …')
    await assert.rejects(node.order(), { code: 'P2P_DEPLOY_REFUSED' })
    assert.equal(node.pointer, undefined)
    await node.agent.stop()
  })
})
