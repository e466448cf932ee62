import type { CaRotationPhase, RotationLaggard } from '../../base/enrolment.ts'
import type { NodeId } from '../../base/identity.ts'

/** What is known of a node that holds a valid certificate of the cluster. */
export interface RotationNode {
  nodeId: NodeId
  /** As the membership sees it; `absent`: it has not been seen since this coordinator started. */
  status: RotationLaggard['status']
  /** Fingerprints of the roots it says it trusts. */
  trustedRoots: readonly string[]
  /** Whether the certificate it uses is of the issuing CA that issues now. */
  hasNewCertificate: boolean
}

export interface RotationFacts {
  kind: 'root' | 'issuing'
  phase: CaRotationPhase
  /** Fingerprints of the roots; equal when only the issuing CA is rotated. */
  oldRoot: string
  newRoot: string
  /** Who is no longer waited for. */
  leftBehind: readonly NodeId[]
}

export interface RotationStep {
  /** The phase to go to now; undefined while somebody is waited for, and at the end. */
  next: CaRotationPhase | undefined
  /** Who has not followed yet, and what is missing; of those who are waited for. */
  waitingFor: RotationLaggard[]
}

const AFTER: Record<CaRotationPhase, CaRotationPhase | undefined> = {
  distributing: 'renewing',
  renewing: 'dropping',
  dropping: 'done',
  done: undefined,
}

/**
 * What a rotation waits for and whether it goes on. A phase ends when every node that holds a valid certificate has followed: trusts the
 * new root, then has a certificate under it, then trusts the old one no more.
 */
export function planRotation(rotation: RotationFacts, nodes: readonly RotationNode[]): RotationStep {
  const waited = nodes.filter(({ nodeId }) => !rotation.leftBehind.includes(nodeId))
  const waitingFor = waited.flatMap((node): RotationLaggard[] => {
    const missing = missingOf(rotation, node)
    return missing ? [{ node_id: node.nodeId, status: node.status, missing }] : []
  })
  return { next: waitingFor.length > 0 ? undefined : AFTER[rotation.phase], waitingFor }
}

function missingOf(rotation: RotationFacts, node: RotationNode): RotationLaggard['missing'] | undefined {
  switch (rotation.phase) {
    case 'distributing':
      return node.trustedRoots.includes(rotation.newRoot) ? undefined : 'trust'
    case 'renewing':
      return node.hasNewCertificate ? undefined : 'certificate'
    case 'dropping':
      // There was no other root to drop.
      if (rotation.kind === 'issuing') return undefined
      return node.trustedRoots.includes(rotation.oldRoot) ? 'drop' : undefined
    case 'done':
      return undefined
  }
}
