import assert from 'node:assert/strict'
import { test } from 'node:test'
import { LAN_PROFILE } from '../../../src/network/swim/profile.ts'
import { Suspicion, suspicionTimeout, suspicionTimes } from '../../../src/network/swim/suspicion.ts'

const times = {
  k: 3,
  minMs: 2_000,
  maxMs: 30_000,
  witnesses: Number.POSITIVE_INFINITY,
  witnessedMs: 0,
  refusalsForVerdict: 2,
  refusedMs: 700,
}

test('the shortest suspicion grows with the logarithm of the cluster', () => {
  assert.equal(suspicionTimeout(4, 1, 1_000), 4_000)
  assert.equal(suspicionTimeout(4, 10, 1_000), 4_000)
  assert.equal(suspicionTimeout(4, 100, 1_000), 8_000)
  assert.equal(suspicionTimeout(4, 1_000, 1_000), 12_000)
})

test('confirmations shorten a suspicion as memberlist computes it', () => {
  // memberlist suspicion_test.go, TestSuspicion_remainingSuspicionTime
  const suspicion = new Suspicion(0, 1, 'accuser', times)
  const deadlines = ['b', 'c', 'd', 'e'].map((from) => {
    suspicion.confirm(from)
    return Math.floor(suspicion.deadlineMs)
  })
  assert.equal(new Suspicion(0, 1, 'accuser', times).deadlineMs, 30_000)
  assert.deepEqual(deadlines, [16_000, 7_810, 2_000, 2_000])
})

test('neither the accuser nor a second word of the same member confirms', () => {
  const suspicion = new Suspicion(0, 1, 'accuser', times)
  assert.equal(suspicion.confirm('accuser'), false)
  assert.equal(suspicion.confirm('b'), true)
  assert.equal(suspicion.confirm('b'), false)
  assert.equal(suspicion.confirmations, 1)
})

test('confirmations beyond k are not passed on', () => {
  const suspicion = new Suspicion(0, 1, 'accuser', { ...times, k: 1 })
  assert.equal(suspicion.confirm('b'), true)
  assert.equal(suspicion.confirm('c'), false)
})

test('without anybody to confirm, the suspicion is short from the start', () => {
  assert.equal(new Suspicion(500, 1, 'accuser', { ...times, k: 0 }).deadlineMs, 2_500)
})

test('refused dials of two members, not two of one, make the verdict fast', () => {
  const suspicion = new Suspicion(0, 1, 'accuser', times)
  assert.equal(suspicion.confirmRefused(100, 'accuser'), true)
  assert.equal(suspicion.confirmRefused(200, 'accuser'), false)
  assert.equal(suspicion.deadlineMs, 30_000)
  assert.equal(suspicion.confirmRefused(300, 'b'), true)
  assert.equal(suspicion.deadlineMs, 1_000)
})

test('a member that was heard gets another shortest suspicion and another last probe', () => {
  const suspicion = new Suspicion(0, 1, 'accuser', { ...times, refusalsForVerdict: 1 })
  suspicion.confirmRefused(0, 'accuser')
  suspicion.lastProbeMs = 100
  suspicion.extend(600)
  assert.equal(suspicion.deadlineMs, 30_000)
  assert.equal(suspicion.lastProbeMs, undefined)
  suspicion.extend(40_000)
  assert.equal(suspicion.deadlineMs, 42_000)
})

test('four witnesses leave little doubt: then the suspicion is shorter still', () => {
  const suspicion = new Suspicion(0, 1, 'accuser', suspicionTimes(LAN_PROFILE, 10))
  const deadlines = ['b', 'c', 'd', 'e', 'f'].map((from) => {
    const isNews = suspicion.confirm(from)
    return [Math.floor(suspicion.deadlineMs), isNews]
  })
  assert.deepEqual(deadlines, [
    [11_381, true],
    [4_000, true],
    [4_000, true],
    [2_500, true],
    [2_500, false],
  ])
})

test('where there are not four others, nobody waits for four', () => {
  const withMembers = (members: number) => suspicionTimes(LAN_PROFILE, members)
  assert.deepEqual([withMembers(2).k, withMembers(3).k, withMembers(4).k], [0, 0, 2])
  assert.deepEqual([withMembers(5).witnesses, withMembers(6).witnesses], [Number.POSITIVE_INFINITY, 4])
  const suspicion = new Suspicion(0, 1, 'accuser', withMembers(5))
  assert.deepEqual(
    ['b', 'c', 'd'].map((from) => suspicion.confirm(from)),
    [true, true, false],
  )
  assert.equal(suspicion.deadlineMs, 4_000)
})
