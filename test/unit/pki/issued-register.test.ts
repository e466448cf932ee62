import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IssuedRegister, type Registration } from '../../../src/pki/issued-register.ts'
import { MemoryStore } from './memory-store.ts'

function registration(serial: string, changes: Partial<Registration> = {}): Registration {
  return {
    certificate: {
      serial,
      node_id: 'worker-1',
      role: 'worker',
      not_before_ms: 0,
      not_after_ms: 1_000,
      key_fingerprint: `key of ${serial}`,
    },
    holder: undefined,
    approvedDnsNames: [],
    isReplacement: false,
    alongside: undefined,
    nowMs: 10,
    ...changes,
  }
}

test('of two that were decided on the same holder, one is recorded', async () => {
  const store = new MemoryStore()
  const register = new IssuedRegister(store)
  const results = await Promise.all(['01', '02'].map((serial) => register.register(registration(serial))))
  assert.deepEqual(results.sort(), [false, true])
  assert.equal(store.keys('pki/issued/').length, 1)
  assert.equal(register.certificates().length, 1)
})

test('a condition beside it that does not hold keeps the certificate from being recorded', async () => {
  const store = new MemoryStore()
  const register = new IssuedRegister(store)
  const alongside = { compares: [{ key: 'pki/tokens/1', revision: 7 }], operations: [] }
  assert.equal(await register.register(registration('01', { alongside })), false)
  assert.equal(register.holder('worker-1'), undefined)
  assert.deepEqual(store.keys('pki/'), [])
})

test('a certificate that is recorded while its node is revoked is revoked too, or not recorded', async () => {
  const register = new IssuedRegister(new MemoryStore())
  await register.register(registration('01'))
  const holder = register.holder('worker-1')
  const [isRecorded] = await Promise.all([
    register.register(registration('02', { holder })),
    register.revokeNode('worker-1', 20),
  ])
  assert.ok(register.isRevoked('01'))
  assert.equal(register.isRevoked('02'), isRecorded)
  assert.equal(register.holder('worker-1')?.revoked_at_ms, 20)
})

test('a replacement revokes what its node id had before, and a reload knows it', async () => {
  const store = new MemoryStore()
  const register = new IssuedRegister(store)
  await register.register(registration('01'))
  await register.register(registration('02', { holder: register.holder('worker-1'), isReplacement: true }))
  const reloaded = new IssuedRegister(store)
  await reloaded.load()
  for (const { isRevoked, isRevokedKey } of [register, reloaded].map(asFunctions)) {
    assert.deepEqual([isRevoked('01'), isRevoked('02')], [true, false])
    assert.deepEqual([isRevokedKey('key of 01'), isRevokedKey('key of 02')], [true, false])
  }
  assert.deepEqual(reloaded.holder('worker-1'), register.holder('worker-1'))
})

function asFunctions(register: IssuedRegister) {
  return {
    isRevoked: (serial: string) => register.isRevoked(serial),
    isRevokedKey: (fingerprint: string) => register.isRevokedKey(fingerprint),
  }
}
