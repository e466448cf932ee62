import assert from 'node:assert/strict'
import { test } from 'node:test'
import { NetworkError, StorageError } from '../../../src/base/errors.ts'
import { explained, isDiskFull, systemCode } from '../../../src/base/system-failure.ts'

function systemError(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: as the system says it`), { code, ...(path !== undefined && { path }) })
}

test('only failures of the operating system have its code', () => {
  assert.equal(systemCode(systemError('ENOENT')), 'ENOENT')
  assert.equal(systemCode(Object.assign(new Error('of another library'), { code: 42 })), undefined)
  assert.equal(systemCode({ code: 'ENOENT' }), undefined)
})

test('a full disk and a full quota are the same', () => {
  assert.ok(isDiskFull(systemError('ENOSPC')))
  assert.ok(isDiskFull(systemError('EDQUOT')))
  assert.equal(isDiskFull(systemError('EIO')), false)
})

test('what the machine refuses is told with its place and the remedy', () => {
  const cases = [
    ['ENOSPC', 'P2P_STORAGE_FULL', /disk of \/state\/vault\. Free some space/],
    ['EDQUOT', 'P2P_STORAGE_FULL', /Free some space/],
    ['EROFS', 'P2P_STORAGE_PERMISSIONS', /\/state\/vault is on a disk that can only be read\. Mount it/],
    ['EACCES', 'P2P_STORAGE_PERMISSIONS', /may not use \/state\/vault.*chown/],
    ['EPERM', 'P2P_STORAGE_PERMISSIONS', /chown/],
    ['EMFILE', 'P2P_STORAGE_FAILED', /ulimit -n/],
    ['ENFILE', 'P2P_STORAGE_FAILED', /LimitNOFILE/],
    ['EIO', 'P2P_STORAGE_FAILED', /disk of \/state\/vault fails/],
  ] as const
  for (const [code, expected, says] of cases) {
    const cause = systemError(code, '/state/vault')
    const error = explained(cause, '/state')
    assert.ok(error instanceof StorageError, code)
    assert.equal(error.code, expected)
    assert.match(error.message, says)
    assert.equal(error.cause, cause)
  }
})

test('an open file has no path: the place given is named instead', () => {
  const error = explained(systemError('ENOSPC'), '/state')
  assert.match(String(error), /disk of \/state\./)
})

test('everything else stays what it is', () => {
  const ours = new NetworkError('P2P_NETWORK_NODE_UNKNOWN', 'no such node')
  const signal = systemError('EPERM')
  const missing = systemError('ENOENT', '/state/vault')
  for (const error of [ours, signal, missing, new Error('a bug'), 'text'])
    assert.equal(explained(error, '/state'), error)
})
