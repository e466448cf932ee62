import type { Deployment } from '../base/deployment.ts'
import type { NodeId } from '../base/identity.ts'
import type { InstanceState, MethodCallers } from '../service/index.ts'

/** What one node is to run of one service. */
export interface Assignment {
  service: string
  generation: number
  instances: number
  /** Full, so that a node alone can go on: everything but the secrets' values. */
  deployment: Deployment
  /** Of a job: the run to do now, once per id; absent: there is nothing to run at present. */
  run?: { id: string }
}

/** A node's part of the desired state, signed by the coordinator; the node keeps it and converges on it alone. */
export interface NodePlan {
  cluster: string
  nodeId: NodeId
  /** Rises with each plan of this node; a lower one is never taken. */
  revision: number
  assignments: readonly Assignment[]
  isDraining: boolean
}

/** What a node says of one service of its plan. */
export interface AssignmentReport {
  service: string
  generation: number
  /** Bytes on the disk, unpacked and checked. */
  hasArtifact: boolean
  instances: readonly {
    id: string
    /** The deployment's `processGeneration`. */
    generation: number | undefined
    state: InstanceState
    health: 'healthy' | 'failing'
    restarts: number
    reason?: string
    /** Where a program listens, by the names of `ports` in its manifest. */
    ports?: Readonly<Record<string, number>>
  }[]
  /** The newest run of a job that was begun here: it is told until another one is. `exit`: how it ended, for people. */
  run?: { id: string; state: 'running' | 'succeeded' | 'failed'; exit?: string }
  /** Why the plan cannot be followed, with the remedy. */
  failure?: string
  /** A service that must be up before this one is started, and is not. */
  waitsFor?: string
  /** A person stopped it on this node alone. */
  isStoppedHere?: boolean
  /** Who has called it here of late. */
  callers?: MethodCallers
}

export interface NodeReport {
  nodeId: NodeId
  /** Of the plan that is being followed. */
  revision: number
  assignments: readonly AssignmentReport[]
}
