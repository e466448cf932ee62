import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type P2PError, RpcError } from '../../../../src/base/errors.ts'
import type { LinkContext } from '../../../../src/service/link/call-link.ts'
import {
  CONFIRM_BYTES,
  LINK_WINDOW_BYTES,
  STREAM_CREDIT_BYTES,
  STREAM_CREDIT_BYTES_MAX,
  STREAM_ITEM_BYTES_MAX,
  STREAMS_PER_LINK_MAX,
} from '../../../../src/service/link/link-limits.ts'
import { bytesItemMessage } from '../../../../src/service/link/link-message.ts'
import type { RawJson } from '../../../../src/service/calls/raw-json.ts'
import { turn } from '../support/node.ts'
import { CONTEXT, type LinkPair, linkPair as linked, promised, type PromisedCall } from './link-pair.ts'

const linkPair = (serve: Parameters<typeof promised>[0]): LinkPair => linked(promised(serve))

type Items = AsyncIterableIterator<RawJson | Uint8Array>

/** A far end that streams what `make` gives, and notes how its streams end. */
function streaming(make: (context: LinkContext) => AsyncGenerator) {
  const noted = { asked: 0, finished: 0, cancelled: [] as Error[] }
  const serve = (_method: string, _params: RawJson | undefined, context: LinkContext): PromisedCall => {
    async function* counted(): AsyncGenerator {
      try {
        for await (const item of make(context)) {
          noted.asked++
          yield item
        }
      } finally {
        noted.finished++
      }
    }
    return { result: Promise.resolve(counted()), cancel: (reason) => noted.cancelled.push(reason) }
  }
  return { pair: linkPair(serve), noted }
}

async function open({ near, clock }: LinkPair, timeoutMs = 1_000, signal?: AbortSignal): Promise<Items> {
  const deadlineMs = clock.nowMs() + timeoutMs
  return (await near.call({ method: 'x/tail', params: {}, deadlineMs, context: CONTEXT, signal })) as Items
}

/** Lets everything that can go on without more reading go on. */
async function settle(): Promise<void> {
  for (let i = 0; i < 200; i++) await turn()
}

async function* endless(item: unknown): AsyncGenerator {
  for (;;) yield item
}

