import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HealthMeter } from '../../../../src/service/supervision/health-meter.ts'

const RULE = { failures: 3, successes: 2, restartAfter: 5 }

test('single failures make nobody ill, several in a row do', () => {
  const meter = new HealthMeter(RULE)
  for (let i = 0; i < 10; i++) {
    meter.failed('timeout')
    meter.failed('timeout')
    assert.equal(meter.reason, undefined)
    meter.succeeded()
  }
  for (let i = 0; i < 3; i++) meter.failed('refused')
  assert.equal(meter.reason, 'refused')
})

test('whoever is ill is well again after several good answers, and ill at the first failure before that', () => {
  const meter = new HealthMeter(RULE)
  for (let i = 0; i < 3; i++) meter.failed('refused')
  meter.succeeded()
  assert.equal(meter.reason, 'refused')
  meter.failed('timeout')
  assert.equal(meter.reason, 'timeout')
  meter.succeeded()
  meter.succeeded()
  assert.equal(meter.reason, undefined)
})

test('too many failures in a row are hopeless, unless the rule says never', () => {
  const meter = new HealthMeter(RULE)
  for (let i = 0; i < 4; i++) meter.failed('refused')
  assert.equal(meter.isHopeless, false)
  meter.failed('refused')
  assert.equal(meter.isHopeless, true)
  const patient = new HealthMeter({ ...RULE, restartAfter: 0 })
  for (let i = 0; i < 1_000; i++) patient.failed('refused')
  assert.equal(patient.isHopeless, false)
})
