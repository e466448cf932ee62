import type { NodeId } from '../../base/identity.ts'

export interface HandOverInput {
  /** Where instances are to be. */
  target: ReadonlyMap<NodeId, number>
  /** In all, whether or not there is a place for them. */
  wanted: number
  /** What the plans say of nodes where instances do not suit any more. */
  leaving: ReadonlyMap<NodeId, number>
  /** Healthy ones now. */
  healthy: ReadonlyMap<NodeId, number>
  /** Nodes that keep theirs also where there is no other place for them. */
  lenders: ReadonlySet<NodeId>
}

/**
 * Instances that stay a while where they are no longer wanted (a node that is drained, say), until as many as are to be are healthy
 * where they are to be: the new one answers before the old one goes.
 * @returns by node, instances beyond the target's
 */
export function handOver({ target, wanted, leaving, healthy, lenders }: HandOverInput): Map<NodeId, number> {
  let placed = 0
  let good = 0
  for (const [nodeId, instances] of target) {
    placed += instances
    good += Math.min(instances, healthy.get(nodeId) ?? 0)
  }
  const kept = new Map<NodeId, number>()
  for (const [nodeId, instances] of leaving) {
    const due = lenders.has(nodeId) ? Math.max(wanted, placed) : placed
    const extra = Math.min(instances - (target.get(nodeId) ?? 0), due - good)
    if (extra <= 0) continue
    kept.set(nodeId, extra)
    good += extra
  }
  return kept
}
