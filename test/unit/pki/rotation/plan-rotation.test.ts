import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CaRotationPhase } from '../../../../src/base/enrolment.ts'
import { planRotation, type RotationFacts, type RotationNode } from '../../../../src/pki/rotation/plan-rotation.ts'

const ROTATION: RotationFacts = {
  kind: 'root',
  phase: 'distributing',
  oldRoot: 'old',
  newRoot: 'new',
  leftBehind: [],
}

const node = (nodeId: string, facts: Partial<RotationNode> = {}): RotationNode => ({
  nodeId,
  status: 'alive',
  trustedRoots: ['old'],
  hasNewCertificate: false,
  ...facts,
})

test('each phase waits for what it asks for, of every node, and names who has not done it', () => {
  const cases: [CaRotationPhase, Partial<RotationNode>, string, CaRotationPhase][] = [
    ['distributing', { trustedRoots: ['old', 'new'] }, 'trust', 'renewing'],
    ['renewing', { hasNewCertificate: true }, 'certificate', 'dropping'],
    ['dropping', { trustedRoots: ['new'] }, 'drop', 'done'],
  ]
  for (const [phase, followed, missing, next] of cases) {
    const rotation = { ...ROTATION, phase }
    const [done, late] = [node('a', followed), node('b', { status: 'dead' })]
    assert.deepEqual(planRotation(rotation, [done, late]), {
      next: undefined,
      waitingFor: [{ node_id: 'b', status: 'dead', missing }],
    })
    assert.deepEqual(planRotation(rotation, [done, node('b', followed)]), { next, waitingFor: [] })
  }
})

test('who was left behind is not waited for, in no phase', () => {
  const rotation = { ...ROTATION, leftBehind: ['b'] }
  assert.equal(planRotation(rotation, [node('a', { trustedRoots: ['new'] }), node('b')]).next, 'renewing')
  assert.equal(planRotation({ ...rotation, phase: 'renewing' }, [node('b')]).next, 'dropping')
})

test('an issuing CA alone has no root to drop, and what is done stays done', () => {
  const dropping = { ...ROTATION, kind: 'issuing', phase: 'dropping', newRoot: 'old' } as const
  assert.equal(planRotation(dropping, [node('a')]).next, 'done')
  assert.deepEqual(planRotation({ ...ROTATION, phase: 'done' }, [node('a')]), { next: undefined, waitingFor: [] })
})

test('nobody reaches a phase before everybody has ended the one before', () => {
  const ahead = node('a', { trustedRoots: ['new'], hasNewCertificate: true })
  for (const phase of ['distributing', 'renewing', 'dropping'] as const) {
    assert.equal(planRotation({ ...ROTATION, phase }, [ahead, node('b')]).next, undefined, phase)
  }
})
