import type { Component } from '../base/component.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Member, Membership } from '../base/member.ts'
import type { CertificateAuthority } from '../pki/coordinator/index.ts'

export interface UnrecordedCertificatesNeeds {
  membership: Membership
  ca: Pick<CertificateAuthority, 'issued'>
  log: Logger
  /** Asks a node to get another certificate now. */
  renew: (nodeId: string, signal: AbortSignal) => Promise<void>
}

/**
 * A coordinator that was restored from a backup has no record of what was issued after it, and can neither renew nor revoke that. A worker
 * with such a certificate is named as soon as it is seen, once, and asked to get another one: it then joins anew.
 */
export function replaceUnrecorded({ membership, ca, log, renew }: UnrecordedCertificatesNeeds): Component {
  const ended = new AbortController()
  /** By node, the certificate that was named in the log, and the one that the node was asked to replace. */
  const named = new Map<string, string>()
  const asked = new Map<string, string>()
  let unlisten: (() => void) | undefined

  async function look({ record: { nodeId, role, certificateSerial: serial }, status }: Member): Promise<void> {
    if (role !== 'worker' || status !== 'alive') return
    if (ca.issued(serial)) {
      named.delete(nodeId)
      asked.delete(nodeId)
      return
    }
    if (named.get(nodeId) !== serial) {
      named.set(nodeId, serial)
      log.warning(
        `There is no record of the certificate of ${nodeId}: it was issued after the backup this coordinator was restored from. ` +
          `The node is asked to join anew; if it then waits for approval: p2p nodes approve ${nodeId}`,
        { nodeId, serial },
      )
    }
    if (asked.get(nodeId) === serial) return
    asked.set(nodeId, serial)
    try {
      await renew(nodeId, ended.signal)
    } catch (error) {
      // Asked again when its record changes next; at the latest it comes by itself when its certificate is due.
      asked.delete(nodeId)
      log.debug('A node could not be asked to join anew', { nodeId, reason: messageOf(error) })
    }
  }

  return {
    name: 'unrecorded certificates',
    async start() {
      unlisten = membership.onChange(({ member }) => void look(member))
      for (const member of membership.members()) void look(member)
    },
    async stop() {
      unlisten?.()
      ended.abort(new Error('The node is stopping.'))
    },
  }
}
