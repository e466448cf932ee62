import type { NodeId } from '../../base/identity.ts'
import type { ProgramReport, Upgrade, UpgradeNodeState } from './upgrade.ts'

export interface UpgradeStep {
  upgrade: Upgrade
  /** Nodes whose turn it is and that have not been asked. */
  ask: NodeId[]
}

const isBad = (state: UpgradeNodeState): boolean => state === 'failed' || state === 'returned'
const isOpen = (state: UpgradeNodeState): boolean => state !== 'waiting' && state !== 'done' && !isBad(state)

/** The upgrade after a node has said how far it is. What it says of another upgrade means that it has forgotten this one. */
export function withReport(upgrade: Upgrade, { nodeId, upgrade: told }: ProgramReport): Upgrade {
  if (told?.key === upgrade.key) return withState(upgrade, nodeId, told.state, told.reason)
  const present = upgrade.nodes.find((node) => node.nodeId === nodeId)
  return present && isOpen(present.state) ? withState(upgrade, nodeId, 'waiting') : upgrade
}

/** The upgrade with another state of one node, if it is one of its nodes and has not ended. */
export function withState(upgrade: Upgrade, nodeId: NodeId, state: UpgradeNodeState, reason?: string): Upgrade {
  const nodes = upgrade.nodes.map((node) => {
    const isChanged = node.nodeId === nodeId && !isBad(node.state) && node.state !== 'done'
    return isChanged ? { nodeId, state, ...(reason !== undefined && { reason }) } : node
  })
  return { ...upgrade, nodes }
}

/**
 * What comes next: the first wave that is not done is asked; after a failure nobody is asked any more, and the upgrade ends when
 * those under way have.
 */
export function stepUpgrade(upgrade: Upgrade, wallMs: number): UpgradeStep {
  if (upgrade.state !== 'running') return { upgrade, ask: [] }
  const stateOf = new Map(upgrade.nodes.map(({ nodeId, state }) => [nodeId, state]))
  const bad = upgrade.nodes.find(({ state }) => isBad(state))
  if (bad) {
    if (upgrade.nodes.some(({ state }) => isOpen(state))) return { upgrade, ask: [] }
    const reason = `${bad.nodeId}: ${bad.reason ?? bad.state}`
    return { upgrade: { ...upgrade, state: 'failed', reason, endedAtMs: wallMs }, ask: [] }
  }
  const wave = upgrade.waves.find((ids) => ids.some((id) => stateOf.get(id) !== 'done'))
  if (!wave) return { upgrade: { ...upgrade, state: 'succeeded', endedAtMs: wallMs }, ask: [] }
  return { upgrade, ask: wave.filter((id) => stateOf.get(id) === 'waiting') }
}

/**
 * Who is upgraded together: one worker alone, the others in batches, then the coordinators one by one, the one that leads last.
 */
export function upgradeWaves(
  nodes: readonly { nodeId: NodeId; role: 'coordinator' | 'worker' }[],
  { batch, leader }: { batch: number; leader: NodeId },
): NodeId[][] {
  const idsOf = (role: string): NodeId[] =>
    nodes
      .filter((node) => node.role === role)
      .map(({ nodeId }) => nodeId)
      .sort()
  const [first, ...workers] = idsOf('worker')
  const batches = Array.from({ length: Math.ceil(workers.length / batch) }, (_, index) =>
    workers.slice(index * batch, (index + 1) * batch),
  )
  const coordinators = idsOf('coordinator')
  const ordered = [...coordinators.filter((id) => id !== leader), ...coordinators.filter((id) => id === leader)]
  return [...(first === undefined ? [] : [[first]]), ...batches, ...ordered.map((id) => [id])]
}
