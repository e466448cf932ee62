import assert from 'node:assert/strict'
import { test } from 'node:test'
import { causeOf, exitText, withSignal } from '../../../../src/service/host/exit-text.ts'

test('who was ended from outside is not to blame, who crashed is', () => {
  assert.equal(causeOf({ code: 0, signal: null }), 'done')
  assert.equal(causeOf({ code: 3, signal: null }), 'fault')
  assert.equal(causeOf({ code: null, signal: 'SIGKILL' }), 'killed')
  assert.equal(causeOf({ code: null, signal: 'SIGSEGV' }), 'fault')
  assert.equal(causeOf({ code: null, signal: 'SIGABRT' }), 'fault')
})

test('a sandbox hides the signal in the exit code, a program of its own does not', {
  skip: process.platform === 'win32',
}, () => {
  assert.deepEqual(withSignal({ code: 137, signal: null }, true), { code: null, signal: 'SIGKILL' })
  assert.deepEqual(withSignal({ code: 137, signal: null }, false), { code: 137, signal: null })
  assert.deepEqual(withSignal({ code: 1, signal: null }, true), { code: 1, signal: null })
  assert.deepEqual(withSignal({ code: 255, signal: null }, true), { code: 255, signal: null })
})

test('the reason names the last complaint of what crashed, and memory that ran out', () => {
  assert.equal(exitText({ code: 0, signal: null }, ['odd'], undefined), 'it ended with exit code 0')
  assert.equal(exitText({ code: 2, signal: null }, ['why', ' '], undefined), 'it ended with exit code 2: why')
  assert.equal(exitText({ code: null, signal: 'SIGKILL' }, ['odd'], undefined), 'it was ended by SIGKILL')
  const tail = ['FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory', '1: 0xb7', '----']
  assert.equal(
    exitText({ code: null, signal: 'SIGABRT' }, tail, 64),
    'it ran out of memory: limits.memoryMb in manifest.json is 64',
  )
})
