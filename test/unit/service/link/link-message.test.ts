import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { LinkContext } from '../../../../src/service/link/call-link.ts'
import {
  bytesItemMessage,
  cancelMessage,
  confirmMessage,
  creditMessage,
  jsonItemMessage,
  type LinkMessage,
  parseLinkMessage,
  requestMessage,
  resultMessage,
  streamMessage,
} from '../../../../src/service/link/link-message.ts'
import { RawJson } from '../../../../src/service/calls/raw-json.ts'
import { contextFields, name } from './context-fields.ts'

const id = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const context: fc.Arbitrary<LinkContext> = fc.record(
  { timeoutMs: fc.integer({ min: 1, max: 86_400_000 }), ...contextFields },
  { requiredKeys: ['timeoutMs', 'traceId'] },
)

/** Without what it does not have: an absent member and an undefined one are the same. */
function plain(message: LinkMessage): unknown {
  const raw = (_key: string, value: unknown): unknown => (value instanceof RawJson ? { raw: value.text } : value)
  return JSON.parse(JSON.stringify(message, raw))
}

describe('a message', () => {
  test('of a request is read as it was written, its parameters untouched', () => {
    fc.assert(
      fc.property(id, fc.string(), fc.option(fc.json()), context, (number, method, params, given) => {
        const message = requestMessage(number, method, params ?? undefined, given.timeoutMs, given)
        assert.deepEqual(
          plain(parseLinkMessage(message)),
          plain({
            kind: 'request',
            id: number,
            method,
            params: params === null ? undefined : new RawJson(params),
            context: given,
          }),
        )
      }),
    )
  })

  test('of a request gives the same in any other way of writing the header', () => {
    fc.assert(
      fc.property(id, name, fc.json(), context, (number, method, params, given) => {
        const written = requestMessage(number, `svc/${method}`, params, given.timeoutMs, given).toString()
        const feed = written.indexOf('\n')
        const { context: inner, ...outer } = JSON.parse(written.slice(0, feed)) as Record<string, object>
        // Another order: it does not take the short way.
        const header = JSON.stringify({ context: inner, ...outer })
        const other = `${header}\n${params}`
        assert.deepEqual(plain(parseLinkMessage(Buffer.from(other))), plain(parseLinkMessage(Buffer.from(written))))
      }),
    )
  })

  test('of every other kind is read as it was written', () => {
    fc.assert(
      fc.property(id, fc.json(), fc.uint8Array(), fc.nat(2 ** 32 - 1), (number, json, bytes, count) => {
        const read = (message: Buffer): LinkMessage => parseLinkMessage(message)
        assert.deepEqual(read(resultMessage(number, json)), { kind: 'result', id: number, result: new RawJson(json) })
        assert.deepEqual(read(cancelMessage(number)), { kind: 'cancel', id: number })
        assert.deepEqual(read(streamMessage(number)), { kind: 'stream', id: number })
        assert.deepEqual(read(creditMessage(number, count)), { kind: 'credit', id: number, bytes: count })
        assert.deepEqual(read(confirmMessage(count)), { kind: 'confirm', bytes: count })
        const item = read(bytesItemMessage(number, bytes))
        assert.ok(item.kind === 'item' && item.item instanceof Uint8Array)
        assert.deepEqual([item.id, [...item.item], item.cost], [number, [...bytes], bytes.length + 64])
        const text = read(jsonItemMessage(number, json, Buffer.byteLength(json)))
        assert.ok(text.kind === 'item' && text.item instanceof RawJson)
        assert.deepEqual([text.id, text.item.text, text.cost], [number, json, Buffer.byteLength(json) + 64])
      }),
    )
  })

  test('may also be a plain JSON-RPC object, as another program writes it', () => {
    const request = {
      jsonrpc: '2.0',
      id: 3,
      method: 'a/b',
      params: [1],
      context: { timeout_ms: 5, trace_id: '0'.repeat(32) },
    }
    const read = (value: object): LinkMessage =>
      parseLinkMessage(Buffer.from(JSON.stringify(value, null, 1).replaceAll('\n', ' ')))
    const message = read(request)
    assert.ok(message.kind === 'request')
    assert.equal(message.params?.text, '[1]')
    assert.deepEqual(read({ jsonrpc: '2.0', result: { a: 1 }, id: 3 }), {
      kind: 'result',
      id: 3,
      result: new RawJson('{"a":1}'),
    })
  })

  test('made of any bytes is read without a failure', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
        assert.ok(parseLinkMessage(bytes).kind)
      }),
      { numRuns: 2_000 },
    )
  })

  test('of which bytes were changed, cut off or doubled is read without a failure, and never with a number that is none', () => {
    const good = [
      requestMessage(17, 'library/lend', '{"id":7}', 29_871, {
        traceId: '0123456789abcdef0123456789abcdef',
        spanId: '0123456789abcdef',
        service: 'front_desk',
        caller: { kind: 'node', nodeId: 'n1', role: 'worker' },
      }),
      resultMessage(17, '{"a":1}'),
      Buffer.from('{"jsonrpc":"2.0","error":{"code":1,"message":"x","data":{"code":"P2P_RPC_INTERNAL"}},"id":17}'),
      cancelMessage(17),
      bytesItemMessage(17, Buffer.from('abc')),
      creditMessage(17, 4),
    ]
    const change = fc.record({ at: fc.nat(400), to: fc.nat(255), cut: fc.boolean(), twice: fc.boolean() })
    fc.assert(
      fc.property(fc.constantFrom(...good), fc.array(change, { minLength: 1, maxLength: 6 }), (from, changes) => {
        let bytes = Buffer.from(from)
        for (const { at, to, cut, twice } of changes) {
          const place = at % (bytes.length + 1)
          if (cut) bytes = bytes.subarray(0, place)
          else if (twice) bytes = Buffer.concat([bytes.subarray(0, place), bytes])
          else if (place < bytes.length) bytes[place] = to
        }
        const message = parseLinkMessage(bytes)
        if ('id' in message) assert.ok(Number.isSafeInteger(message.id) && message.id >= 0)
        if (message.kind === 'request')
          assert.ok(message.context.timeoutMs > 0 && message.context.traceId.length === 32)
      }),
      { numRuns: 3_000 },
    )
  })
})
