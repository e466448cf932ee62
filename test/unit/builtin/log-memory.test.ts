import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogEntry } from '../../../src/base/log.ts'
import { createLogMemory, type LogMemory } from '../../../src/builtin/index.ts'
import { LINE_BYTES_MEAN, PAGE_BYTES_MAX } from '../../../src/builtin/log-memory.ts'
import { FIELDS_CHARACTERS_MAX, MESSAGE_CHARACTERS_MAX } from '../../../src/telemetry/logs/limits.ts'
import { createLogger } from '../../../src/platform/index.ts'

function entry(message: string, more: Partial<LogEntry> = {}): LogEntry {
  return { timeMs: 1_000, level: 'INFO', logger: 'Test', message, fields: {}, ...more }
}

function filled(max: number, count: number): LogMemory {
  const memory = createLogMemory({ max })
  for (let i = 1; i <= count; i++) memory.sink(entry(`line ${i}`, { timeMs: i }))
  return memory
}

const ALL = { offset: 0, limit: 1_000 }
const messages = (memory: LogMemory, filter = {}, page = ALL): string[] =>
  memory.find(filter, page).entries.map(({ message }) => message)

describe('the memory of log lines', () => {
  test('keeps the last lines, newest first, across many turns of the ring', () => {
    for (const count of [0, 1, 4, 5, 6, 23]) {
      const newest = Array.from({ length: Math.min(count, 5) }, (_, i) => `line ${count - i}`)
      assert.deepEqual(messages(filled(5, count)), newest, `${count} lines`)
    }
  })

  test('pages without gap or overlap, and counts all that match', () => {
    const memory = filled(50, 50)
    const pages = [0, 20, 40, 60].map((offset) => memory.find({}, { offset, limit: 20 }))
    assert.deepEqual(
      pages.map(({ entries, total }) => [entries.length, total]),
      [
        [20, 50],
        [20, 50],
        [10, 50],
        [0, 50],
      ],
    )
    assert.deepEqual(
      pages.flatMap(({ entries }) => entries.map(({ message }) => message)),
      messages(memory),
    )
  })

  test('chooses by level and above', () => {
    const memory = createLogMemory({ max: 10 })
    for (const level of ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'] as const) memory.sink(entry(level, { level }))
    assert.deepEqual(messages(memory, { level: 'DEBUG' }).length, 5)
    assert.deepEqual(messages(memory, { level: 'ERROR' }), ['CRITICAL', 'ERROR'])
    assert.deepEqual(messages(memory, { level: 'CRITICAL' }), ['CRITICAL'])
  })

  test('chooses by a part of the logger and by beginnings of words, whatever the case, and takes nothing for a pattern', () => {
    const memory = createLogMemory({ max: 10 })
    memory.sink(entry('Member joined', { logger: 'Gossip', fields: { nodeId: 'worker-1' } }))
    memory.sink(entry('Costs 5.00 (five)', { logger: 'Service.shop' }))
    memory.sink(entry('ÄRGER', { logger: 'Service.shop' }))
    assert.deepEqual(messages(memory, { logger: 'gOSS' }), ['Member joined'])
    assert.deepEqual(messages(memory, { logger: 'service.' }).length, 2)
    assert.deepEqual(messages(memory, { search: 'WORKER-1' }), ['Member joined'], 'fields are searched too')
    assert.deepEqual(messages(memory, { search: '5.00 (FIVE)' }), ['Costs 5.00 (five)'])
    assert.deepEqual(messages(memory, { search: 'ärger' }), ['ÄRGER'])
    for (const search of ['5x00', '[a-z]', '\\d', 'oined', 'worker-2'])
      assert.deepEqual(messages(memory, { search }), [], search)
    assert.equal(messages(memory, { logger: '', search: '.*' }).length, 3, 'without a word nothing is left out')
  })

  test('chooses by time, both ends included', () => {
    const memory = filled(10, 10)
    assert.deepEqual(messages(memory, { sinceMs: 3, untilMs: 5 }), ['line 5', 'line 4', 'line 3'])
    assert.deepEqual(messages(memory, { sinceMs: 11 }), [])
  })

  test('all conditions hold together', () => {
    const memory = createLogMemory({ max: 10 })
    memory.sink(entry('disk full', { level: 'ERROR', logger: 'Vault', timeMs: 1 }))
    memory.sink(entry('disk full', { level: 'ERROR', logger: 'Vault', timeMs: 5 }))
    memory.sink(entry('disk full', { level: 'INFO', logger: 'Vault', timeMs: 5 }))
    memory.sink(entry('disk full', { level: 'ERROR', logger: 'Cache', timeMs: 5 }))
    const found = memory.find({ level: 'ERROR', logger: 'vault', search: 'DISK', sinceMs: 2 }, ALL)
    assert.equal(found.total, 1)
  })

  test('gives a line back as it came, fields included', () => {
    const memory = createLogMemory({ max: 10 })
    const line = entry('Joined', { fields: { nodeId: 'w', deep: { list: [1, null, 'x'] }, constructor: 'odd' } })
    memory.sink(line)
    assert.deepEqual(memory.find({}, ALL).entries, [line])
  })

  test('forgets on request, tells how much, and goes on', () => {
    const memory = filled(5, 23)
    assert.equal(memory.clear(), 5)
    assert.equal(memory.clear(), 0)
    assert.deepEqual(memory.find({}, ALL), { entries: [], total: 0 })
    assert.deepEqual(memory.loggers(), [])
    memory.sink(entry('after'))
    assert.deepEqual(messages(memory), ['after'])
  })

  test('a line knows the call it was written in, or that its fields name, and is found by it', () => {
    const [current, named] = ['a'.repeat(32), 'b'.repeat(32)]
    const scope: { traceId?: string } = {}
    const memory = createLogMemory({ max: 10, traceId: () => scope.traceId })
    memory.sink(entry('no call'))
    scope.traceId = current
    memory.sink(entry('in a call'))
    memory.sink(entry('of another', { fields: { trace_id: named } }))
    memory.sink(entry('of none that is one', { fields: { trace_id: 'b' } }))
    assert.deepEqual(messages(memory, { traceId: current }), ['of none that is one', 'in a call'])
    assert.deepEqual(messages(memory, { traceId: named }), ['of another'])
    assert.deepEqual(
      memory.find({}, ALL).entries.map(({ traceId }) => traceId),
      [current, named, current, undefined],
    )
  })

  test('names the loggers of what is kept, each once', () => {
    const memory = createLogMemory({ max: 3 })
    for (const logger of ['Gone', 'Vault', 'Gossip', 'Vault']) memory.sink(entry('x', { logger }))
    assert.deepEqual(memory.loggers(), ['Gossip', 'Vault'])
  })
})

describe('hostile and oversized lines', () => {
  test('a line of 1 MB is cut with a mark', () => {
    const memory = createLogMemory({ max: 100 })
    memory.sink(entry('x'.repeat(1_000_000)))
    const [kept] = messages(memory) as [string]
    assert.equal(kept, `${'x'.repeat(MESSAGE_CHARACTERS_MAX)}… [${1_000_000 - MESSAGE_CHARACTERS_MAX} more characters]`)
  })

  test('fields that are too large or no JSON are replaced by a remark, and nothing throws', () => {
    const memory = createLogMemory({ max: 100 })
    const ring: Record<string, unknown> = {}
    ring['self'] = ring
    memory.sink(entry('ring', { fields: ring }))
    memory.sink(entry('big number', { fields: { n: 1n } }))
    memory.sink(entry('large', { fields: { text: 'y'.repeat(FIELDS_CHARACTERS_MAX) } }))
    const [large, number, circle] = memory.find({}, ALL).entries.map(({ fields }) => fields)
    assert.deepEqual(circle, { '…': '[fields that are no JSON]' })
    assert.deepEqual(number, circle)
    assert.match(String(large?.['…']), /^\[fields of \d+ characters left out\]$/)
  })

  test('bytes are bounded as well as lines: the oldest go first', () => {
    const memory = createLogMemory({ max: 100 })
    const message = 'z'.repeat(10_000)
    for (let i = 0; i < 100; i++) memory.sink(entry(message, { timeMs: i }))
    const { entries, total } = memory.find({}, ALL)
    assert.equal(entries[0]?.timeMs, 99)
    assert.equal(entries.at(-1)?.timeMs, 100 - total, 'no gap')
    assert.ok(total * 20_000 <= 100 * LINE_BYTES_MEAN && (total + 1) * 20_300 > 100 * LINE_BYTES_MEAN, `${total} lines`)
  })

  test('a line larger than all the room is kept alone', () => {
    const memory = createLogMemory({ max: 10 })
    for (let i = 0; i < 12; i++) memory.sink(entry('w'.repeat(MESSAGE_CHARACTERS_MAX), { timeMs: i }))
    assert.deepEqual(
      memory.find({}, ALL).entries.map(({ timeMs }) => timeMs),
      [11],
    )
    memory.sink(entry('small'))
    assert.deepEqual(messages(memory), ['small'])
  })

  test('a page ends before it is too large for a message, and the next one goes on there', () => {
    const memory = createLogMemory({ max: 10_000 })
    for (let i = 0; i < 500; i++) memory.sink(entry('v'.repeat(10_000), { timeMs: i }))
    const first = memory.find({}, { offset: 0, limit: 1_000 })
    assert.equal(first.total, 500)
    assert.ok(first.entries.length < 500 && first.entries.length * 20_000 < PAGE_BYTES_MAX)
    const [next] = memory.find({}, { offset: first.entries.length, limit: 1 }).entries
    assert.equal(next?.timeMs, 500 - 1 - first.entries.length)
  })
})

test('as a sink of the real logger it keeps what the log says, with nothing that could steer a terminal', () => {
  const memory = createLogMemory({ max: 10 })
  const log = createLogger({ level: 'INFO', format: 'text', destination: { write: () => {} }, sinks: [memory.sink] })
  log.debug('below the level')
  log.child('Gossip').warning('one\n\u001b[2Jtwo', { password: 'hunter2', nodeId: '\u202eevil' })
  const [line, ...others] = memory.find({}, ALL).entries
  assert.deepEqual(others, [])
  assert.equal(line?.level, 'WARNING')
  assert.equal(line?.logger, 'Gossip')
  assert.equal(line?.message, 'one\\n\\u001b[2Jtwo')
  assert.equal(line?.fields['password'], '[redacted]')
})
