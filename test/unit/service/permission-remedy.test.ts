import assert from 'node:assert/strict'
import { test } from 'node:test'
import { permissionRemedy } from '../../../src/service/definition/permission-remedy.ts'

function denied(fields: object): Error {
  return Object.assign(new Error('Access to this API has been restricted'), { code: 'ERR_ACCESS_DENIED', ...fields })
}

test('an error of the permission model says what to ask for', () => {
  assert.equal(
    permissionRemedy(denied({ permission: 'FileSystemWrite', resource: '/etc/shop' })),
    'Ask for it in manifest.json: "permissions": { "write" for /etc/shop }',
  )
  assert.equal(permissionRemedy(denied({})), 'Ask for it in manifest.json: "permissions": { "net": true }')
  assert.equal(permissionRemedy(denied({ permission: 'Inspector' })), undefined)
})

test('also when it is the cause of another one', () => {
  const error = new TypeError('fetch failed', { cause: new Error('connect', { cause: denied({ permission: 'Net' }) }) })
  assert.match(permissionRemedy(error) ?? '', /"net": true/)
})

test('any other error has none, also one that is its own cause, and what is no error', () => {
  const own = new Error('own')
  own.cause = own
  for (const other of [own, new Error('other'), { code: 'ENOENT' }, null, undefined, 'text', 7]) {
    assert.equal(permissionRemedy(other), undefined)
  }
})
