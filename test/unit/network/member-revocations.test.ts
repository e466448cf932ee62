import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Member, MemberEvent, Membership, NodeRecord } from '../../../src/base/member.ts'
import { createMemberRevocations } from '../../../src/network/index.ts'

const never = new AbortController().signal

function member(nodeId: string, role: NodeRecord['role'], revokedSerials?: string[]): Member {
  return { record: { nodeId, role, revokedSerials } as NodeRecord, status: 'alive', incarnation: 0, sinceMs: 0 }
}

function cluster(...members: Member[]) {
  const listeners = new Set<(event: MemberEvent) => void>()
  const membership = {
    members: () => members,
    onChange(listener: (event: MemberEvent) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  } as unknown as Membership
  return {
    membership,
    listeners,
    replace: (at: number, by: Member) => {
      members[at] = by
      for (const listener of listeners) listener({ member: by, previous: 'alive' })
    },
  }
}

test('what a coordinator revokes is revoked here, and told once', async () => {
  const { membership, replace, listeners } = cluster(member('c1', 'coordinator', ['0a']), member('w1', 'worker'))
  const revocations = createMemberRevocations()
  let told = 0
  revocations.onChange(() => told++)
  const follower = revocations.follow(membership)
  await follower.start(never)
  assert.ok(revocations.isRevoked('0a'))
  replace(0, member('c1', 'coordinator', ['0b', '0a']))
  replace(0, member('c1', 'coordinator', ['0b', '0a']))
  assert.ok(revocations.isRevoked('0b'))
  assert.equal(told, 2)
  replace(0, member('c1', 'coordinator', []))
  assert.ok(revocations.isRevoked('0a'), 'a revocation is not taken back')
  await follower.stop()
  assert.equal(listeners.size, 0)
})

test('a worker cannot revoke anybody', async () => {
  const { membership, replace } = cluster(member('w1', 'worker', ['0a']))
  const revocations = createMemberRevocations()
  await revocations.follow(membership).start(never)
  replace(0, member('w1', 'worker', ['0a', '0b']))
  assert.ok(!revocations.isRevoked('0a') && !revocations.isRevoked('0b'))
})
