import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { parsePointer, programToStart } from '../../../../src/deploy/index.ts'
import {
  confirmed,
  PROGRAM_STARTS_MAX,
  type ProgramPointer,
  type StartFacts,
  switchedTo,
} from '../../../../src/deploy/program/program-pointer.ts'

const OLD = { digest: 'a'.repeat(64), version: '3.0.1' }
const NEW = { digest: 'b'.repeat(64), version: '3.0.2' }
const FROM = { installed: '3.0.0', upgrade: 'u1', running: OLD, hadCompany: true }
const FACTS: StartFacts = { installed: '3.0.0', failure: undefined, isThere: () => true }

const start = (pointer: ProgramPointer | undefined, facts: Partial<StartFacts> = {}) =>
  programToStart(pointer, { ...FACTS, ...facts })

suite('which program a beginning process runs', () => {
  test('without a pointer the installed one', () => {
    assert.deepEqual(start(undefined), { run: null, pointer: undefined })
  })

  test('the chosen one, whose starts are counted until it is confirmed', () => {
    const first = start(switchedTo(NEW, FROM))
    assert.deepEqual(first.run, NEW)
    assert.equal(first.pointer?.attempts, 1)
    const settled = confirmed(first.pointer as ProgramPointer)
    const later = start(settled)
    assert.deepEqual([later.run, later.pointer, later.why], [NEW, settled, undefined])
  })

  test('the one before when the chosen one has ended unconfirmed, with the reason', () => {
    const tried = start(switchedTo(NEW, FROM)).pointer
    const { run, pointer, why } = start(tried, { failure: 'it ended with code 1: broken' })
    assert.deepEqual(run, OLD)
    assert.deepEqual(pointer?.current, OLD)
    assert.equal(pointer?.isConfirmed, true)
    assert.equal(pointer?.previous, null)
    assert.deepEqual(pointer?.failed, { ...NEW, reason: 'it ended with code 1: broken' })
    assert.match(why ?? '', /Version 3\.0\.2 is left: it ended with code 1: broken\. Version 3\.0\.1 runs again/)
    // And it stays so.
    assert.deepEqual(start(pointer).run, OLD)
  })

  test('the one before when the chosen one did not confirm itself in two starts that left no word', () => {
    let pointer: ProgramPointer | undefined = switchedTo(NEW, FROM)
    for (let count = 1; count <= PROGRAM_STARTS_MAX; count++) {
      const decision = start(pointer)
      assert.deepEqual(decision.run, NEW)
      pointer = decision.pointer
    }
    const { run, pointer: after } = start(pointer)
    assert.deepEqual(run, OLD)
    assert.match(after?.failed?.reason ?? '', /not ready and well in 2 starts/)
  })

  test('the installed one where none was before, or its folder is gone', () => {
    const failure = 'it ended'
    assert.equal(start(switchedTo(NEW, { ...FROM, running: null }), { failure }).run, null)
    const gone = start(switchedTo(NEW, FROM), { failure, isThere: (digest) => digest === NEW.digest })
    assert.equal(gone.run, null)
    assert.match(gone.why ?? '', /Version 3\.0\.0 runs again/)
    // It is the installed one from then on, not one that is tried again and again.
    assert.equal(start(gone.pointer).run, null)
  })

  test('a confirmed one is not left because it crashed, but because its folder is gone', () => {
    const settled = confirmed(switchedTo(NEW, FROM))
    assert.deepEqual(start(settled, { failure: 'it ended with code 1' }).run, NEW)
    const gone = start(settled, { isThere: (digest) => digest !== NEW.digest })
    assert.deepEqual(gone.run, OLD)
    assert.match(gone.pointer?.failed?.reason ?? '', /folder/)
  })

  test('the installed one when somebody has installed another version since', () => {
    const { run, pointer, why } = start(confirmed(switchedTo(NEW, FROM)), { installed: '3.1.0' })
    assert.deepEqual([run, pointer], [null, undefined])
    assert.match(why ?? '', /was 3\.0\.0 and is now 3\.1\.0/)
  })
})

test('a pointer is read back as it was written, and whatever else is none', () => {
  const pointer = confirmed(switchedTo(NEW, FROM))
  assert.deepEqual(parsePointer(JSON.stringify(pointer)), JSON.parse(JSON.stringify(pointer)))
  const { digest } = NEW
  const bad = [
    '',
    '{',
    'null',
    JSON.stringify({ ...pointer, format: 2 }),
    JSON.stringify({ ...pointer, current: { digest: '../../etc', version: '3.0.2' } }),
    JSON.stringify({ ...pointer, current: { digest, version: 'newest' } }),
    JSON.stringify({ ...pointer, attempts: -1 }),
  ]
  for (const text of bad) assert.equal(parsePointer(text), undefined, text)
})
