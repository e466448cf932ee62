import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RpcError } from '../../../../src/base/errors.ts'
import { plainFields } from '../../../../src/service/host/plain-fields.ts'

test('errors are spelled out, whatever holds them', () => {
  const error = new TypeError('odd', { cause: new Error('deeper') })
  const { error: plain, list } = plainFields({ error, list: [new RpcError('P2P_RPC_INTERNAL', 'ours', { a: 1 })] }) as {
    error: { name: string; message: string; stack: string[]; cause: { message: string } }
    list: object[]
  }
  assert.deepEqual([plain.name, plain.message, plain.cause.message], ['TypeError', 'odd', 'deeper'])
  assert.ok(plain.stack.length > 0 && plain.stack.every((frame) => frame.startsWith('at ')))
  assert.deepEqual(list, [{ name: 'RpcError', message: 'ours', code: 'P2P_RPC_INTERNAL', details: { a: 1 } }])
})

test('what cannot be JSON does no harm', () => {
  const circle: { self?: object } = {}
  circle.self = circle
  const broken = {
    get field(): never {
      throw new Error('no')
    },
  }
  assert.deepEqual(plainFields({ circle, broken, big: 10n, nothing: undefined, fine: 1 }), {
    circle: '[unreadable]',
    broken: '[unreadable]',
    big: '10',
    fine: 1,
  })
  const chain = Array.from({ length: 100 }).reduce<Error>((cause) => new Error('x', { cause }), new Error('root'))
  assert.ok(JSON.stringify(plainFields({ chain })).length < 60_000)
})
