import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MethodMetrics, ServiceDescription, ServiceState } from '../../../../src/service/index.ts'
import {
  addCalls,
  callFigures,
  emptySums,
  keptService,
  quantileMs,
} from '../../../../src/telemetry/metrics/call-figures.ts'
import { ServiceMeter } from '../../../../src/telemetry/metrics/service-meter.ts'

const buckets = (...counts: number[]): Map<number, number> =>
  new Map([1, 10, 100, Number.POSITIVE_INFINITY].map((bound, index) => [bound, counts[index] ?? 0]))

test('a quantile lies within its bucket, linearly', () => {
  assert.equal(quantileMs(buckets(), 0.5), null)
  assert.equal(quantileMs(buckets(0, 100), 0.5), 5.5)
  assert.equal(quantileMs(buckets(50, 50), 0.5), 1)
  assert.equal(quantileMs(buckets(0, 0, 100), 0.99), 99.1)
  assert.equal(quantileMs(buckets(0, 0, 0, 3), 0.5), 100, 'beyond the last bound nothing is known but that')
})

const method = (service: string, calls: number, errors: number, counts: number[]): MethodMetrics => ({
  service,
  method: 'm',
  calls,
  errors,
  inFlight: 0,
  durationMsTotal: 0,
  durations: [...buckets(...counts)].map(([upToMs, count]) => ({ upToMs, count })),
})

const described = (name: string, more: Partial<ServiceDescription> = {}): ServiceDescription => ({
  name,
  version: '1.0.0',
  description: '',
  status: 'running',
  health: 'healthy',
  isBuiltin: false,
  methods: [],
  startedAtMs: 0,
  ...more,
})

test('a report has the calls since the one before, also after a service has begun anew', () => {
  let methods = [method('shop', 10, 1, [9, 1])]
  const meter = new ServiceMeter({
    services: { list: () => [described('shop')], get: () => undefined, methodMetrics: () => methods },
    host: { states: () => [] },
  })
  meter.take()
  methods = [method('shop', 30, 6, [19, 10, 1]), method('shop', 5, 0, [5])]
  const { shop } = meter.take()
  assert.deepEqual([shop?.calls, shop?.errors], [25, 5])
  assert.deepEqual(shop?.durations, [
    [1, 15],
    [10, 9],
    [100, 1],
    [null, 0],
  ])
  assert.deepEqual(meter.take()['shop']?.durations, [], 'nothing was called')
  methods = [method('shop', 2, 2, [2])]
  assert.deepEqual([meter.take()['shop']?.calls], [2])
})

test('figures of several nodes go together', () => {
  const sums = emptySums()
  const told = (calls: number, errors: number, durations: [number | null, number][]) =>
    keptService({
      status: 'running',
      version: '1',
      wanted: 1,
      running: 1,
      healthy: 1,
      restarts: 0,
      calls,
      errors,
      durations,
    })
  const first: [number | null, number][] = [
    [1, 8],
    [null, 0],
  ]
  const second: [number | null, number][] = [
    [1, 0],
    [null, 2],
  ]
  addCalls(sums, told(8, 2, first), 4)
  addCalls(sums, told(2, 0, second), 1)
  assert.deepEqual(callFigures(sums), { calls_per_s: 4, error_ratio: 0.2, p50_ms: 0.63, p99_ms: 1 })
})

test('a service in processes is told with them, one a person stopped is not wanted', () => {
  const instance = {
    id: 'shop#1',
    version: '1.0.0',
    generation: undefined,
    kind: 'process',
    pid: 7,
    startedAtMs: 0,
  } as const
  const state: ServiceState = {
    name: 'shop',
    version: '1.0.0',
    generation: undefined,
    kind: 'process',
    origin: 'folder',
    isStopped: false,
    wanted: 3,
    instances: [
      {
        ...instance,
        state: 'running',
        restarts: 1,
        health: 'healthy',
        reason: undefined,
        memoryBytes: 10,
        cpuPercent: 1.5,
      },
      { ...instance, state: 'running', restarts: 2, health: 'failing', reason: 'x', memoryBytes: 5, cpuPercent: 2 },
      {
        ...instance,
        state: 'backoff',
        restarts: 4,
        health: 'failing',
        reason: 'y',
        memoryBytes: undefined,
        cpuPercent: undefined,
      },
    ],
  }
  const told = (stopped: boolean) =>
    new ServiceMeter({
      services: {
        list: () => [described('shop', { failure: 'f'.repeat(900) })],
        get: () => undefined,
        methodMetrics: () => [],
      },
      host: { states: () => [{ ...state, isStopped: stopped }] },
    }).take()['shop']
  const { reason, ...facts } = told(false) ?? {}
  assert.equal(reason?.length, 500)
  assert.deepEqual(facts, {
    status: 'running',
    version: '1.0.0',
    wanted: 3,
    running: 2,
    healthy: 1,
    restarts: 7,
    memory_bytes: 15,
    cpu_percent: 3.5,
    calls: 0,
    errors: 0,
    durations: [],
  })
  assert.equal(told(true)?.wanted, 0)
})
