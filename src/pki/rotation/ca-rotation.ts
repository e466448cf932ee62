import type { Component } from '../../base/component.ts'
import type { CaRotation, CaRotationAdmin } from '../../base/enrolment.ts'
import { messageOf, PkiError } from '../../base/errors.ts'
import type { NodeId } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type { StoredRotation } from '../authority-store.ts'
import type { CertificateAuthority } from '../certificate-authority.ts'
import { planRotation, type RotationNode, type RotationStep } from './plan-rotation.ts'

/** Everything else that a rotation waits for is an event; that a certificate has ended is none. */
const LOOK_EVERY_MS = 10_000

export interface CaRotationNeeds {
  ca: CertificateAuthority
  clock: Clock
  log: Logger
  /** The coordinator itself: never left behind. */
  nodeId: NodeId
}

export interface CaRotationDriver extends CaRotationAdmin {
  /** While it runs, a rotation goes on as the members follow. */
  follow(membership: Membership): Component
}

/**
 * Drives a rotation of the CA from phase to phase. All it knows is in the store and in the members' records, so it goes on after a crash
 * where it was.
 */
export function createCaRotation(needs: CaRotationNeeds): CaRotationDriver {
  return new Driver(needs)
}

class Driver implements CaRotationDriver {
  readonly #needs: CaRotationNeeds
  #membership: Membership | undefined
  /** Changes one after the other, each decided on the state that the one before left. */
  readonly #turns = new Turns()

  constructor(needs: CaRotationNeeds) {
    this.#needs = needs
  }

  status(): CaRotation | undefined {
    const { rotation } = this.#needs.ca
    if (!rotation) return undefined
    const nodes = this.#nodes()
    const { waitingFor } = this.#plan(rotation, nodes)
    const isRoot = rotation.kind === 'root'
    return {
      kind: rotation.kind,
      phase: rotation.phase,
      started_at_ms: rotation.startedAtMs,
      phase_since_ms: rotation.phaseSinceMs,
      old_fingerprint: isRoot ? rotation.oldRoot : rotation.oldIssuing,
      new_fingerprint: isRoot ? rotation.newRoot : rotation.newIssuing,
      nodes_total: nodes.length,
      nodes_followed: nodes.length - waitingFor.length - rotation.leftBehind.filter((id) => isAmong(nodes, id)).length,
      waiting_for: waitingFor,
      left_behind: rotation.leftBehind,
    }
  }

  begin(kind: StoredRotation['kind']): Promise<CaRotation> {
    return this.#turns.run(async () => {
      await this.#needs.ca.beginRotation(kind)
      this.#needs.log.warning('A rotation of the CA has begun', { kind, phase: this.#needs.ca.rotation?.phase })
      return this.status() as CaRotation
    })
  }

  finish({ force }: { force: boolean }): Promise<CaRotation> {
    return this.#turns.run(async () => {
      const { ca, log, nodeId } = this.#needs
      const present = this.status()
      if (!present) throw new PkiError('P2P_PKI_REQUEST_UNKNOWN', 'No CA was rotated here (p2p ca rotate)')
      if (present.phase === 'done') return present
      const others = present.waiting_for.map(({ node_id: id }) => id).filter((id) => id !== nodeId)
      if (!force) {
        const names = present.waiting_for.map(({ node_id: id, status }) => `${id} (${status})`).join(', ')
        throw new PkiError(
          'P2P_PKI_ROTATION_WAITS',
          `The rotation goes on by itself as soon as these have followed: ${names || 'nobody'}. --force leaves them behind: they are cut off until they have fetched a new certificate`,
          { waitingFor: present.waiting_for.map(({ node_id: id }) => id) },
        )
      }
      log.warning('The rotation of the CA leaves nodes behind', { nodes: others })
      await ca.advanceRotation({ leftBehind: others })
      return this.status() as CaRotation
    })
  }

  follow(membership: Membership): Component {
    const unlisten: (() => void)[] = []
    let timer: Timer | undefined
    return {
      name: 'CA rotation',
      start: async () => {
        this.#membership = membership
        const { ca, clock } = this.#needs
        const look = (): void => {
          if (isUnderWay(ca.rotation)) void this.#turns.run(() => this.#advance())
        }
        unlisten.push(membership.onChange(look), ca.onTrustChange(look), ca.revocations.onChange(look))
        timer = clock.every(LOOK_EVERY_MS, look)
        look()
      },
      stop: async () => {
        timer?.cancel()
        for (const stop of unlisten.splice(0)) stop()
        await this.#turns.settled
        this.#membership = undefined
      },
    }
  }

  /** Never rejects: what could not be recorded is tried at the next look. */
  async #advance(): Promise<void> {
    const { ca, log } = this.#needs
    const { rotation } = ca
    if (!rotation || !this.#membership) return
    const { next } = this.#plan(rotation, this.#nodes())
    if (!next) return
    try {
      await ca.advanceRotation({ phase: next })
      log.warning('The rotation of the CA has reached its next phase', { kind: rotation.kind, phase: next })
    } catch (error) {
      log.error('The rotation of the CA could not go on', { phase: next, reason: messageOf(error) })
    }
  }

  #plan(rotation: StoredRotation, nodes: readonly RotationNode[]): RotationStep {
    return planRotation(rotation, nodes)
  }

  #nodes(): RotationNode[] {
    const { ca } = this.#needs
    return ca.validNodes().map((nodeId) => {
      const member = this.#membership?.get(nodeId)
      return {
        nodeId,
        status: member?.status ?? 'absent',
        trustedRoots: member?.record.trustedRoots ?? [],
        hasNewCertificate: member !== undefined && ca.isOfCurrentCa(member.record.certificateSerial),
      }
    })
  }
}

function isUnderWay(rotation: StoredRotation | undefined): boolean {
  return rotation !== undefined && rotation.phase !== 'done'
}

function isAmong(nodes: readonly RotationNode[], nodeId: NodeId): boolean {
  return nodes.some((node) => node.nodeId === nodeId)
}
