import type { Component } from '../base/component.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { Membership } from '../base/member.ts'

/** A worker's view of what the coordinators have revoked. */
export interface MemberRevocations extends RevocationList {
  /** All that are known, latest learnt last. */
  serials(): string[]
  /** While it runs, follows the coordinators' records. */
  follow(membership: Membership): Component
}

/**
 * Certificates that the coordinators revoked, as their signed records say. A record reaches every node within a second,
 * so no list has to be fetched. What a coordinator once revoked stays revoked here when it no longer names it: it has then
 * expired, or the record was full.
 * @param known what it knew before its process was started anew
 */
export function createMemberRevocations(known: readonly string[] = []): MemberRevocations {
  const revoked = new Set(known)
  const listeners = new Set<() => void>()

  function learn(membership: Membership): void {
    const before = revoked.size
    for (const { record } of membership.members()) {
      if (record.role !== 'coordinator') continue
      for (const serial of record.revokedSerials ?? []) revoked.add(serial)
    }
    if (revoked.size !== before) for (const listener of listeners) listener()
  }

  return {
    isRevoked: (serialHex) => revoked.has(serialHex),
    serials: () => [...revoked],
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    follow(membership) {
      let unlisten: (() => void) | undefined
      return {
        name: 'revocations',
        async start() {
          learn(membership)
          unlisten = membership.onChange(({ member }) => {
            if (member.record.role === 'coordinator') learn(membership)
          })
        },
        async stop() {
          unlisten?.()
        },
      }
    },
  }
}
