import assert from 'node:assert/strict'
import { test } from 'node:test'
import { checkSpec } from '../../../../src/service/host/check-spec.ts'
import { parseManifest } from '../../../../src/service/definition/manifest.ts'
import type { ServiceSpec } from '../../../../src/service/index.ts'

function spec(manifest: object, changes: Partial<ServiceSpec> = {}): ServiceSpec {
  return {
    name: 'shop',
    version: '1',
    folder: '/srv/shop',
    kind: 'process',
    instances: 1,
    manifest: parseManifest(manifest),
    permissions: { net: false, childProcess: false, read: [], write: [] },
    config: {},
    secrets: {},
    ...changes,
  }
}

test('what was granted may be more than what is asked for, never less', () => {
  const asks = { permissions: { net: true, read: ['/var/books/new', 'lists'], write: ['/var/out'] } }
  const permissions = { net: true, childProcess: true, read: ['/var/books', '/srv/shop/lists'], write: ['/var'] }
  checkSpec(spec(asks, { permissions }))
  checkSpec(spec({}, { permissions }))
  assert.throws(
    () => checkSpec(spec(asks, { permissions: { ...permissions, read: ['/var/book'], write: ['/var/ou'] } })),
    {
      code: 'P2P_SERVICE_PERMISSION_DENIED',
      details: { service: 'shop', missing: ['read /var/books/new', 'read /srv/shop/lists', 'write /var/out'] },
    },
  )
  assert.throws(() => checkSpec(spec({ permissions: { childProcess: true } })), /childProcess\. Grant it/)
})

test('secrets it names must be given', () => {
  const named = { secrets: ['key', 'token'] }
  assert.throws(() => checkSpec(spec(named, { secrets: { key: 'x' } })), {
    code: 'P2P_SERVICE_LOAD_FAILED',
    details: { service: 'shop', secrets: ['token'] },
  })
  checkSpec(spec(named, { secrets: { key: '', token: 'x' } }))
})
