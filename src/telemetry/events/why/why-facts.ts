import type { NodeId, NodeRole } from '../../../base/identity.ts'
import type { LogLine } from '../../../base/log-line.ts'
import type { MemberStatus } from '../../../base/member.ts'
import type { TimelineEvent } from '../../../base/timeline.ts'
import type { AttentionItem } from '../../../service/index.ts'

/** What is known beside the state of the one that is asked about. Moments are Unix milliseconds on the coordinator's clock. */
export interface WhyContext {
  nowMs: number
  /** Of it, and of the nodes it runs on; newest first. */
  events: readonly TimelineEvent[]
  /** About it. */
  attention: readonly AttentionItem[]
  /** Its last warnings and errors, newest first. */
  lines: readonly LogLine[]
}

export interface ServiceWhyFacts extends WhyContext {
  name: string
  wanted: number
  running: number
  healthy: number
  versions: readonly string[]
  /** Where it runs, or should. */
  nodes: readonly { nodeId: NodeId; status: MemberStatus }[]
  /** What its instances say of themselves that are not well. */
  failing: readonly { nodeId: NodeId; reason: string | undefined }[]
  /** Absent for a service that is no deployment. */
  deployment?: {
    version: string
    isStopped: boolean
    by: string
    /** Why fewer run than wanted. */
    problems: readonly string[]
    /** The rollout that is under way; what it waits for, where it says. */
    change: { waitsBecause: string | undefined } | undefined
  }
}

export interface NodeWhyFacts extends WhyContext {
  name: NodeId
  role: NodeRole
  status: MemberStatus
  sinceMs: number
  startedAtMs: number
  /** Services of it that are not well. */
  failing: readonly { service: string; reason: string | undefined }[]
}
