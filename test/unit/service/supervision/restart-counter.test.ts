import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { RestartCounter, type RestartRule } from '../../../../src/service/supervision/restart-counter.ts'

const RULE: RestartRule = {
  policy: 'always',
  backoffMsMin: 100,
  backoffMsMax: 1_500,
  endsMax: 6,
  windowMs: 60_000,
  healthyMs: 10_000,
}
const fault = { cause: 'fault', ranMs: 0, reason: 'it crashed' } as const

describe('what has ended by itself', () => {
  test('is started again, after pauses that double up to the limit', () => {
    const counter = new RestartCounter({ ...RULE, endsMax: 100 })
    const pauses = Array.from({ length: 7 }, () => counter.ended(0, fault, 0))
    assert.deepEqual(
      pauses,
      [100, 200, 400, 800, 1_500, 1_500, 1_500].map((delayMs) => ({ kind: 'again', delayMs })),
    )
  })

  test('waits up to half as long, at random, so that many do not start in step', () => {
    assert.deepEqual(new RestartCounter(RULE).ended(0, fault, 0.5), { kind: 'again', delayMs: 75 })
    const { delayMs } = new RestartCounter(RULE).ended(0, fault, 0.999_999) as { delayMs: number }
    assert.ok(delayMs >= 50 && delayMs < 51)
  })

  test('is given up after so many ends within the window, with the last reason', () => {
    const counter = new RestartCounter(RULE)
    for (let end = 1; end < RULE.endsMax; end++) assert.equal(counter.ended(end * 1_000, fault, 0).kind, 'again')
    const verdict = counter.ended(6_000, fault, 0)
    assert.deepEqual(verdict, {
      kind: 'give-up',
      reason: 'it ended 6 times within 60 s and is not started again by itself; the last time: it crashed',
    })
  })

  test('is not given up when its ends lie further apart than the window', () => {
    const counter = new RestartCounter(RULE)
    for (let end = 0; end < 50; end++) assert.equal(counter.ended(end * 12_001, fault, 0).kind, 'again')
  })

  test('begins anew after a healthy time, and after a start by hand', () => {
    const counter = new RestartCounter(RULE)
    for (let end = 0; end < 5; end++) counter.ended(0, fault, 0)
    assert.deepEqual(counter.ended(0, { ...fault, ranMs: 10_000 }, 0), { kind: 'again', delayMs: 100 })
    for (let end = 0; end < 4; end++) counter.ended(0, fault, 0)
    counter.reset()
    assert.deepEqual(counter.ended(0, fault, 0), { kind: 'again', delayMs: 100 })
  })

  test('is not given up for being killed from outside, and comes back within a second', () => {
    const counter = new RestartCounter({ ...RULE, backoffMsMax: 30_000 })
    for (let end = 0; end < 500; end++) {
      const verdict = counter.ended(end, { ...fault, cause: 'killed' }, 0)
      assert.ok(verdict.kind === 'again' && verdict.delayMs <= 1_000)
    }
    assert.equal(counter.ended(501, fault, 0).kind, 'again')
  })

  test('is given up at once when its code cannot be loaded', () => {
    const end = { cause: 'hopeless', ranMs: 0, reason: 'no class Run' } as const
    assert.deepEqual(new RestartCounter(RULE).ended(0, end, 0), { kind: 'give-up', reason: 'no class Run' })
  })
})

describe('the policy', () => {
  const done = { cause: 'done', ranMs: 0, reason: 'it ended with exit code 0' } as const

  test('always: starts again what ended in order, and gives it up when it does so for ever', () => {
    const counter = new RestartCounter(RULE)
    assert.equal(counter.ended(0, done, 0).kind, 'again')
    for (let end = 0; end < 4; end++) counter.ended(0, done, 0)
    assert.equal(counter.ended(0, done, 0).kind, 'give-up')
  })

  test('on-failure: leaves what ended in order, starts again what failed', () => {
    const counter = new RestartCounter({ ...RULE, policy: 'on-failure' })
    assert.deepEqual(counter.ended(0, done, 0), { kind: 'done' })
    assert.equal(counter.ended(0, fault, 0).kind, 'again')
  })

  test('never: an end is the end', () => {
    const counter = new RestartCounter({ ...RULE, policy: 'never' })
    assert.deepEqual(counter.ended(0, done, 0), { kind: 'done' })
    assert.deepEqual(counter.ended(0, fault, 0), { kind: 'give-up', reason: 'it crashed' })
    assert.equal(counter.ended(0, { ...fault, cause: 'killed' }, 0).kind, 'give-up')
  })
})
