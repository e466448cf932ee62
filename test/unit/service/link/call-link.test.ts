import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type P2PError, RpcError, TransportError } from '../../../../src/base/errors.ts'
import { Cancellation } from '../../../../src/service/calls/cancellation.ts'
import type { LinkContext } from '../../../../src/service/link/call-link.ts'
import { CALLS_PER_LINK_MAX } from '../../../../src/service/link/link-limits.ts'
import { RawJson } from '../../../../src/service/calls/raw-json.ts'
import { turn } from '../support/node.ts'
import { CONTEXT, type LinkPair, linkPair as linked, promised, type PromisedCall } from './link-pair.ts'

type Serve = Parameters<typeof promised>[0]
const linkPair = (serve: Serve, serveNear: Serve = serve): LinkPair => linked(promised(serve), promised(serveNear))

const answering = (value: unknown): PromisedCall => ({ result: Promise.resolve(value), cancel: () => {} })

function call(
  { near, clock }: LinkPair,
  method: string,
  options: { params?: unknown; timeoutMs?: number; signal?: AbortSignal; cancellation?: Cancellation } = {},
): Promise<unknown> {
  const { params, timeoutMs = 1_000, ...rest } = options
  return near.call({ method, params, deadlineMs: clock.nowMs() + timeoutMs, context: CONTEXT, ...rest })
}

/** Answers when a test says so; keeps what it was asked and why calls were given up. */
function gate() {
  const served: { method: string; params: RawJson | undefined; context: LinkContext }[] = []
  const cancelled: Error[] = []
  const open = Promise.withResolvers<unknown>()
  const serve = (method: string, params: RawJson | undefined, context: LinkContext): PromisedCall => {
    served.push({ method, params, context })
    return { result: open.promise, cancel: (reason) => cancelled.push(reason) }
  }
  return { serve, served, cancelled, open }
}

