import type { NodeId } from './identity.ts'

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

/** What a service may do beside computing, reading its own folder, and writing its own data directory. */
export interface Permissions {
  /** Open connections and listen. */
  net: boolean
  /** Start programs. */
  childProcess: boolean
  /** Absolute paths (a directory means all below) it may read, beside its own folder. */
  read: readonly string[]
  /** The same for writing. */
  write: readonly string[]
}

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

/** What a person asks for; what is left out stays as it was, or gets its default for a new service. */
export interface DeployRequest {
  service: string
  artifact?: ArtifactDigest
  count?: number | 'every'
  placement?: PlacementRule
  update?: UpdateStrategy
  healthyMs?: number
  deadlineMs?: number
  config?: Record<string, unknown>
  secrets?: Record<string, string>
  granted?: Permissions
  dependsOn?: { service: string; healthy: boolean }[]
  reserve?: { memoryMb: number; cpus: number }
  /** null: it is a service that stays, and a job no more. */
  job?: JobRule | null
  /** Deploys although running callers use a method that would vanish or change incompatibly, or although the version goes backwards. */
  force?: boolean
  reason?: string
}

/** What a deployment would change, like a diff; made before it, with nothing changed. */
export interface DeployPlan {
  service: string
  fromVersion: string | undefined
  toVersion: string
  /** Field by field; values as short text. */
  changes: { path: string; from: string | undefined; to: string | undefined }[]
  /** By node: instances before and after. */
  nodes: { nodeId: NodeId; from: number; to: number; replaces: boolean }[]
  /** Methods that vanish or change so that a caller could break, and who calls them. */
  incompatible: { method: string; what: string; callers: string[] }[]
  /** Reasons why it would be refused; empty: it would be done. */
  refusals: { code: string; message: string }[]
  /** What a person should know beforehand. */
  warnings: string[]
}

export const ROLLOUT_STATES = ['running', 'succeeded', 'rolled-back', 'failed', 'superseded'] as const
export type RolloutState = (typeof ROLLOUT_STATES)[number]

export const ROLLOUT_NODE_STATES = [
  'waiting',
  'fetching',
  'starting',
  'watching',
  'done',
  'failed',
  'returned',
] as const
export type RolloutNodeState = (typeof ROLLOUT_NODE_STATES)[number]

/** One change of a service on its way through the cluster. */
export interface RolloutStatus {
  service: string
  generation: number
  fromVersion: string | undefined
  toVersion: string
  state: RolloutState
  /** Why, for people: what failed where, and the remedy. */
  reason: string | undefined
  /** Of all instances: how many are of the new generation and healthy. */
  done: number
  wanted: number
  nodes: {
    nodeId: NodeId
    state: RolloutNodeState
    reason?: string
  }[]
  startedAtMs: number
  endedAtMs: number | undefined
}

export interface HistoryEntry {
  deployment: Deployment
  state: RolloutState
  reason: string | undefined
  endedAtMs: number | undefined
}

export interface ServiceStatus {
  deployment: Deployment
  /** Healthy, running, wanted, over all nodes. */
  healthy: number
  running: number
  wanted: number
  instances: {
    nodeId: NodeId
    id: string
    version: string
    generation: number
    state: string
    health: string
    restarts: number
    reason?: string
    /** Where a program listens, by the names of `ports` in its manifest. */
    ports?: Readonly<Record<string, number>>
  }[]
  rollout: RolloutStatus | undefined
  /** Why fewer run than wanted, for people. */
  problems: string[]
  job?: {
    nextRunMs: number | undefined
    runs: { atMs: number; nodeId: NodeId; state: 'running' | 'succeeded' | 'failed'; exit?: string }[]
  }
}
