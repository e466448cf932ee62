import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Logger } from '../../../../src/base/log.ts'
import { ServiceLog } from '../../../../src/service/host/service-log.ts'
import { ManualClock } from '../support/manual-clock.ts'

function recorder(): { log: Logger; lines: { message: string; fields: unknown }[] } {
  const lines: { message: string; fields: unknown }[] = []
  const write = (message: string, fields?: object): void => void lines.push({ message, fields })
  const log: Logger = { debug: write, info: write, warning: write, error: write, critical: write, child: () => log }
  return { log, lines }
}

test('a flood is cut short, counted, and over when it is over', () => {
  const clock = new ManualClock()
  const { log, lines } = recorder()
  const own = new ServiceLog(clock, log)
  for (let i = 0; i < 5_000; i++) own.write('INFO', `line ${i}`, {})
  assert.equal(lines.length, 1_000)
  clock.advance(1_000)
  assert.deepEqual(lines.at(-1), {
    message: 'The service writes too many lines; some were left out',
    fields: { lines: 4_000 },
  })
  for (let i = 0; i < 5_000; i++) own.write('INFO', 'again', {})
  assert.equal(lines.filter(({ message }) => message === 'again').length, 100)
  clock.advance(60_000)
  own.write('INFO', 'calm', {})
  assert.equal(lines.at(-1)?.message, 'calm')
})

test('the last complaints are kept to explain an end, information is not', () => {
  const own = new ServiceLog(new ManualClock(), recorder().log)
  own.write('INFO', 'started', {})
  for (let i = 0; i < 100; i++) own.write('WARNING', `bad ${i} ${'x'.repeat(10_000)}`, {})
  assert.equal(own.tail.length, 20)
  assert.ok(own.tail.every((line) => line.length <= 500))
  assert.match(own.tail.at(-1) ?? '', /^bad 99/)
})
