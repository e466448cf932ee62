import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RpcError, StorageError } from '../../../../src/base/errors.ts'
import {
  errorFromRpcObject,
  parseMethodName,
  jsonText,
  resultText,
  rpcErrorObject,
} from '../../../../src/service/jsonrpc/index.ts'

test('an error becomes its JSON-RPC code, a message that begins as the specification says, and data to test', () => {
  const error = new RpcError('P2P_RPC_METHOD_NOT_FOUND', 'No service foo', { method: 'foo/bar' })
  assert.deepEqual(rpcErrorObject(error, 'abc'), {
    code: -32601,
    message: 'Method not found: No service foo',
    data: { code: 'P2P_RPC_METHOD_NOT_FOUND', retryable: false, trace_id: 'abc', details: { method: 'foo/bar' } },
  })
})

test('a code outside the specified ones keeps its message', () => {
  assert.equal(rpcErrorObject(new StorageError('P2P_STORAGE_FULL', 'The disk is full')).message, 'The disk is full')
})

test('of an error that is not ours nothing is told', () => {
  const object = rpcErrorObject(new Error('password=hunter2'))
  assert.equal(object.code, -32603)
  assert.doesNotMatch(JSON.stringify(object), /hunter2|stack/)
})

test('an error that went over the wire is the same error again, however often it goes', () => {
  const error = new RpcError('P2P_RPC_INVALID_PARAMS', 'x: missing', { issues: [{ path: 'x', message: 'missing' }] })
  const once = errorFromRpcObject(rpcErrorObject(error), 'n2')
  const twice = errorFromRpcObject(rpcErrorObject(once), 'n3')
  assert.deepEqual(
    [twice.code, twice.message, twice.details],
    [error.code, 'Invalid params: x: missing', error.details],
  )
})

test('what is no error object still becomes an error', () => {
  for (const value of [
    undefined,
    null,
    1,
    'x',
    {},
    { message: 1, data: { code: 'toString', details: 1 } },
    { data: [] },
  ]) {
    const error = errorFromRpcObject(value, 'n2')
    assert.equal(error.code, 'P2P_RPC_INTERNAL')
    assert.match(error.message, /n2/)
  }
})

test('what cannot be JSON is an invalid result, undefined is null', () => {
  const cycle: unknown[] = []
  cycle.push(cycle)
  for (const value of [cycle, 1n, { a: 1n }]) {
    assert.throws(() => jsonText(value, 'a/b'), { code: 'P2P_RPC_INVALID_RESULT' })
  }
  assert.equal(resultText('2.0', 1, jsonText(undefined, 'a/b')), '{"jsonrpc":"2.0","result":null,"id":1}')
})

test('there is one form of a method name', () => {
  assert.deepEqual(parseMethodName('my_service/get-it'), { service: 'my_service', method: 'get-it' })
  const long = 'x'.repeat(64)
  for (const name of [
    '',
    '/',
    'a',
    'a/',
    '/b',
    'a/b/c',
    'a.b',
    ' a/b',
    'a/b ',
    'a//b',
    '1a/b',
    'a/__proto__',
    `${long}/b`,
  ]) {
    assert.equal(parseMethodName(name), undefined, name)
  }
})
