import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Condition, Silence } from '../../../../src/telemetry/alerts/alert.ts'
import { AlertMachine, isFlapping } from '../../../../src/telemetry/alerts/alert-machine.ts'
import { RepeatedEnds } from '../../../../src/telemetry/alerts/repeated-ends.ts'
import { ErrorRise } from '../../../../src/telemetry/alerts/error-rise.ts'
import { linearFit } from '../../../../src/telemetry/metrics/linear-fit.ts'

const S = 1_000
const MINUTE = 60 * S
const HOUR = 60 * MINUTE

const DEAD: Condition = { id: 'node/w1', severity: 'error', title: 'w1 is dead', detail: '', nodeId: 'w1' }
const DISK: Condition = { id: 'disk/w1', severity: 'warning', title: 'disk', detail: '', nodeId: 'w1' }

/** Steps a machine every 5 s and writes down what it tells, with the second. */
class Run {
  readonly machine: AlertMachine
  readonly told: string[] = []
  nowMs: number
  silences: Silence[] = []

  constructor(machine = new AlertMachine([], 0), nowMs = 0) {
    this.machine = machine
    this.nowMs = nowMs
  }

  during(ms: number, ...conditions: Condition[]): this {
    for (const endMs = this.nowMs + ms; this.nowMs < endMs; this.nowMs += 5 * S) {
      const { notices } = this.machine.step(this.nowMs, conditions, this.silences)
      for (const { type, alert } of notices) this.told.push(`${this.nowMs / S} ${type} ${alert.id}`)
    }
    return this
  }

  take(): string[] {
    return this.told.splice(0)
  }
}

