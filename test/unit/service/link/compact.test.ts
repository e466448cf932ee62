import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { TransportError } from '../../../../src/base/errors.ts'
import type { LinkContext } from '../../../../src/service/link/call-link.ts'
import { BATCH_BYTES_MAX } from '../../../../src/service/link/link-limits.ts'
import { HEADING_BYTES_MAX, HEADINGS_MAX } from '../../../../src/service/link/heading.ts'
import { parseLinkMessage } from '../../../../src/service/link/link-message.ts'
import { RawJson } from '../../../../src/service/calls/raw-json.ts'
import { turn } from '../support/node.ts'
import { contextFields, name } from './context-fields.ts'
import { CONTEXT, type LinkPair, linkPair, promised } from './link-pair.ts'

const GREETING = Buffer.from([9, 1])
const BATCH = 5

interface Served {
  method: string
  params: string | undefined
  context: LinkContext
}

/** A link whose far end notes what it is asked, and answers with the parameters. */
function echoing(): LinkPair & { served: Served[] } {
  const served: Served[] = []
  const serve = promised((method, params, context) => {
    served.push({ method, params: params?.text, context })
    return { result: Promise.resolve(params ?? null), cancel: () => {} }
  })
  return { ...linkPair(serve), served }
}

function call({ near, clock }: LinkPair, method: string, params: unknown, context: object = {}): Promise<unknown> {
  return near.call({ method, params, deadlineMs: clock.nowMs() + 1_000, context: { ...CONTEXT, ...context } })
}

/** A link over which both ends have greeted. */
async function greeted(): Promise<ReturnType<typeof echoing>> {
  const pair = echoing()
  await call(pair, 'x/first', {})
  pair.served.length = 0
  pair.nearChannel.sent.length = 0
  return pair
}

const context = fc.record(contextFields, { requiredKeys: ['traceId'] })

