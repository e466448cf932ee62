import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import type { Member, Membership } from '../../../src/base/member.ts'
import { keepRevocations, knownRevocations } from '../../../src/context/kept-revocations.ts'
import { createMemberRevocations } from '../../../src/network/index.ts'
import { MemoryStore } from '../pki/memory-store.ts'

const { signal } = new AbortController()

/** A coordinator that names these serials. */
function membership(revokedSerials: string[]): Membership {
  const coordinator = { record: { nodeId: 'c', role: 'coordinator', revokedSerials } } as unknown as Member
  return { self: () => coordinator, members: () => [coordinator], get: () => coordinator, onChange: () => () => {} }
}

test('a worker that starts without a coordinator still knows who was revoked', async () => {
  const store = new MemoryStore()
  assert.deepEqual(await knownRevocations(store), [])
  const revocations = createMemberRevocations()
  const kept = keepRevocations(store, revocations, silentLogger)
  await kept.start(signal)
  await revocations.follow(membership(['0a', '0b'])).start(signal)
  await kept.stop()
  const again = createMemberRevocations(await knownRevocations(store))
  assert.ok(again.isRevoked('0a') && again.isRevoked('0b') && !again.isRevoked('0c'))
})

test('a disk that is full costs only the memory of it', async () => {
  const store = new MemoryStore()
  store.failure = new Error('disk full')
  const revocations = createMemberRevocations()
  const kept = keepRevocations(store, revocations, silentLogger)
  await kept.start(signal)
  await revocations.follow(membership(['0a'])).start(signal)
  await kept.stop()
  assert.ok(revocations.isRevoked('0a'))
})
