import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HealthLoop } from '../../../../src/service/host/health-loop.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn } from '../support/node.ts'

const RHYTHM = { intervalMs: 1_000, timeoutMs: 300, failures: 2, successes: 1, restartAfter: 3 }

function loop(answer: () => Promise<void>, isPatient = false) {
  const clock = new ManualClock()
  let asked = 0
  let answers = 0
  const made = new HealthLoop(clock, RHYTHM, {
    probe: (signal) => {
      asked++
      return Promise.race([
        answer(),
        new Promise<never>((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
      ])
    },
    isPatient,
    onAnswer: () => answers++,
  })
  return { clock, made, asked: () => asked, answers: () => answers }
}

const never = (): Promise<void> => new Promise(() => {})

test('asks at once, then once an interval after each answer', async () => {
  const { clock, made, asked } = loop(async () => {})
  made.start()
  await turn()
  assert.equal(asked(), 1)
  for (let i = 2; i < 6; i++) {
    clock.advance(1_000)
    await turn()
    assert.equal(asked(), i)
  }
  assert.equal(made.reason, undefined)
  made.stop()
  assert.equal(clock.timerCount, 0)
})

test('whoever does not answer in time is failing, and at last hopeless', async () => {
  const { clock, made, answers } = loop(never)
  made.start()
  for (const [failures, reason, isHopeless] of [
    [1, undefined, false],
    [2, 'no answer within 300 ms', false],
    [3, 'no answer within 300 ms', true],
  ] as const) {
    clock.advance(300)
    await turn()
    assert.deepEqual([answers(), made.reason, made.isHopeless], [failures, reason, isHopeless])
    clock.advance(1_000)
    await turn()
  }
  made.stop()
  await turn()
  assert.deepEqual([answers(), clock.timerCount], [3, 0])
})

test('a program that is awaited may fail until it is well for the first time, and is asked often', async () => {
  let isUp = false
  const { clock, made, asked } = loop(async () => {
    if (!isUp) throw new Error('refused')
  }, true)
  made.start()
  for (let i = 0; i < 20; i++) {
    await turn()
    clock.advance(50)
  }
  await turn()
  assert.equal(asked(), 21)
  assert.deepEqual([made.reason, made.isHopeless, made.hasSucceeded], [undefined, false, false])
  isUp = true
  clock.advance(50)
  await turn()
  assert.equal(made.hasSucceeded, true)
  isUp = false
  clock.advance(1_000)
  await turn()
  clock.advance(1_000)
  await turn()
  assert.equal(made.reason, 'refused')
  made.stop()
})
