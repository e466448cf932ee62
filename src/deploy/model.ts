import type { NodeId } from '../base/identity.ts'
import type { InstanceState, Permissions } from '../service/index.ts'

/** SHA-256 of a bundle's bytes, lower-case hex: the artifact's name everywhere. */
export type ArtifactDigest = string

/** How one version takes the place of another. */
export type UpdateStrategy =
  /** `batch` nodes at a time; the next ones when those are healthy. */
  | { kind: 'rolling'; batch: number }
  /** `nodes` first, watched for `watchMs`; then rolling. */
  | { kind: 'canary'; nodes: number; watchMs: number; batch: number }
  | { kind: 'all-at-once' }

/** Where instances may run and how they are spread. */
export interface PlacementRule {
  /** Labels a node must have, with these values. `role` and `node` are labels every node has. */
  labels: Readonly<Record<string, string>>
  /** Instances are spread over the values of this label first (for example `rack`); then, always, over nodes. */
  spreadBy?: string
  /** Instances of it on one node at most. */
  perNodeMax?: number
}

export type JobRule =
  /** Runs until it has ended well once on every chosen node, or its retries are used up. */
  | { kind: 'once'; retries: number }
  /** Runs at these times (croner's five or six fields) in this IANA time zone; a run that still goes on is not doubled. */
  | { kind: 'cron'; schedule: string; timeZone: string; retries: number }

/** What should run of one service: the desired state, as a person gave it. One a service; every change makes a new generation. */
export interface Deployment {
  service: string
  /** 1, 2, 3 …: of this service. */
  generation: number
  /**
   * The generation that last changed what its processes are made of (artifact, configuration, secrets, permissions, or a restart was
   * asked for): a change of count or placement alone starts nothing anew. `ServiceSpec.generation` is this one.
   */
  processGeneration: number
  artifact: ArtifactDigest
  version: string
  /** Instances in all, or one on every node that fits. */
  count: number | 'every'
  placement: PlacementRule
  update: UpdateStrategy
  /** A new version must be healthy this long before it counts; default 5,000. */
  healthyMs: number
  /** A new version that is not healthy after this has failed; default 30,000. */
  deadlineMs: number
  config: Readonly<Record<string, unknown>>
  /** The service's name of a secret → the secret's name in the cluster. */
  secrets: Readonly<Record<string, string>>
  /** The cluster's name of a secret → which of its values this generation uses, so that going back brings back the value too. */
  secretVersions?: Readonly<Record<string, number>>
  granted: Permissions
  /** Services that must be running (`healthy`: and healthy) somewhere before this one is started. */
  dependsOn: readonly { service: string; healthy: boolean }[]
  /** Megabytes and cores kept free for it on a node; 0: none. */
  reserve: { memoryMb: number; cpus: number }
  job?: JobRule
  isStopped: boolean
  /** Who made this generation, when (Unix ms), and with which command. */
  by: string
  atMs: number
  reason: string
}

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
  }[]
  /** The newest run of a job that was begun here: it is told until another one is. `exit`: how it ended, for people. */
  run?: { id: string; state: 'running' | 'succeeded' | 'failed'; exit?: string }
  /** Why the plan cannot be followed, with the remedy. */
  failure?: string
  /** A service that must be up before this one is started, and is not. */
  waitsFor?: string
  /** A person stopped it on this node alone. */
  isStoppedHere?: boolean
}

export interface NodeReport {
  nodeId: NodeId
  /** Of the plan that is being followed. */
  revision: number
  assignments: readonly AssignmentReport[]
}
