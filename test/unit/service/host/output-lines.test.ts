import assert from 'node:assert/strict'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { type OutputLine, readLines } from '../../../../src/service/host/output-lines.ts'
import { ManualClock } from '../support/manual-clock.ts'
import { turn } from '../support/node.ts'

async function linesOf(...chunks: (string | Buffer)[]): Promise<OutputLine[]> {
  const lines: OutputLine[] = []
  const stream = new PassThrough()
  readLines(stream, { clock: new ManualClock(), level: 'INFO', onLine: (line) => lines.push(line) })
  for (const chunk of chunks) stream.write(chunk)
  await turn()
  stream.destroy()
  await turn()
  return lines
}

const messages = async (...chunks: (string | Buffer)[]): Promise<string[]> =>
  (await linesOf(...chunks)).map(({ message }) => message)

test('lines are cut wherever they end, and the last one needs no end', async () => {
  assert.deepEqual(await messages('one\ntw', 'o\r\n\n', 'three'), ['one', 'two', 'three'])
  const [head, tail] = [Buffer.from('ä').subarray(0, 1), Buffer.from('ä\n').subarray(1)]
  assert.deepEqual(await messages(head, tail), ['ä'])
})

test('bytes that are no UTF-8 become marks, and cost neither their line nor the next', async () => {
  const bytes = Buffer.concat([
    Buffer.from('a'),
    Buffer.from([0xff, 0xc0, 0x80, 0xed, 0xa0, 0x80]),
    Buffer.from('b\nnext\n'),
  ])
  const [first, second] = await messages(bytes)
  assert.match(first ?? '', /^a\ufffd+b$/)
  assert.equal(second, 'next')
})

test('a line without end is cut, and what follows it is whole', async () => {
  const [long, next] = await messages(...Array.from({ length: 64 }, () => 'x'.repeat(16_384)), '\nnext\n')
  assert.deepEqual([long?.length, next], [16_384, 'next'])
})

test('JSON as loggers write it keeps its level and fields', async () => {
  const lines = await linesOf(
    '{"level":50,"time":1,"msg":"pino","pid":7}\n',
    '{"level":"Warn","message":"winston","user":"ada"}\n',
    '{"msg":"no level"}\n{"level":"odd","msg":"odd level"}\n',
  )
  assert.deepEqual(lines, [
    { level: 'ERROR', message: 'pino', fields: { pid: 7 } },
    { level: 'WARNING', message: 'winston', fields: { user: 'ada' } },
    { level: 'INFO', message: 'no level', fields: {} },
    { level: 'INFO', message: 'odd level', fields: {} },
  ])
})

test('what only looks like JSON, or has no message, is a message', async () => {
  for (const text of ['{not json}', '{"level":50}', '[1,2]', '{"msg":3}']) {
    assert.deepEqual(await linesOf(`${text}\n`), [{ level: 'INFO', message: text, fields: {} }])
  }
})

test('who writes without end waits for the next window', async () => {
  const clock = new ManualClock()
  const stream = new PassThrough({ highWaterMark: 8 * 1024 * 1024 })
  let lines = 0
  readLines(stream, { clock, level: 'INFO', onLine: () => lines++ })
  for (let i = 0; i < 3; i++) stream.write(`${'y'.repeat(1_000)}\n`.repeat(1_000))
  await turn()
  const first = lines
  assert.ok(first > 0 && first < 3_000)
  for (let window = 0; window < 3; window++) {
    clock.advance(100)
    await turn()
  }
  assert.equal(lines, 3_000)
  stream.destroy()
})
