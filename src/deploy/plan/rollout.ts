import type { NodeId } from '../../base/identity.ts'
import type { Deployment, UpdateStrategy } from '../../base/deployment.ts'
import type { RolloutState, RolloutStatus } from '../../base/deployment.ts'

export type NodeProgress = RolloutStatus['nodes'][number]['state']

/** One node on its way to another generation. */
export interface RolloutNode {
  nodeId: NodeId
  /** What its plan says; absent: nothing of this service yet. */
  generation?: number
  state: NodeProgress
  reason?: string
  /** It was given another generation by this rollout. */
  isTouched: boolean
  /** It does not answer; its times stand still. */
  isAway: boolean
  /** Its instances of the new generation have been healthy once. */
  wasHealthy: boolean
  /** Restarts its instances had before, where they are not started anew. */
  restartsBefore: number
  /** Time it had the generation and the artifact, and was not healthy. */
  pendingMs: number
  fetchingMs: number
  /** Time for which it has been healthy without a break. */
  healthyForMs: number
}

/**
 * One change of a service on its way through the cluster. Plain JSON with durations and no instants that anything depends on: it can
 * be stored and gone on with at any moment, and no clock that is set does it harm.
 */
export interface Rollout {
  to: number
  toVersion: string
  /** Process generations (see `Deployment`): where they are equal nothing is started anew, and all nodes change at once. */
  toProcess: number
  /** What it goes back to; absent: nothing of it ran before. */
  from?: number
  fromVersion?: string
  fromProcess?: number
  update: UpdateStrategy
  healthyMs: number
  deadlineMs: number
  /** Nodes that are to have the service in some generation at any time: lost ones are made good with the old one. */
  coveredNodes: number
  state: RolloutState
  /** It failed or was cancelled, and goes back. */
  isReturning: boolean
  hasCanaryPassed: boolean
  /** Its processes failed: they are not started again. */
  isBad: boolean
  reason?: string
  /** Time for which it could not begin; absent while it could. */
  heldMs?: number
  /** Healthy instances of the new generation. */
  done: number
  wanted: number
  nodes: RolloutNode[]
  startedAtMs: number
  endedAtMs?: number
}

/** A node that waits for its turn. */
export function waitingNode(nodeId: NodeId, generation: number | undefined): RolloutNode {
  return {
    nodeId,
    ...(generation !== undefined && { generation }),
    state: 'waiting',
    isTouched: false,
    isAway: false,
    wasHealthy: false,
    restartsBefore: 0,
    pendingMs: 0,
    fetchingMs: 0,
    healthyForMs: 0,
  }
}

export interface RolloutBeginning {
  to: Deployment
  /** The last one known to be good. */
  from: Deployment | undefined
  /** What the nodes' plans say now. */
  nodes: readonly { nodeId: NodeId; generation: number }[]
  wallMs: number
}

export function beginRollout({ to, from, nodes, wallMs }: RolloutBeginning): Rollout {
  const isSamePlace = from !== undefined && JSON.stringify(from.placement) === JSON.stringify(to.placement)
  return {
    to: to.generation,
    toVersion: to.version,
    toProcess: to.processGeneration,
    ...(from && { from: from.generation, fromVersion: from.version, fromProcess: from.processGeneration }),
    update: to.update,
    healthyMs: to.healthyMs,
    deadlineMs: to.deadlineMs,
    coveredNodes: isSamePlace ? nodes.length : 0,
    state: 'running',
    isReturning: false,
    hasCanaryPassed: false,
    isBad: false,
    done: 0,
    wanted: 0,
    nodes: nodes.map(({ nodeId, generation }) => waitingNode(nodeId, generation)),
    startedAtMs: wallMs,
  }
}

/** Of a change that takes effect at once: a stop, or a job. */
export function immediateRollout(beginning: RolloutBeginning): Rollout {
  return { ...beginRollout({ ...beginning, nodes: [] }), state: 'succeeded', endedAtMs: beginning.wallMs }
}

/** It failed before anything of it was known to be good: nothing of the service runs until a person says so. */
export function isKeptStopped({ state, isBad, from }: Rollout): boolean {
  return state === 'failed' && isBad && from === undefined
}
