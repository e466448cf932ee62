import assert from 'node:assert/strict'
import { test } from 'node:test'
import { effectivePermissions, missingGrants, NO_PERMISSIONS } from '../../../src/deploy/permissions.ts'

test('a service gets what is asked for and granted, of nested paths the inner one', () => {
  const asked = { net: true, childProcess: true, read: ['/a', '/b/c', '/e'], write: ['/var/x/../y'] }
  const granted = { net: true, childProcess: false, read: ['/a/b', '/b', '/ee'], write: ['/var/y'] }
  assert.deepEqual(effectivePermissions(asked, granted), {
    net: true,
    childProcess: false,
    read: ['/a/b', '/b/c'],
    write: ['/var/x/../y', '/var/y'],
  })
  assert.deepEqual(effectivePermissions(asked, NO_PERMISSIONS), NO_PERMISSIONS)
  assert.deepEqual(effectivePermissions(NO_PERMISSIONS, granted), NO_PERMISSIONS)
})

test('a path is not below another because its name begins alike, nor by way of ..', () => {
  const granted = { ...NO_PERMISSIONS, read: ['/data/web'] }
  for (const path of ['/data/website', '/data', '/data/web/../shop', '/', 'C:\\data\\web']) {
    assert.deepEqual(
      effectivePermissions({ ...NO_PERMISSIONS, read: [path] }, granted).read.filter((p) => p === path),
      [],
      path,
    )
  }
  const windows = { ...NO_PERMISSIONS, write: ['C:\\data'] }
  assert.deepEqual(effectivePermissions({ ...NO_PERMISSIONS, write: ['C:\\data\\web'] }, windows).write, [
    'C:\\data\\web',
  ])
  assert.deepEqual(effectivePermissions({ ...NO_PERMISSIONS, write: ['D:\\data\\web'] }, windows).write, [])
})

test('what is not granted is named; the own folder needs no grant', () => {
  const asked = { net: true, childProcess: true, read: ['assets', '/etc/web'], write: ['/var/web', '/tmp'] }
  assert.deepEqual(missingGrants(asked, NO_PERMISSIONS), [
    'net',
    'childProcess',
    'read=/etc/web',
    'write=/var/web',
    'write=/tmp',
  ])
  const granted = { net: true, childProcess: true, read: ['/etc'], write: ['/var/web', '/tmp/x'] }
  assert.deepEqual(missingGrants(asked, granted), ['write=/tmp'])
})