describe('an alert', () => {
  test('fires when the trouble has lasted, and is over when it was gone for a minute', () => {
    const run = new Run().during(3 * MINUTE)
    run.during(5 * MINUTE, DEAD).during(5 * MINUTE)
    assert.deepEqual(run.take(), ['190 fired node/w1', '535 resolved node/w1'])
  })

  test('is none when the trouble passes by itself', () => {
    const run = new Run().during(3 * MINUTE)
    for (let i = 0; i < 100; i++) run.during(10 * S, DEAD).during(5 * S)
    assert.deepEqual(run.take(), [])
    assert.deepEqual(run.machine.alerts, [])
  })

  test('a gap shorter than a minute is no end', () => {
    const run = new Run()
      .during(3 * MINUTE)
      .during(MINUTE, DEAD)
      .during(50 * S)
      .during(MINUTE, DEAD)
    assert.deepEqual(run.take(), ['190 fired node/w1'])
  })

  test('each rule waits as long as it says', () => {
    const rules = ['node', 'service', 'disk', 'clock', 'certificate', 'logs', 'other']
    const run = new Run().during(5 * MINUTE, ...rules.map((rule) => ({ ...DEAD, id: `${rule}/x` })))
    assert.deepEqual(
      run.take().sort(),
      [
        '0 fired certificate/x',
        '0 fired logs/x',
        '10 fired node/x',
        '120 fired disk/x',
        '15 fired other/x',
        '15 fired service/x',
        '30 fired clock/x',
      ].sort(),
    )
  })

  test('what comes and goes fires three times and then stays until it is quiet for long', () => {
    const run = new Run().during(3 * MINUTE)
    for (let i = 0; i < 10; i++) run.during(MINUTE, DEAD).during(2 * MINUTE)
    assert.equal(run.told.filter((told) => told.includes('fired')).length, 3)
    assert.equal(run.told.filter((told) => told.includes('resolved')).length, 2)
    assert.ok(isFlapping(run.machine.alerts[0] as never, run.nowMs))
    run.take()
    run.during(20 * MINUTE)
    assert.deepEqual(
      run.take().map((told) => told.split(' ')[1]),
      ['resolved'],
    )
  })

  test('nobody hears twice, but for a reminder; not when somebody takes care of it', () => {
    const run = new Run().during(3 * MINUTE).during(9 * HOUR, DEAD, DISK)
    assert.deepEqual(
      run.take().map((told) => told.split(' ').slice(1).join(' ')),
      ['fired node/w1', 'fired disk/w1', 'reminder node/w1', 'reminder node/w1'],
    )
    assert.ok(run.machine.acknowledge('node/w1', 'ada', run.nowMs, 'on my way'))
    run.during(9 * HOUR, DEAD)
    assert.deepEqual(
      run.take().map((told) => told.split(' ')[1]),
      ['resolved'],
    )
    run.during(5 * MINUTE)
    assert.deepEqual(
      run.take().map((told) => told.split(' ')[1]),
      ['resolved'],
    )
    run.during(MINUTE, DEAD)
    assert.equal(run.machine.alerts.find(({ id }) => id === 'node/w1')?.acknowledged, undefined)
    assert.equal(run.take().length, 1)
  })

  test('only what fires can be acknowledged', () => {
    const run = new Run().during(5 * S, DEAD)
    assert.equal(run.machine.acknowledge('node/w1', 'ada', 0, undefined), false)
    assert.equal(run.machine.acknowledge('node/w9', 'ada', 0, undefined), false)
  })

  test('getting worse is told at once, also of what was acknowledged', () => {
    const run = new Run().during(3 * MINUTE).during(5 * MINUTE, DISK)
    run.machine.acknowledge('disk/w1', 'ada', run.nowMs, undefined)
    run.take()
    run.during(5 * S, { ...DISK, severity: 'error' })
    assert.deepEqual(run.take(), ['480 escalated disk/w1'])
    assert.equal(run.machine.alerts[0]?.acknowledged, undefined)
  })

  test('a silence keeps quiet and no more: what still fires when it ends is told then', () => {
    const run = new Run().during(3 * MINUTE)
    const silence = { id: 's', nodeId: 'w1', untilMs: HOUR, by: 'ada' }
    run.silences = [silence]
    run.during(30 * MINUTE, DEAD).during(5 * MINUTE)
    assert.deepEqual(run.take(), [])
    assert.equal(run.machine.alerts[0]?.state, 'resolved')
    run.during(HOUR, DEAD)
    assert.deepEqual(run.take(), ['3600 fired node/w1'])
    run.silences = [{ ...silence, untilMs: 10 * HOUR, rule: 'disk' }]
    run.during(MINUTE, DEAD, { ...DEAD, id: 'node/w2', nodeId: 'w2' })
    assert.equal(run.take().length, 1)
  })

  test('after a restart it goes on: nobody hears again, and nothing is over before the nodes have reported', () => {
    const before = new Run().during(3 * MINUTE).during(MINUTE, DEAD, DISK)
    const stored = structuredClone(before.machine.alerts)
    const after = new Run(new AlertMachine(stored, before.nowMs), before.nowMs)
    after.during(55 * S)
    assert.deepEqual(after.take(), [])
    after.during(30 * S)
    assert.deepEqual(
      after.take().map((told) => told.split(' ').slice(1).join(' ')),
      ['resolved node/w1'],
    )
  })

  test('what is over is forgotten after a day, and there is a bound', () => {
    const run = new Run().during(3 * MINUTE)
    const many = Array.from({ length: 600 }, (_, i) => ({ ...DEAD, id: `node/n${i}` }))
    run.during(MINUTE, ...many)
    assert.equal(run.machine.alerts.length, 500)
    run.during(3 * MINUTE)
    run.during(MINUTE, DEAD)
    assert.ok(run.machine.alerts.some(({ id, state }) => id === 'node/w1' && state === 'firing'))
    run.during(25 * HOUR)
    assert.equal(run.machine.alerts.length, 0)
  })

  test('whatever comes and goes: fired and resolved alternate, and what fires is always told', () => {
    const spans = fc.array(fc.tuple(fc.integer({ min: 1, max: 40 }), fc.boolean(), fc.boolean()), { maxLength: 40 })
    fc.assert(
      fc.property(spans, (steps) => {
        const run = new Run()
        for (const [count, isBad, isSilent] of steps) {
          run.silences = isSilent ? [{ id: 's', rule: 'node', untilMs: Number.MAX_SAFE_INTEGER, by: 'a' }] : []
          run.during(count * 10 * S, ...(isBad ? [DEAD] : []))
        }
        const types = run.told.map((told) => told.split(' ')[1]).filter((type) => type !== 'reminder')
        for (const [i, type] of types.entries()) {
          if (type === 'resolved') assert.equal(types[i - 1], 'fired')
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('errors in the log', () => {
  test('many where there were few are an alert; as many as always are not', () => {
    const rise = new ErrorRise()
    const start = HOUR * 100
    for (let i = 0; i < 60; i++) rise.add('busy', start + i * MINUTE)
    for (let i = 0; i < 25; i++) {
      rise.add('quiet', start + 60 * MINUTE)
      if (i < 19) rise.add('few', start + 60 * MINUTE)
    }
    for (let minute = 0; minute < 60; minute++) for (let i = 0; i < 10; i++) rise.add('always', start + minute * MINUTE)
    for (let i = 0; i < 50; i++) rise.add('always', start + 60 * MINUTE)
    assert.deepEqual(
      rise.conditions(start + 61 * MINUTE).map(({ id, detail }) => `${id} ${detail}`),
      ['logs/quiet 25 within 5 minutes; hardly any before.'],
    )
    assert.deepEqual(rise.conditions(start + 70 * MINUTE), [])
  })
})

describe('a service that ends again and again', () => {
  test('is an alert although it is well in between, and none when that was long ago', () => {
    const ends = new RepeatedEnds()
    for (let i = 0; i < 4; i++) ends.add('hello', i * 30 * S, 'it ended with exit code 3')
    assert.deepEqual(ends.conditions(2 * MINUTE), [])
    ends.add('hello', 2 * MINUTE, 'it ran out of memory')
    const [condition] = ends.conditions(3 * MINUTE)
    assert.deepEqual([condition?.id, condition?.severity], ['service/hello/ends', 'error'])
    assert.match(condition?.detail ?? '', /the last time: it ran out of memory/)
    assert.deepEqual(ends.conditions(13 * MINUTE), [])
  })
})

describe('a straight line', () => {
  test('is found in noise, and one outlier at the end does not make it', () => {
    const points = Array.from({ length: 180 }, (_, i): [number, number] => [i / 60, 50 + (i / 60) * 2 + (i % 2) - 0.5])
    const { slope, span } = linearFit(points)
    assert.ok(Math.abs(slope - 2) < 0.02, String(slope))
    assert.ok(Math.abs(span - 179 / 60) < 1e-9)
    const flat = [
      ...Array.from({ length: 179 }, (_, i): [number, number] => [i / 60, 50]),
      [179 / 60, 90] as [number, number],
    ]
    assert.ok(linearFit(flat).slope < 1, 'from the first to the last it would be 13')
  })

  test('of nothing, one point, or one moment has no slope', () => {
    assert.deepEqual(linearFit([]), { slope: 0, span: 0 })
    assert.deepEqual(linearFit([[1, 5]]), { slope: 0, span: 0 })
    assert.deepEqual(
      linearFit([
        [1, 5],
        [1, 9],
      ]),
      { slope: 0, span: 0 },
    )
  })
})