describe('between two ends that have greeted', () => {
  test('calls arrive as they were made, with all their context, and their answers as they were given', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(name, fc.option(fc.json()), context), { maxLength: 8 }), async (calls) => {
        const pair = await greeted()
        const answers = await Promise.all(
          calls.map(([method, params, given]) =>
            call(pair, `x/${method}`, params === null ? undefined : new RawJson(params), given),
          ),
        )
        const expected = calls.map(([method, params, given]) => ({
          method: `x/${method}`,
          params: params ?? undefined,
          context: { ...given, timeoutMs: 1_000, deadlineMs: pair.clock.nowMs() + 1_000 },
        }))
        assert.deepEqual(JSON.parse(JSON.stringify(pair.served)), JSON.parse(JSON.stringify(expected)))
        assert.deepEqual(
          answers.map((answer) => (answer as RawJson).text),
          calls.map(([, params]) => params ?? 'null'),
        )
        assert.ok(pair.nearChannel.sent.length <= 1)
      }),
      { numRuns: 60 },
    )
  })

  test('calls and answers of one turn travel in one frame, in their order', async () => {
    const pair = await greeted()
    const before = pair.farChannel.sent.length
    await Promise.all(Array.from({ length: 50 }, (_, n) => call(pair, 'x/y', { n })))
    assert.equal(pair.nearChannel.sent.length, 1)
    assert.equal(pair.nearChannel.sent[0]?.[0], BATCH)
    assert.equal(pair.farChannel.sent.length - before, 1)
    assert.deepEqual(
      pair.served.map(({ params }) => params),
      Array.from({ length: 50 }, (_, n) => `{"n":${n}}`),
    )
  })

  test('a long message goes alone, and not before those written earlier', async () => {
    const pair = await greeted()
    const long = 'ä'.repeat(100_000)
    const answers = await Promise.all([call(pair, 'x/a', [1]), call(pair, 'x/b', [long]), call(pair, 'x/c', [3])])
    assert.deepEqual(
      pair.served.map(({ method }) => method),
      ['x/a', 'x/b', 'x/c'],
    )
    assert.deepEqual(JSON.parse((answers[1] as RawJson).text), [long])
  })

  test('however many kinds of calls there are, each is told from the others', async () => {
    const pair = await greeted()
    const targets = Array.from({ length: HEADINGS_MAX + 100 }, (_, n) => `node-${n}`)
    for (const round of [1, 2]) {
      for (const [n, target] of targets.entries()) {
        await call(pair, `x/m${n % 200}`, {}, { target })
        const { method, context: arrived } = pair.served.at(-1) as Served
        assert.deepEqual([round, method, arrived.target], [round, `x/m${n % 200}`, target])
      }
    }
    for (const [n] of targets.entries()) {
      await call(pair, `y/m${n}`, {})
      assert.equal(pair.served.at(-1)?.method, `y/m${n}`)
    }
  })

  test('calls whose frame does not leave fail with the reason', async () => {
    const pair = await greeted()
    const calls = [call(pair, 'x/y', {}), call(pair, 'x/y', {})]
    pair.nearChannel.failure = new TransportError('P2P_TRANSPORT_OVERLOADED', 'full')
    for (const each of calls) await assert.rejects(each, { code: 'P2P_TRANSPORT_OVERLOADED' })
    assert.equal(pair.near.pending, 0)
    pair.nearChannel.failure = undefined
    assert.equal(((await call(pair, 'x/y', [1])) as RawJson).text, '[1]')
  })

  test('a call whose heading did not leave does not leave either, also where there is room for it alone', async () => {
    const full = new TransportError('P2P_TRANSPORT_OVERLOADED', 'full')
    for (const length of [1, 20_000]) {
      const pair = await greeted()
      const first = call(pair, 'x/a', ['a'.repeat(length === 1 ? 8_000 : 1)])
      pair.nearChannel.failure = full
      // Its heading makes the frame too long to wait, or it is too long itself to go with others.
      const second = call(pair, 'x/b', ['b'.repeat(length)])
      pair.nearChannel.failure = undefined
      await assert.rejects(first, { code: 'P2P_TRANSPORT_OVERLOADED' })
      await assert.rejects(second, { code: 'P2P_TRANSPORT_OVERLOADED' })
      assert.deepEqual([pair.near.pending, pair.served], [0, []])
      assert.equal(((await call(pair, 'x/b', [2])) as RawJson).text, '[2]')
    }
  })

  test('a method whose name is longer than any there is reaches the other end like others', async () => {
    const pair = await greeted()
    const method = `x/${'y'.repeat(70_000)}`
    await call(pair, method, {})
    assert.equal(pair.served[0]?.method, method)
  })
})

describe('another end that has not greeted', () => {
  test('is greeted by the next message when the first did not leave', async () => {
    const pair = echoing()
    pair.nearChannel.failure = new TransportError('P2P_TRANSPORT_OVERLOADED', 'full')
    await assert.rejects(call(pair, 'x/y', {}), { code: 'P2P_TRANSPORT_OVERLOADED' })
    pair.nearChannel.failure = undefined
    await call(pair, 'x/y', {})
    assert.deepEqual(pair.nearChannel.sent[0], GREETING)
  })

  test('and greets while this one can send nothing does no harm', () => {
    const pair = echoing()
    pair.farChannel.failure = new TransportError('P2P_TRANSPORT_OVERLOADED', 'full')
    pair.farChannel.arrive(GREETING)
    assert.ok(pair.farChannel.closed.aborted, 'as whoever does not read what is sent to it')
  })

  test('is spoken to in JSON, and may answer so', async () => {
    const pair = echoing()
    // As the version before: what it does not know it drops, and it never greets.
    pair.nearChannel.held = []
    const calls = [call(pair, 'x/y', { n: 1 }), call(pair, 'x/z', { n: 2 })]
    const [first, ...requests] = pair.nearChannel.sent
    assert.deepEqual(first, GREETING)
    assert.equal(parseLinkMessage(Buffer.from([...GREETING, 0])).kind, 'invalid')
    for (const request of requests) {
      const { id } = JSON.parse(request.toString().split('\n')[0] as string) as { id: number }
      pair.nearChannel.arrive(`{"jsonrpc":"2.0","id":${id}}\n[${id}]`)
    }
    assert.deepEqual(
      (await Promise.all(calls)).map((answer) => (answer as RawJson).text),
      ['[1]', '[2]'],
    )
  })
})