describe('a stream over a link', () => {
  test('brings every item in its order, JSON and bytes, and then its end', async () => {
    const { pair, noted } = streaming(async function* () {
      yield { a: 1 }
      yield Buffer.from([1, 2, 3])
      yield null
      yield new Uint8Array(0)
      yield 'ä'
    })
    const got: unknown[] = []
    for await (const item of await open(pair)) {
      got.push(item instanceof Uint8Array ? [...item] : (JSON.parse(item.text) as unknown))
    }
    assert.deepEqual(got, [{ a: 1 }, [1, 2, 3], null, [], 'ä'])
    await turn()
    assert.deepEqual([pair.near.pending, pair.far.serving, noted.finished], [0, 0, 1])
  })

  test('fails with what the method threw, after the items before it', async () => {
    const { pair } = streaming(async function* () {
      yield 1
      throw new RpcError('P2P_RPC_SERVICE_FAILED', 'broke', { at: 2 })
    })
    const items = await open(pair)
    assert.equal((await items.next()).done, false)
    await assert.rejects(items.next(), { code: 'P2P_RPC_SERVICE_FAILED', message: 'broke' })
    assert.deepEqual(await items.next(), { done: true, value: undefined })
  })

  test('asks for no more than its reader has room for, and for more when items were read', async () => {
    const item = Buffer.alloc(16_384)
    const { pair, noted } = streaming(() => endless(item))
    const items = await open(pair)
    await settle()
    const ahead = noted.asked * item.length
    assert.ok(ahead >= STREAM_CREDIT_BYTES_MAX - 2 * item.length, `${ahead} bytes went ahead`)
    assert.ok(ahead <= STREAM_CREDIT_BYTES_MAX + item.length, `${ahead} bytes went ahead`)
    for (let i = 0; i < 200; i++) await items.next()
    await settle()
    assert.ok(noted.asked * item.length - ahead >= 100 * item.length)
    await items.return?.()
    await settle()
    assert.equal(noted.finished, 1)
  })

  test('has the first credit only until its reader answers', async () => {
    const { pair, noted } = streaming(() => endless(Buffer.alloc(1_000)))
    const opened = open(pair)
    pair.nearChannel.held = []
    await opened
    await settle()
    assert.ok(noted.asked * 1_064 <= STREAM_CREDIT_BYTES + 2 * 1_064)
    pair.nearChannel.release()
    await settle()
    assert.ok(noted.asked * 1_064 > STREAM_CREDIT_BYTES * 2)
    pair.nearChannel.close()
  })

  test('counts empty items too', async () => {
    const { pair, noted } = streaming(() => endless(new Uint8Array(0)))
    const opened = open(pair)
    pair.nearChannel.held = []
    await opened
    await settle()
    assert.equal(noted.asked, STREAM_CREDIT_BYTES / 64)
    pair.nearChannel.close()
  })

  test('does not fill the link when nothing is confirmed, so that calls find room', async () => {
    const item = Buffer.alloc(100_000)
    const { pair, noted } = streaming(() => endless(item))
    // The other end neither confirms nor gives credit beyond what it gave: its messages are held.
    const streams = await Promise.all([open(pair), open(pair), open(pair)])
    pair.nearChannel.held = []
    await settle()
    const sent = noted.asked * item.length
    assert.ok(sent < LINK_WINDOW_BYTES + 3 * CONFIRM_BYTES + 3 * item.length, `${sent} bytes were sent`)
    pair.nearChannel.release()
    await settle()
    assert.ok(noted.asked * item.length > sent)
    for (const stream of streams) await stream.return?.()
    await settle()
    assert.equal(noted.finished, 3)
  })

  test('whose reader leaves is ended at the other end', async () => {
    const { pair, noted } = streaming(() => endless({ n: 1 }))
    let read = 0
    for await (const _ of await open(pair)) if (++read === 3) break
    await settle()
    assert.deepEqual([noted.finished, noted.cancelled.length, pair.near.pending, pair.far.serving], [1, 1, 0, 0])
  })

  test('is given up by the signal of its call', async () => {
    const { pair, noted } = streaming(async function* () {
      yield 1
      await new Promise(() => {})
    })
    const caller = new AbortController()
    const items = await open(pair, 1_000, caller.signal)
    await items.next()
    const next = assert.rejects(items.next(), { code: 'P2P_RPC_CANCELLED' })
    caller.abort()
    await next
    await settle()
    assert.equal(noted.cancelled.length, 1)
  })

  test('fails when the channel closes, and is ended at the other end', async () => {
    const { pair, noted } = streaming(() => endless(1))
    const items = await open(pair)
    await items.next()
    pair.farChannel.close('gone')
    await assert.rejects(
      (async () => {
        for await (const _ of items);
      })(),
      { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' },
    )
    await settle()
    assert.deepEqual([noted.finished, pair.clock.timerCount], [1, 0])
  })

  test('lives as long as items move, whatever its first deadline was, and ends when none does', async () => {
    let release: () => void = () => {}
    const { pair, noted } = streaming(async function* () {
      for (let n = 0; ; n++) {
        await new Promise<void>((resolve) => (release = resolve))
        yield n
      }
    })
    const items = await open(pair, 1_000)
    for (let n = 0; n < 5; n++) {
      const next = items.next()
      await turn()
      pair.clock.advance(900)
      release()
      assert.equal(((await next).value as RawJson).text, String(n))
    }
    const idle = assert.rejects(items.next(), {
      code: 'P2P_RPC_DEADLINE_EXCEEDED',
      message: /x\/tail was ended: nothing moved in it for 1000 ms/,
    })
    await turn()
    pair.clock.advance(1_000)
    await idle
    await turn()
    assert.ok(noted.cancelled.length >= 1)
  })

  test('whose reader reads nothing more is ended at both ends', async () => {
    const { pair, noted } = streaming(() => endless(Buffer.alloc(50_000)))
    const items = await open(pair, 1_000)
    await settle()
    pair.clock.advance(1_100)
    await settle()
    pair.clock.advance(100)
    await settle()
    assert.deepEqual([noted.finished, pair.far.serving, pair.near.pending], [1, 0, 0])
    await assert.rejects(
      (async () => {
        for await (const _ of items);
      })(),
      { code: 'P2P_RPC_DEADLINE_EXCEEDED' },
    )
  })

  test('with an item that is too large, or no JSON, fails with the reason', async () => {
    for (const [item, message] of [
      [Buffer.alloc(STREAM_ITEM_BYTES_MAX + 1), /1048577 bytes, 1048576 are allowed/],
      ['x'.repeat(STREAM_ITEM_BYTES_MAX), /are allowed/],
      [1n, /cannot be JSON/],
    ] as const) {
      const { pair, noted } = streaming(() => endless(item))
      const items = await open(pair)
      await assert.rejects(items.next(), { code: 'P2P_RPC_INVALID_RESULT', message })
      await settle()
      assert.equal(noted.finished, 1)
    }
  })

  test('cannot be one too many', async () => {
    const { pair, noted } = streaming(async function* () {
      await new Promise(() => {})
      yield 0
    })
    const streams = await Promise.all(Array.from({ length: STREAMS_PER_LINK_MAX }, () => open(pair)))
    await assert.rejects(open(pair), { code: 'P2P_RPC_OVERLOADED', message: /256 streams .* are open/ })
    await streams[0]?.return?.()
    await settle()
    await open(pair)
    assert.ok(noted.cancelled.length >= 1)
    pair.nearChannel.close()
  })

  test('that is one too many is returned from, also where its method answered at once', async () => {
    let returned = 0
    const pair = linked((_method, _params, _context, reply) => {
      const items: AsyncIterableIterator<unknown> = {
        next: () => new Promise(() => {}),
        return: async () => {
          returned++
          return { done: true, value: undefined }
        },
        [Symbol.asyncIterator]: () => items,
      }
      reply.resolve(items)
      return { cancel: () => {} }
    })
    await Promise.all(Array.from({ length: STREAMS_PER_LINK_MAX }, () => open(pair)))
    await assert.rejects(open(pair), { code: 'P2P_RPC_OVERLOADED' })
    assert.equal(returned, 1)
    pair.nearChannel.close()
  })

  test('of an end that sends more than it was asked for is cut off', async () => {
    const { pair } = streaming(async function* () {
      await new Promise(() => {})
      yield 0
    })
    const items = await open(pair)
    const flood = bytesItemMessage(1, Buffer.alloc(STREAM_ITEM_BYTES_MAX))
    for (let i = 0; i < 7; i++) pair.nearChannel.arrive(flood)
    assert.equal(pair.near.pending, 0)
    await assert.rejects(
      (async () => {
        for await (const _ of items);
      })(),
      (error: P2PError) => /more of the stream of x\/tail than it was given credit for/.test(error.message),
    )
  })

  test('is not disturbed by items, credit and ends that belong to no call', async () => {
    const { pair } = streaming(async function* () {
      yield 1
      yield 2
    })
    for (const channel of [pair.nearChannel, pair.farChannel]) {
      channel.arrive(bytesItemMessage(77, Buffer.from('x')))
      channel.arrive(Buffer.from([3, 0, 0, 0, 0, 0, 77, 0, 0, 1, 0]))
      channel.arrive(Buffer.from([4, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255]))
      channel.arrive('{"jsonrpc":"2.0","method":"$/stream","params":{"id":77}}')
    }
    const got: string[] = []
    for await (const item of await open(pair)) got.push((item as RawJson).text)
    assert.deepEqual(got, ['1', '2'])
  })
})
