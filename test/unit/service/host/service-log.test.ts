import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Logger } from '../../../../src/base/log.ts'
import { fairLevel, LogBudget, type LogShare } from '../../../../src/service/host/log-budget.ts'
import { ServiceLog } from '../../../../src/service/host/service-log.ts'
import { ManualClock } from '../support/manual-clock.ts'

function recorder(): { log: Logger; lines: { message: string; fields: unknown }[] } {
  const lines: { message: string; fields: unknown }[] = []
  const write = (message: string, fields?: object): void => void lines.push({ message, fields })
  const log: Logger = { debug: write, info: write, warning: write, error: write, critical: write, child: () => log }
  return { log, lines }
}

test('a flood is cut short, counted once an interval, and over when it is over', () => {
  const clock = new ManualClock()
  const { log, lines } = recorder()
  const own = new ServiceLog(clock, log, new LogBudget(clock).of('shop'))
  for (let i = 0; i < 15_000; i++) own.write('INFO', `line ${i}`, {})
  assert.equal(lines.length, 10_000)
  clock.advance(1_000)
  for (let i = 0; i < 12_000; i++) own.write('INFO', 'again', {})
  assert.equal(lines.filter(({ message }) => message === 'again').length, 10_000)
  clock.advance(9_000)
  assert.deepEqual(lines.at(-1), {
    message: 'The service writes too many lines; some were left out',
    fields: { lines: 7_000 },
  })
  own.write('INFO', 'calm', {})
  clock.advance(60_000)
  assert.equal(lines.at(-1)?.message, 'calm')
})

test('long lines count by their length, fields included', () => {
  const clock = new ManualClock()
  const { log, lines } = recorder()
  const own = new ServiceLog(clock, log, new LogBudget(clock).of('shop'))
  for (let i = 0; i < 200; i++) own.write('INFO', 'x', { text: 'y'.repeat(65_536) })
  assert.equal(lines.length, 63)
})

test('one that floods the log takes what others leave, and nothing of theirs', () => {
  const clock = new ManualClock()
  const budget = new LogBudget(clock)
  const [loud, louder, loudest, quiet] = ['a', 'b', 'c', 'd'].map((name) => budget.of(name))
  const granted = (share: LogShare | undefined, lines: number): number => {
    let count = 0
    for (let i = 0; i < lines; i++) if (share?.take(100)) count++
    return count
  }
  const second = () => {
    const counts = [granted(loud, 20_000), granted(louder, 30_000), granted(loudest, 40_000), granted(quiet, 50)]
    clock.advance(1_000)
    return counts
  }
  second()
  assert.deepEqual(second(), [6_650, 6_650, 6_650, 50])
})

test('instances of one service share what it may write', () => {
  const clock = new ManualClock()
  const budget = new LogBudget(clock)
  const shares = [budget.of('shop'), budget.of('shop')]
  let count = 0
  for (let i = 0; i < 20_000; i++) if (shares[i % 2]?.take(10)) count++
  assert.equal(count, 10_000)
})

test('max-min fairness', () => {
  const limits = { all: 100, each: 60 }
  assert.equal(fairLevel([], limits), 60)
  assert.equal(fairLevel([10, 20], limits), 60)
  assert.equal(fairLevel([1_000], limits), 60)
  assert.equal(fairLevel([10, 1_000, 1_000], limits), 45)
  assert.equal(fairLevel([50, 50, 50], limits), 33)
  assert.equal(
    fairLevel(
      Array.from({ length: 1_000 }, () => 5),
      limits,
    ),
    1,
  )
})

test('the last complaints are kept to explain an end, information is not', () => {
  const clock = new ManualClock()
  const own = new ServiceLog(clock, recorder().log, new LogBudget(clock).of('shop'))
  own.write('INFO', 'started', {})
  for (let i = 0; i < 100; i++) own.write('WARNING', `bad ${i} ${'x'.repeat(10_000)}`, {})
  assert.equal(own.tail.length, 20)
  assert.ok(own.tail.every((line) => line.length <= 500))
  assert.match(own.tail.at(-1) ?? '', /^bad 99/)
})

test('what was written last explains an end, not what was written long before', () => {
  const clock = new ManualClock()
  const own = new ServiceLog(clock, recorder().log, new LogBudget(clock).of('shop'))
  own.write('ERROR', 'a call failed', {})
  clock.advance(11_000)
  own.write('ERROR', 'no such table', {})
  own.write('INFO', 'bye', {})
  assert.deepEqual(own.tail, ['no such table'])
})
