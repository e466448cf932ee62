import type { MemberStatus, Membership } from '../../../../src/base/member.ts'
import { member, membershipOf } from './stub-node.ts'

/** A membership of one coordinator and what a test adds to it, whose listeners hear of it. */
export function observedMembers(): Membership & {
  set(nodeId: string, status: MemberStatus): void
  readonly listenerCount: number
} {
  const members = [member('coordinator-1', 'coordinator')]
  const listeners = new Set<Parameters<Membership['onChange']>[0]>()
  return {
    ...membershipOf(members),
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    get listenerCount() {
      return listeners.size
    },
    set(nodeId, status) {
      const at = members.findIndex(({ record }) => record.nodeId === nodeId)
      const previous = members[at]?.status
      const changed = member(nodeId, 'worker', status)
      if (at < 0) members.push(changed)
      else members[at] = changed
      for (const listener of listeners) listener({ member: changed, previous })
    },
  }
}
