import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeadlineTimer } from '../../../src/service/calls/deadline-timer.ts'
import { ManualClock } from './support/manual-clock.ts'

/** Deadlines in a list, and the moments at which they ended. */
function holder(clock: ManualClock): {
  timer: DeadlineTimer
  add: (inMs: number) => void
  ended: number[]
  sweeps: () => number
} {
  let open: number[] = []
  let sweeps = 0
  const ended: number[] = []
  const startMs = clock.nowMs()
  const timer = new DeadlineTimer(clock, (nowMs) => {
    sweeps++
    ended.push(...open.filter((deadlineMs) => deadlineMs <= nowMs).map(() => nowMs - startMs))
    open = open.filter((deadlineMs) => deadlineMs > nowMs)
    return Math.min(...open)
  })
  const add = (inMs: number): void => {
    open.push(clock.nowMs() + inMs)
    timer.note(clock.nowMs() + inMs)
  }
  return { timer, add, ended, sweeps: () => sweeps }
}

test('one timer serves any number of deadlines, and none is left when they are over', () => {
  const clock = new ManualClock()
  const { add, ended, sweeps } = holder(clock)
  for (let i = 0; i < 1_000; i++) add(500)
  assert.equal(clock.timerCount, 1)
  clock.advance(500)
  assert.deepEqual([ended.length, sweeps(), clock.timerCount], [1_000, 1, 0])
})

test('an earlier deadline moves the timer, deadlines close together share a sweep', () => {
  const clock = new ManualClock()
  const { add, ended } = holder(clock)
  add(300)
  add(100)
  add(105)
  clock.advance(1_000)
  assert.deepEqual(ended, [100, 120, 300])
})

test('a deadline months away does not keep the timer busy', () => {
  const clock = new ManualClock()
  const { add, ended, sweeps, timer } = holder(clock)
  const months = 90 * 24 * 60 * 60 * 1_000
  add(months)
  clock.advance(months)
  assert.deepEqual([ended, sweeps()], [[months], 90])
  add(Infinity)
  assert.equal(clock.timerCount, 0)
  add(5)
  timer.stop()
  assert.equal(clock.timerCount, 0)
})
