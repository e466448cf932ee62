import type { Component } from '../base/component.ts'
import type { RevocationList } from '../base/credentials.ts'
import type { Logger } from '../base/log.ts'
import type { Member } from '../base/member.ts'
import type { Clock } from '../base/time.ts'
import { type Gossip, type RecordPatch, renewUntrustedChannels } from '../network/index.ts'
import type { CertificateAuthority } from '../pki/coordinator/index.ts'
import type { ManagedIdentity } from '../pki/index.ts'
import type { MovablePeers } from '../transport/index.ts'

/** What the own record says of certificate and trust: coordinators see in it how far a rotation of the CA is. */
export function identityRecord(identity: ManagedIdentity, ca?: CertificateAuthority): RecordPatch {
  return {
    certificateSerial: identity.certificate().serial,
    trustedRoots: identity.trust().roots,
    ...(ca && { issuerId: ca.issuingId }),
  }
}

/** A node whose certificate has ended is cut off so long after it, at the latest, and the rounds to find that it has no other one. */
const ENDED_CHECK_MS = 1_000

/** Tells the cluster of the own certificate and trust as they change, and keeps no channel to anybody who is not trusted any more. */
export function publishIdentity(needs: {
  gossip: Gossip
  peers: Pick<MovablePeers, 'untrusted' | 'move'>
  clock: Clock
  log: Logger
  identity: ManagedIdentity
  revocations: RevocationList
  ca: CertificateAuthority | undefined
}): Component {
  const { gossip, peers, clock, log, identity, revocations, ca } = needs
  const ended = new AbortController()
  const unlisten: (() => void)[] = []
  const addressesOf = (nodeId: string): readonly string[] => gossip.targetOf(nodeId)?.addresses ?? []
  let renewing: Promise<void> = Promise.resolve()
  let isRenewing = false
  const renew = (): void => {
    renewing = renewing.then(() => renewUntrustedChannels({ peers, clock, log, addressesOf }, ended.signal))
  }
  /** A certificate ends without anybody saying so. */
  const renewEnded = (): void => {
    if (isRenewing || peers.untrusted().length === 0) return
    isRenewing = true
    renew()
    void renewing.then(() => (isRenewing = false))
  }
  const publish = (): void => gossip.update(identityRecord(identity, ca))

  return {
    name: 'certificate record',
    async start() {
      unlisten.push(identity.onChange(publish), identity.onChange(renew), revocations.onChange(renew))
      if (ca) unlisten.push(ca.onTrustChange(publish))
      const watch = clock.every(ENDED_CHECK_MS, renewEnded)
      unlisten.push(() => watch.cancel())
      publish()
    },
    async stop() {
      for (const stop of unlisten.splice(0)) stop()
      ended.abort(new Error('The node is stopping.'))
      await renewing
    },
  }
}

/**
 * Follows what a coordinator's record says of its CA. One that was away may have come to another CA meanwhile, and so may the cluster
 * while this node was away: then it is asked, as soon as it answers.
 */
export function followCa(gossip: Gossip, identity: ManagedIdentity): Component {
  let unlisten: (() => void) | undefined

  function look({ record, status }: Member): void {
    if (record.role !== 'coordinator') return
    const own = identity.trust()
    const isOtherIssuer = record.issuerId !== undefined && record.issuerId !== own.issuerId
    const isOtherTrust = record.trustedRoots !== undefined && !isSameSet(record.trustedRoots, own.roots)
    if (isOtherIssuer || isOtherTrust || status === 'dead') identity.trustMayHaveChanged()
  }

  return {
    name: 'CA of the cluster',
    async start() {
      unlisten = gossip.onChange(({ member }) => look(member))
      identity.trustMayHaveChanged()
    },
    async stop() {
      unlisten?.()
    },
  }
}

function isSameSet(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((value) => b.includes(value))
}
