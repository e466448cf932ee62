import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock, systemRandom } from '../../../src/platform/index.ts'

test('the two clocks run, and are two', () => {
  const startMs = systemClock.nowMs()
  assert.ok(systemClock.nowMs() >= startMs)
  assert.ok(Math.abs(systemClock.wallMs() - Date.now()) < 1_000)
  assert.ok(systemClock.nowMs() < systemClock.wallMs(), 'monotonic time does not count from 1970')
})

test('a timer fires once, an interval until it is cancelled', async () => {
  const calls: string[] = []
  const { promise, resolve } = Promise.withResolvers<void>()
  systemClock.after(1, () => calls.push('once'))
  const interval = systemClock.every(1, () => {
    calls.push('again')
    if (calls.filter((call) => call === 'again').length === 3) resolve()
  })
  // The clock's own timers keep nothing alive, so something else must.
  const anchor = setTimeout(() => {}, 60_000)
  await promise
  interval.cancel()
  interval.cancel()
  await new Promise((done) => setTimeout(done, 5))
  clearTimeout(anchor)
  assert.equal(calls.filter((call) => call === 'again').length, 3)
  assert.equal(calls.filter((call) => call === 'once').length, 1)
})

test('a cancelled timer does not fire, and a far one does not fire at once', async () => {
  let isFired = false
  const fire = (): void => {
    isFired = true
  }
  systemClock.after(1, fire).cancel()
  const far = systemClock.after(2 ** 40, fire)
  const forever = systemClock.every(Number.POSITIVE_INFINITY, fire)
  await new Promise((done) => setTimeout(done, 10))
  far.cancel()
  forever.cancel()
  assert.equal(isFired, false)
})

test('the generator gives bytes of the wanted number, and numbers from 0 to 1', () => {
  assert.equal(systemRandom.bytes(0).byteLength, 0)
  assert.notDeepEqual(systemRandom.bytes(32), systemRandom.bytes(32))
  for (let count = 0; count < 1_000; count++) {
    const number = systemRandom.float()
    assert.ok(number >= 0 && number < 1)
  }
})
