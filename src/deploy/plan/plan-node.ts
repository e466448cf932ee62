import type { NodeId, NodeRole } from '../../base/identity.ts'
import type { MemberStatus } from '../../base/member.ts'
import type { PlacementRule } from '../../base/deployment.ts'

/**
 * A node as the planner sees it. A node that holds instances and has not been heard of since the coordinator began belongs in the
 * list too, as `dead` since then: one that is not in the list is gone for good, and what it had is placed elsewhere at once.
 */
export interface PlanNode {
  nodeId: NodeId
  role: NodeRole
  /** As the node says; `role` and `node` are added by the planner. */
  labels: Readonly<Record<string, string>>
  capacity: { cpus: number; memoryBytes: number }
  status: MemberStatus
  /** How long it has had this status. */
  statusForMs: number
  isDraining: boolean
  /** Why it did not take its newest plan. */
  planFailure?: string
}

/** A node that is away keeps its instances this long, so that a restarted machine finds everything as it was. */
export const AWAY_GRACE_MS = 30_000

/** The labels that rules are held against: the node's own, and the two that every node has. */
export function labelsOf(node: PlanNode): Readonly<Record<string, string>> {
  return { ...node.labels, role: node.role, node: node.nodeId }
}

/** Whether a node is one where instances of the service may be at all. */
export function suits(node: PlanNode, { labels }: PlacementRule): boolean {
  const own = labelsOf(node)
  return !node.isDraining && Object.entries(labels).every(([name, value]) => own[name] === value)
}

/** Neither `dead` nor `left`. */
export function isPresent(node: PlanNode): boolean {
  return node.status === 'alive' || node.status === 'suspect'
}

/** What it had is placed elsewhere. */
export function isGone(node: PlanNode): boolean {
  return !isPresent(node) && node.statusForMs >= AWAY_GRACE_MS
}
