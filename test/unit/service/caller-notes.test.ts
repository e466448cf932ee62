import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Principal } from '../../../src/base/identity.ts'
import { CallerNotes } from '../../../src/service/calls/caller-notes.ts'

function service(name: string): Principal {
  return { kind: 'node', nodeId: 'w1', role: 'worker', service: name }
}

test('who called which method is told once, and anew when it called again', () => {
  const notes = new CallerNotes()
  const web = service('web')
  for (const caller of [web, web, service('web'), service('desk')]) notes.note('buy', caller)
  notes.note('sell', { kind: 'person', name: 'ada', role: 'operator' })
  assert.deepEqual(notes.take(), { buy: ['web', 'desk'], sell: ['person:ada'] })
  assert.deepEqual(notes.take(), {})
  notes.note('buy', web)
  assert.deepEqual(notes.take(), { buy: ['web'] })
})

test('a node that asks by itself and a stranger are nobody who needs it; callers are bounded', () => {
  const notes = new CallerNotes()
  notes.note('buy', { kind: 'node', nodeId: 'w1', role: 'worker' })
  notes.note('buy', { kind: 'anonymous' })
  assert.deepEqual(notes.take(), {})
  for (let i = 0; i < 1_000; i++) notes.note('buy', service(`s${i}`))
  assert.equal(notes.take()['buy']?.length, 32)
})
