import { join } from 'node:path'
import type { Component } from '../base/component.ts'
import type { NodeIdentity } from '../base/identity.ts'
import type { Logger } from '../base/log.ts'
import type { Membership } from '../base/member.ts'
import { VERSION } from '../base/version.ts'
import {
  createIoCounters,
  createLoopLagMeter,
  systemClock as clock,
  systemFiles as files,
  systemRandom as random,
} from '../platform/index.ts'
import type { DashboardSource, MachineReading, ServiceDefinition, ServiceManager } from '../service/index.ts'
import {
  type ClusterMetrics,
  createClusterMetrics,
  createMachineSampler,
  createMetricFiles,
  createMetricsDashboardService,
  createMetricsReporter,
  type MachineSource,
} from '../telemetry/index.ts'

export interface MetricsNeeds {
  log: Logger
  machine: MachineSource
  membership: Membership
  services: ServiceManager
  /** Unix milliseconds. */
  certificate: () => { notBeforeMs: number; notAfterMs: number }
  /** How many instances of each deployed service there should be; on a coordinator. */
  wanted?: (() => ReadonlyMap<string, number>) | undefined
}

/** The parts of a node that measure it, and on a coordinator keep what all nodes measured. */
export interface Metrics {
  /** To be registered before the services start. */
  definitions: ServiceDefinition[]
  /** On a coordinator: what was measured before the last restart. To be started before the services; reads nothing yet. */
  files: Component[]
  /** To be started when services and gossip have. */
  components: Component[]
  /** What is told of as metrics of this node. */
  machines: () => readonly MachineReading[]
  /** On a coordinator. */
  dashboard: DashboardSource | undefined
}

export function createMetrics(
  { log, machine, membership, services, certificate, wanted }: MetricsNeeds,
  { identity: { nodeId, role }, stateDirectory }: { identity: NodeIdentity; stateDirectory: string },
): Metrics {
  const sampler = createMachineSampler(
    { clock, log, machine, io: createIoCounters(), openLoopLag: createLoopLagMeter },
    { statePath: stateDirectory },
  )
  const cluster =
    role === 'coordinator' ? createClusterMetrics({ clock, membership, ...(wanted && { wanted }) }) : undefined
  const reporter = createMetricsReporter(
    {
      clock,
      random,
      log,
      membership,
      calls: services,
      services,
      host: services.host,
      sampler,
      certificate,
      callsByNode: () => services.callsByNode(),
      own: cluster,
    },
    { nodeId, role, softwareVersion: VERSION },
  )
  const own = (): MachineReading[] => {
    const metrics = sampler.latest()
    return metrics ? [{ nodeId, metrics }] : []
  }
  return {
    definitions: [
      reporter.service,
      ...(cluster
        ? [
            createMetricsDashboardService(
              { clock, calls: services, metrics: cluster, nodeId },
              { softwareVersion: VERSION },
            ),
          ]
        : []),
    ],
    files: cluster ? metricFilesOf(cluster, log, join(stateDirectory, 'metrics')) : [],
    components: [sampler, reporter],
    // This machine as of this second, the others as they last told.
    machines: () => (cluster ? [...own(), ...cluster.machines().filter((known) => known.nodeId !== nodeId)] : own()),
    dashboard: cluster,
  }
}

function metricFilesOf(cluster: ClusterMetrics, log: Logger, directory: string): Component[] {
  return [
    createMetricFiles({ clock, files, log, histories: cluster.nodeHistories }, { directory }),
    createMetricFiles(
      { clock, files, log, histories: cluster.serviceHistories },
      { directory: join(directory, 'services') },
    ),
  ]
}
