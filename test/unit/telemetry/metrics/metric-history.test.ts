import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CALLS } from '../../../../src/telemetry/metrics/call-values.ts'
import { MACHINE } from '../../../../src/telemetry/metrics/machine-values.ts'
import {
  historyBytesMax,
  MetricHistory,
  OWN_SAMPLES,
  REPORTS,
} from '../../../../src/telemetry/metrics/metric-history.ts'
import { MetricRing, rowBytes } from '../../../../src/telemetry/metrics/metric-ring.ts'

/** Everything equal, but the load. */
const values = (load: number, lag = 1): number[] => [10, 20, 30, 40, 50, load, lag]
const START_MS = Date.UTC(2026, 0, 1)
const MINUTE_MS = 60_000
const DAY_MS = 86_400_000

test('measurements of one period are one row: means, but the longest delay', () => {
  const ring = new MetricRing(MACHINE.fields, { periodMs: MINUTE_MS, rowsMax: 10 })
  ring.add(START_MS, values(1, 5))
  ring.add(START_MS + 20_000, values(2, 90))
  ring.add(START_MS + 40_000, values(6, 3))
  const [row, ...others] = ring.newest(10)
  assert.deepEqual(others, [])
  assert.deepEqual(row, { timeMs: START_MS, values: [10, 20, 30, 40, 50, 3, 90] })
})

test('a ring keeps its newest rows, in order, and takes no more memory than they need', () => {
  const ring = new MetricRing(MACHINE.fields, { periodMs: 1_000, rowsMax: 50 })
  const emptyBytes = ring.bytes
  for (let second = 0; second < 173; second++) ring.add(START_MS + second * 1_000, values(second))
  assert.ok(emptyBytes < ring.bytes)
  assert.equal(ring.bytes, 50 * rowBytes(MACHINE.fields))
  assert.equal(ring.count, 50)
  assert.deepEqual(
    ring.newest(50).map((row) => row.values[5]),
    Array.from({ length: 50 }, (_, index) => 123 + index),
  )
  assert.deepEqual(
    ring.newest(2).map((row) => row.timeMs),
    [START_MS + 171_000, START_MS + 172_000],
  )
  assert.equal(ring.since(START_MS + 170_000).length, 3)
  assert.equal(ring.since(START_MS).length, 50)
})

test('time in which nothing was measured has no rows', () => {
  const ring = new MetricRing(MACHINE.fields, { periodMs: 1_000, rowsMax: 50 })
  ring.add(START_MS, values(1))
  ring.add(START_MS + 30_000, values(2))
  assert.deepEqual(
    ring.since(0).map((row) => row.timeMs),
    [START_MS, START_MS + 30_000],
  )
})

test('a clock that is set back takes away what it had written ahead', () => {
  const ring = new MetricRing(MACHINE.fields, { periodMs: 1_000, rowsMax: 50 })
  for (let second = 0; second < 10; second++) ring.add(START_MS + second * 1_000, values(second))
  ring.add(START_MS + 4_000, values(8))
  assert.deepEqual(
    ring.since(0).map((row) => row.values[5]),
    [0, 1, 2, 3, 6],
  )
})

test('a day and a half is there by seconds, minutes and hours, and thinned to what is asked for', () => {
  const history = new MetricHistory(MACHINE, OWN_SAMPLES)
  for (let atMs = START_MS; atMs < START_MS + 1.5 * DAY_MS; atMs += 4_000) history.add(atMs, values(1))
  const nowMs = START_MS + 1.5 * DAY_MS
  assert.equal(history.points('1h', nowMs, 1_000).length, 60)
  assert.equal(history.points('1d', nowMs, 2_000).length, 1_440)
  assert.equal(history.points('30d', nowMs, 1_000).length, 36)
  const thin = history.points('1d', nowMs, 100)
  assert.equal(thin.length, 96)
  assert.equal(thin[0]?.timestamp, new Date(nowMs - DAY_MS).toISOString())
  assert.equal(history.recent(nowMs - 9_000, 100).length, 2)
  assert.deepEqual(history.recent(nowMs, 100), [])
})

test('thinned points are means, but keep the longest delay', () => {
  const history = new MetricHistory(MACHINE, REPORTS)
  for (const [index, lag] of [1, 80, 2, 3].entries()) history.add(START_MS + index * 4_000, values(index, lag))
  const points = history.points('15m', START_MS + 16_000, 2)
  assert.deepEqual(
    points.map((point) => [point.load_1, point.loop_lag_ms]),
    [
      [0.5, 80],
      [2.5, 3],
    ],
  )
})

test('a node costs a coordinator at most 77 kB of history after 30 days', () => {
  const history = new MetricHistory(MACHINE, REPORTS)
  for (let atMs = START_MS; atMs < START_MS + 31 * DAY_MS; atMs += 30_000) history.add(atMs, values(1))
  assert.equal(history.bytes, historyBytesMax(MACHINE.fields))
  assert.equal(history.bytes, 76_320)
  assert.equal(historyBytesMax(CALLS.fields), 47_700, 'and a service')
})

test('time without calls has no durations, and takes nothing from those of the calls beside it', () => {
  const history = new MetricHistory(CALLS, REPORTS)
  const none = Number.NaN
  const measured = [
    [0, 0, none, none],
    [4, 1, 10, 50],
    [0, 0, none, none],
    [8, 0, 20, 30],
  ]
  measured.forEach((values, index) => history.add(START_MS + index * 4_000, values))
  const latencies = (points: { p50_ms: number | null; p99_ms: number | null }[]) =>
    points.map(({ p50_ms: median, p99_ms: high }) => [median, high])
  const nowMs = START_MS + 16_000
  assert.deepEqual(latencies(history.points('15m', nowMs, 10)), [
    [null, null],
    [10, 50],
    [null, null],
    [20, 30],
  ])
  assert.deepEqual(latencies(history.points('15m', nowMs, 2)), [
    [10, 50],
    [20, 30],
  ])
  const [minute, ...others] = history.points('1h', nowMs, 10)
  assert.deepEqual(others, [])
  assert.deepEqual(minute, {
    timestamp: new Date(START_MS).toISOString(),
    calls_per_s: 3,
    errors_per_s: 0.25,
    p50_ms: 15,
    p99_ms: 50,
  })
})
