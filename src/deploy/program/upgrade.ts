import type { NodeId } from '../../base/identity.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { RolloutStatus } from '../../base/deployment.ts'

/** Under this name upgrades are told of like rollouts: the package's. */
export const PROGRAM_NAME = 'p2p-core'

export type UpgradeNodeState = RolloutStatus['nodes'][number]['state']

/** One change of the nodes' own program on its way through the cluster: as it is stored. */
export interface Upgrade {
  /** By which nodes know it; of no other upgrade of any coordinator. */
  key: string
  /** Counts the upgrades of this coordinator from 1. */
  number: number
  digest: ArtifactDigest
  version: string
  /** The oldest that a node ran before. */
  fromVersion: string
  /** Who is changed together, and in which order. */
  waves: NodeId[][]
  nodes: { nodeId: NodeId; state: UpgradeNodeState; reason?: string }[]
  state: 'running' | 'succeeded' | 'failed'
  reason?: string
  by: string
  /** Unix milliseconds. */
  startedAtMs: number
  endedAtMs?: number
}

/** What a node says of its program. */
export interface ProgramReport {
  nodeId: NodeId
  /** That runs. */
  version: string
  /** How far the last upgrade it was asked for is. */
  upgrade?: { key: string; state: UpgradeNodeState; reason?: string } | undefined
}

/** As a rollout of the program: what people are shown of both is the same. */
export function upgradeStatus(upgrade: Upgrade): RolloutStatus {
  const { number, version, fromVersion, nodes, state, reason, startedAtMs, endedAtMs } = upgrade
  return {
    service: PROGRAM_NAME,
    generation: number,
    fromVersion,
    toVersion: version,
    state,
    reason,
    done: nodes.filter((node) => node.state === 'done').length,
    wanted: nodes.length,
    nodes,
    startedAtMs,
    endedAtMs,
  }
}
