import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import type { Member, MemberEvent, MemberStatus, NodeRecord } from '../../../src/base/member.ts'
import { replaceUnrecorded } from '../../../src/context/unrecorded-certificates.ts'

function member(nodeId: string, certificateSerial: string, more: Partial<NodeRecord> & { status?: MemberStatus } = {}) {
  const { status = 'alive', ...record } = more
  return { record: { nodeId, role: 'worker', certificateSerial, ...record }, status } as Member
}

/** A coordinator that has issued `recorded` and sees `members`. */
async function started(members: Member[], fails: { now: boolean } = { now: false }) {
  const asked: string[] = []
  const warnings: string[] = []
  const listeners = new Set<(event: MemberEvent) => void>()
  const component = replaceUnrecorded({
    membership: {
      self: () => members[0] as Member,
      members: () => members,
      get: () => undefined,
      onChange(listener) {
        listeners.add(listener)
        return () => listeners.delete(listener)
      },
    },
    ca: { issued: (serial) => (serial === 'recorded' ? ({} as never) : undefined) },
    log: { ...silentLogger, warning: (message) => void warnings.push(message) },
    renew: async (nodeId) => {
      asked.push(nodeId)
      if (fails.now) throw new Error('away')
    },
  })
  await component.start(new AbortController().signal)
  const see = async (seen: Member): Promise<void> => {
    for (const listener of listeners) listener({ member: seen, previous: 'alive' })
    await new Promise(setImmediate)
  }
  await new Promise(setImmediate)
  return { component, asked, warnings, see, listeners }
}

test('a worker whose certificate is not recorded is named and asked once, also one that is seen later', async () => {
  const { component, asked, warnings, see, listeners } = await started([
    member('coordinator-1', 'x', { role: 'coordinator' }),
    member('known', 'recorded'),
    member('gone', 'x', { status: 'dead' }),
    member('first', 'x'),
  ])
  await see(member('first', 'x', { recordVersion: 2 }))
  await see(member('second', 'y'))
  assert.deepEqual(asked, ['first', 'second'])
  assert.equal(warnings.length, 2)
  assert.match(warnings[0] ?? '', /no record of the certificate of first:.*backup.*p2p nodes approve first/)
  await see(member('first', 'recorded'))
  await see(member('first', 'another'))
  assert.deepEqual(asked, ['first', 'second', 'first'])
  await component.stop()
  assert.equal(listeners.size, 0)
})

test('a worker that could not be asked is asked again when it is seen again, and named once', async () => {
  const fails = { now: true }
  const { component, asked, warnings, see } = await started([member('first', 'x')], fails)
  await see(member('first', 'x'))
  fails.now = false
  await see(member('first', 'x'))
  await see(member('first', 'x'))
  assert.deepEqual(asked, ['first', 'first', 'first'])
  assert.equal(warnings.length, 1)
  await component.stop()
})