describe('a call over a link', () => {
  test('passes parameters and result on as text, letter by letter', async () => {
    const { serve, served, open } = gate()
    const pair = linkPair(serve)
    const params = new RawJson('{ "b" : 1,\n\t"a": "\\u00e9é" }')
    const answer = call(pair, 'x/y', { params })
    await turn()
    assert.equal(served[0]?.params?.text, params.text)
    open.resolve(new RawJson(' [1,  2]\n'))
    assert.equal(((await answer) as RawJson).text, ' [1,  2]\n')
  })

  test('goes in both directions, each with numbers of its own', async () => {
    const echo = (name: string) => (method: string, params: RawJson | undefined) =>
      answering(`${name} ${method} ${params?.text}`)
    const pair = linkPair(echo('far'), echo('near'))
    const back = pair.far.call({
      method: 'a/b',
      params: { n: 1 },
      deadlineMs: pair.clock.nowMs() + 10,
      context: CONTEXT,
    })
    const answers = [call(pair, 'c/d', { params: [2] }), call(pair, 'e/f'), back] as Promise<RawJson>[]
    assert.deepEqual(
      (await Promise.all(answers)).map(({ text }) => JSON.parse(text) as string),
      ['far c/d [2]', 'far e/f undefined', 'near a/b {"n":1}'],
    )
    assert.deepEqual([pair.near.pending, pair.far.pending, pair.near.serving, pair.far.serving], [0, 0, 0, 0])
  })

  test('tells how long its caller waits, its trace, and what else its context says', async () => {
    const { serve, served } = gate()
    const pair = linkPair(serve)
    const context: Omit<LinkContext, 'timeoutMs'> = {
      ...CONTEXT,
      spanId: '0123456789abcdef',
      hops: 3,
      caller: { kind: 'person', name: 'Ada "the first"', role: 'admin' },
      relayedBy: 'n2',
      target: 'edge-17',
      retries: 1,
    }
    pair.near.call({ method: 'x/y', params: {}, deadlineMs: pair.clock.nowMs() + 250, context }).catch(() => {})
    await turn()
    assert.deepEqual(served[0]?.context, { ...context, timeoutMs: 250, deadlineMs: pair.clock.nowMs() + 250 })
    pair.near.end(new Error('over'))
  })

  test('ends at its deadline, and what comes later finds nobody', async () => {
    const { serve, open } = gate()
    const pair = linkPair(serve)
    const answer = assert.rejects(call(pair, 'x/y', { timeoutMs: 300 }), {
      code: 'P2P_RPC_DEADLINE_EXCEEDED',
      message: /x\/y was not answered by far end in time/,
    })
    await turn()
    pair.clock.advance(300)
    await answer
    assert.equal(pair.near.pending, 0)
    open.resolve(1)
    await turn()
    assert.equal(pair.far.serving, 0)
  })

  for (const way of ['signal', 'cancellation'] as const) {
    test(`is given up by its ${way}, on the other end too`, async () => {
      const { serve, cancelled } = gate()
      const pair = linkPair(serve)
      const controller = new AbortController()
      const cancellation = new Cancellation()
      const outcome = assert.rejects(
        call(pair, 'x/y', way === 'signal' ? { signal: controller.signal } : { cancellation }),
        { code: 'P2P_RPC_CANCELLED' },
      )
      await turn()
      controller.abort()
      cancellation.cancel(new Error('enough'))
      await outcome
      await turn()
      assert.equal(cancelled.length, 1)
      const again = call(pair, 'x/y', way === 'signal' ? { signal: controller.signal } : { cancellation })
      await assert.rejects(again, { code: 'P2P_RPC_CANCELLED' })
    })
  }

  test('fails with what the other end answers: code, details and message unchanged', async () => {
    const pair = linkPair(() => {
      throw new RpcError('P2P_RPC_METHOD_NOT_FOUND', 'There is no x/y', { suggestion: 'x/z' })
    })
    await assert.rejects(call(pair, 'x/y'), (error: P2PError) => {
      assert.equal(error.code, 'P2P_RPC_METHOD_NOT_FOUND')
      assert.match(error.message, /There is no x\/y/)
      assert.deepEqual(error.details, { suggestion: 'x/z' })
      return true
    })
  })

  test('whose parameters or result are no JSON fails, and the link goes on', async () => {
    const pair = linkPair((method) => answering(method === 'x/big' ? 1n : 1))
    await assert.rejects(call(pair, 'x/y', { params: { n: 1n } }), { code: 'P2P_RPC_INVALID_PARAMS' })
    assert.equal(pair.nearChannel.sent.length, 0)
    await assert.rejects(call(pair, 'x/big'), { code: 'P2P_RPC_INVALID_RESULT' })
    assert.equal(((await call(pair, 'x/y')) as RawJson).text, '1')
  })

  test('whose result is too large for the channel fails with that', async () => {
    const pair = linkPair(() => answering('x'.repeat(100_000)))
    pair.farChannel.bytesMax = 50_000
    await assert.rejects(call(pair, 'x/y'), { code: 'P2P_TRANSPORT_TOO_LARGE' })
    assert.equal(pair.far.serving, 0)
  })

  test('fails as retryable when the channel closes, and calls being served are given up', async () => {
    const { serve, cancelled } = gate()
    const pair = linkPair(serve)
    const outcomes = [1, 2].map(() => call(pair, 'x/y').catch((error: unknown) => error as P2PError))
    await turn()
    pair.nearChannel.close('cable cut')
    for (const error of (await Promise.all(outcomes)) as P2PError[]) {
      assert.equal(error.code, 'P2P_TRANSPORT_CHANNEL_CLOSED')
      assert.match(error.message, /far end closed before the answer came: cable cut$/)
    }
    assert.equal(cancelled.length, 2)
    assert.deepEqual([pair.near.pending, pair.far.serving], [0, 0])
    await assert.rejects(call(pair, 'x/y'), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
  })

  test('cannot be one too many, in either direction', async () => {
    const { serve, open } = gate()
    const pair = linkPair(serve)
    const waiting = Array.from({ length: CALLS_PER_LINK_MAX }, () => call(pair, 'x/y'))
    await assert.rejects(call(pair, 'x/y'), { code: 'P2P_RPC_OVERLOADED' })
    await turn()
    assert.equal(pair.far.serving, CALLS_PER_LINK_MAX)
    pair.farChannel.arrive(
      `{"jsonrpc":"2.0","id":99999,"method":"x/y","context":{"timeout_ms":9,"trace_id":"${CONTEXT.traceId}"}}`,
    )
    const refusal = JSON.parse(String(pair.farChannel.sent.at(-1))) as { id: number; error: { data: { code: string } } }
    assert.deepEqual([refusal.id, refusal.error.data.code], [99_999, 'P2P_RPC_OVERLOADED'])
    open.resolve(0)
    await Promise.all(waiting)
    assert.equal(((await call(pair, 'x/y')) as RawJson).text, '0')
  })

  test('cuts off another end that does not read its answers', async () => {
    const { serve, open } = gate()
    const pair = linkPair(serve)
    const outcome = assert.rejects(call(pair, 'x/y'), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
    await turn()
    pair.farChannel.failure = new TransportError('P2P_TRANSPORT_OVERLOADED', 'full')
    open.resolve(1)
    await outcome
    assert.equal(pair.farChannel.closed.aborted, true)
  })

  test('is served once, whatever number another call claims', async () => {
    const { serve, served } = gate()
    const pair = linkPair(serve)
    const answer = call(pair, 'x/y').catch(() => {})
    await turn()
    pair.farChannel.arrive(pair.nearChannel.sent[0] as Buffer)
    assert.equal(served.length, 1)
    pair.near.end(new Error('over'))
    await answer
  })

  test('leaves no timer behind when the channel is closed', async () => {
    const { serve } = gate()
    const pair = linkPair(serve)
    const answer = call(pair, 'x/y').catch(() => {})
    await turn()
    assert.ok(pair.clock.timerCount > 0)
    pair.nearChannel.close()
    await answer
    assert.equal(pair.clock.timerCount, 0)
  })
})
