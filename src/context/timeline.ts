import { join } from 'node:path'
import type { AuditFeed } from '../base/audit.ts'
import type { Component } from '../base/component.ts'
import type { ControlStore } from '../base/control-store.ts'
import type { Logger } from '../base/log.ts'
import type { LogReader } from '../base/log-line.ts'
import type { Membership } from '../base/member.ts'
import type { Timeline } from '../base/timeline.ts'
import type { NodeConfig } from '../config/index.ts'
import type { Orchestrator } from '../base/orchestrator.ts'
import { systemClock as clock, systemFiles as files, systemRandom as random } from '../platform/index.ts'
import type { AlertsApi, DashboardSource, WhyTeller } from '../service/index.ts'
import {
  alertSenders,
  type AlertTargets,
  createAlerts,
  createClusterWhy,
  createEventStore,
  createLogStore,
  createTimelineSources,
  storeThreads,
} from '../telemetry/coordinator/index.ts'
import type { LogStore } from '../telemetry/index.ts'
import type { ComponentStack } from './lifecycle.ts'
import { logStoreThreadUrl } from './program-files.ts'

export interface ClusterTimelineNeeds {
  log: Logger
  membership: Membership
  store: ControlStore
  logs: LogReader
  audit: AuditFeed
  deployments: Orchestrator
  metrics: DashboardSource
}

/** What a coordinator remembers of its cluster, and tells of it. */
export interface ClusterTimeline {
  /** To be started when gossip and deployments have. */
  components: Component[]
  /** What the HTTP surface offers beside. */
  admin: { timeline: Timeline; why: WhyTeller; alerts: AlertsApi }
}

/** The log lines of all nodes, on the coordinator's disk. */
export function createClusterLogs(log: Logger, config: NodeConfig): LogStore & Component {
  return createLogStore(
    { clock, files, log, openThread: storeThreads(logStoreThreadUrl()) },
    {
      directory: join(config.stateDirectory, 'logs'),
      retentionMs: config.logRetentionMs,
      bytesMax: config.logStoreBytesMax,
    },
  )
}

/** Builds it. The store is started: what it knows from before tells what is new. */
export async function createTimeline(
  stack: ComponentStack,
  { log, membership, store, logs, audit, deployments, metrics }: ClusterTimelineNeeds,
  { cluster, stateDirectory, alerts: targets }: { cluster: string; stateDirectory: string; alerts: AlertTargets },
): Promise<ClusterTimeline> {
  const timeline = await stack.start(
    createEventStore(
      { clock, files, log, openThread: storeThreads(logStoreThreadUrl()) },
      { directory: join(stateDirectory, 'events') },
    ),
  )
  const alerts = createAlerts(
    {
      clock,
      random,
      log,
      store,
      membership,
      attention: () => metrics.attention(),
      logs,
      recorder: timeline,
      senders: alertSenders(clock, targets),
    },
    { cluster },
  )
  return {
    components: [
      createTimelineSources({ clock, log, recorder: timeline, membership, store, logs, audit, deployments }),
      alerts,
    ],
    admin: { timeline, why: createClusterWhy({ clock, membership, metrics, deployments, timeline, logs }), alerts },
  }
}