describe('what would have this end keep or do too much at once', () => {
  const headed = (method: string): Buffer =>
    Buffer.from(`\u0008\0\u0007{"method":"${method}","context":{"timeout_ms":1,"trace_id":"${'0'.repeat(32)}"}}`)

  test('is dropped: a heading that is longer than any is', () => {
    const short = parseLinkMessage(headed('x/y'))
    assert.deepEqual([short.kind, short.kind === 'heading' && short.number], ['heading', 7])
    assert.equal(parseLinkMessage(headed('y'.repeat(HEADING_BYTES_MAX))).kind, 'invalid')
  })

  test('is dropped: a batch that is longer than any is', async () => {
    const pair = await greeted()
    const batchOf = (calls: number): Buffer => {
      const messages = Array.from({ length: calls }, (_, n) => {
        const message = Buffer.from(
          `{"id":${n + 1},"method":"x/y","context":{"timeout_ms":9,"trace_id":"${'0'.repeat(32)}"}}`,
        )
        const length = Buffer.alloc(4)
        length.writeUInt32BE(message.length)
        return Buffer.concat([length, message])
      })
      return Buffer.concat([Buffer.from([BATCH]), ...messages])
    }
    const most = Math.floor((BATCH_BYTES_MAX - 1) / (batchOf(1_001).length - batchOf(1_000).length))
    pair.served.length = 0
    pair.farChannel.arrive(batchOf(most + 1_000))
    assert.equal(pair.served.length, 0)
    pair.farChannel.arrive(batchOf(100))
    assert.equal(pair.served.length, 100)
    await turn()
  })
})

describe('compact messages that are none', () => {
  const sized = (message: Buffer): Buffer => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(message.length)
    return Buffer.concat([length, message])
  }

  test('are dropped: cut off, a heading that was never told, no deadline, a batch in a batch', async () => {
    const pair = await greeted()
    await call(pair, 'x/y', { n: 1 })
    const batch = pair.nearChannel.sent[0] as Buffer
    pair.served.length = 0
    const request = batch.subarray(batch.indexOf('{"n":1}') - 31)
    assert.equal(request[0], 6)
    for (let length = 0; length < 31; length++) pair.farChannel.arrive(request.subarray(0, length))
    const stranger = Buffer.from(request)
    stranger.writeUInt16BE(777, 13)
    const impatient = Buffer.from(request)
    impatient.writeUInt32BE(0, 7)
    const nested = Buffer.concat([Buffer.from([BATCH]), sized(Buffer.concat([Buffer.from([BATCH]), sized(request)]))])
    for (const bad of [stranger, impatient, nested]) pair.farChannel.arrive(bad)
    assert.equal(pair.served.length, 0)
    pair.farChannel.arrive(Buffer.concat([Buffer.from([BATCH]), sized(stranger), sized(request), Buffer.alloc(3, 255)]))
    assert.deepEqual(
      pair.served.map(({ method, params }) => [method, params]),
      [['x/y', '{"n":1}']],
    )
    await turn()
  })

  test('with any bytes changed, do no harm', async () => {
    const pair = await greeted()
    await Promise.all([call(pair, 'x/y', { n: 1 }, { spanId: '0123456789abcdef' }), call(pair, 'x/z', [2])])
    const batch = pair.nearChannel.sent[0] as Buffer
    const change = fc.record({ at: fc.nat(400), to: fc.nat(255), cut: fc.boolean() })
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 6 }), (changes) => {
        let bytes = Buffer.from(batch)
        for (const { at, to, cut } of changes) {
          if (cut) bytes = bytes.subarray(0, at)
          else if (at < bytes.length) bytes[at] = to
        }
        pair.farChannel.arrive(bytes)
      }),
      { numRuns: 1_000 },
    )
    await turn()
    for (const { context: arrived } of pair.served) assert.match(arrived.traceId, /^[0-9a-f]{32}$/)
  })
})
