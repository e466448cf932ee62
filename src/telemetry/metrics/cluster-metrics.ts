import type { NodeId } from '../../base/identity.ts'
import type { Membership } from '../../base/member.ts'
import type { Clock } from '../../base/time.ts'
import type {
  AttentionItem,
  CallEdge,
  DashboardMetrics,
  DashboardSource,
  DashboardStats,
  HistoryPoint,
  HistoryRange,
  MachineReading,
  NodeReport,
  NodeService,
  ServiceFigures,
  ServicePoint,
} from '../../service/index.ts'
import { attentionOf, type MachineFacts } from './attention.ts'
import { AttentionLog } from './attention-log.ts'
import { addCalls, callFigures, type CallSums, emptySums, type KeptService, keptService } from './call-figures.ts'
import { CALLS, callValuesOf } from './call-values.ts'
import { KeptHistories } from './kept-histories.ts'
import { linearFit } from './linear-fit.ts'
import { MACHINE, valuesOf } from './machine-values.ts'
import type { MetricHistory } from './metric-history.ts'

export interface ClusterMetricsNeeds {
  clock: Clock
  membership: Membership
  /** How many instances a deployed service should have in all, where somebody knows; else what its nodes say. */
  wanted?: () => ReadonlyMap<string, number>
}

/** What a coordinator keeps of its cluster's machines and services. */
export interface ClusterMetrics extends DashboardSource {
  /** Takes what a node tells of itself. @returns false, and nothing has happened, when there are too many nodes already */
  report(nodeId: NodeId, report: NodeReport): boolean
  /** Forgets the history of a node, or of all nodes and services, that of before a restart too. @returns how many nodes that were */
  clear(nodeId?: NodeId): Promise<number>
  /** Of machines, by node id. */
  readonly nodeHistories: KeptHistories<HistoryPoint>
  /** Of calls, by service: taken when this coordinator reports itself. */
  readonly serviceHistories: KeptHistories<ServicePoint>
}

/** As many as the membership knows. */
const NODES_MAX = 4_096
/** A node that did not report for so long is not connected: three reports are missing. */
const FRESH_MS = 15_000
/** Forgotten once the membership has. */
const SWEEP_EVERY_REPORTS = 64
/** After a restart the membership is given so long to know again who is a member. */
const RESTORED_MS = 3_600_000
/** Services by name over all nodes; what nodes name beyond it is in their own pages only. */
const SERVICES_MAX = 2_048
/** Services with a history, of 48 kB at most each. */
const SERVICE_HISTORIES_MAX = 512
const TREND_MS = 3 * 3_600_000
const TREND_ROWS_MIN = 30

/** All in memory, which is where it is asked for: of each node its latest report and a history of at most 77 kB. */
export function createClusterMetrics(needs: ClusterMetricsNeeds): ClusterMetrics {
  return new ReportedMetrics(needs)
}

type KeptReport = Omit<NodeReport, 'services'> & { services: Readonly<Record<string, KeptService>> }

interface KnownNode {
  report: KeptReport
  receivedMs: number
  /** Wall time. */
  receivedWallMs: number
}

class ReportedMetrics implements ClusterMetrics {
  readonly nodeHistories = new KeptHistories(MACHINE, NODES_MAX)
  readonly serviceHistories = new KeptHistories(CALLS, SERVICE_HISTORIES_MAX)
  readonly #needs: ClusterMetricsNeeds
  readonly #nodes = new Map<NodeId, KnownNode>()
  readonly #attention = new AttentionLog()
  readonly #startedWallMs: number
  readonly #startedMs: number
  #reports = 0
  #lastCleanupMs: number | undefined

  constructor(needs: ClusterMetricsNeeds) {
    this.#needs = needs
    this.#startedWallMs = needs.clock.wallMs()
    this.#startedMs = needs.clock.nowMs()
  }

  report(nodeId: NodeId, report: NodeReport): boolean {
    const { clock } = this.#needs
    const known = this.#nodes.get(nodeId)
    if (!known && this.#nodes.size >= NODES_MAX) this.#sweep()
    if (!known && this.#nodes.size >= NODES_MAX) return false
    const receivedWallMs = clock.wallMs()
    this.nodeHistories.add(nodeId, receivedWallMs, valuesOf(report.metrics))
    this.#nodes.set(nodeId, { report: keptReport(report), receivedMs: clock.nowMs(), receivedWallMs })
    if (++this.#reports % SWEEP_EVERY_REPORTS === 0) this.#sweep()
    if (nodeId === this.#self) {
      const services = this.#serviceSums()
      for (const [name, { calls }] of services) this.serviceHistories.add(name, receivedWallMs, callValuesOf(calls))
      this.#attend(services)
    }
    return true
  }

  async clear(nodeId?: NodeId): Promise<number> {
    const cleared = nodeId === undefined ? this.#nodes.size : this.#nodes.has(nodeId) ? 1 : 0
    await this.nodeHistories.clear(nodeId)
    if (nodeId === undefined) await this.serviceHistories.clear()
    return cleared
  }

  metrics(): DashboardMetrics {
    const self = this.#self
    const own = this.#nodes.get(self)
    const members = this.#needs.membership.members()
    const workers = members.filter(({ record }) => record.role === 'worker')
    const others = this.#present().filter(([nodeId]) => nodeId !== self)
    return {
      timestamp: this.#now(),
      coordinator: {
        node_id: self,
        timestamp: isoTime(own?.receivedWallMs ?? this.#needs.clock.wallMs()),
        metrics: own?.report.metrics ?? null,
        services: own ? this.#servicesOf(self, own) : {},
        cluster_state: {
          total_workers: workers.length,
          connected_workers: workers.filter(({ status }) => status === 'alive').length,
          total_nodes: members.length,
          nodes: members.map(({ record }) => record.nodeId),
        },
      },
      workers: Object.fromEntries(
        others.map(([nodeId, known]) => [
          nodeId,
          {
            metrics: known.report.metrics,
            services: this.#servicesOf(nodeId, known),
            timestamp: isoTime(known.receivedWallMs),
          },
        ]),
      ),
      stats: this.stats(),
    }
  }

  stats(): DashboardStats {
    const { clock, membership } = this.#needs
    const services = this.services()
    const active = this.#present().filter(
      ([nodeId, known]) => membership.get(nodeId)?.record.role === 'worker' && this.#isFresh(known),
    )
    return {
      uptime_seconds: Math.round((clock.nowMs() - this.#startedMs) / 1_000),
      uptime_start: isoTime(this.#startedWallMs),
      active_workers: active.length,
      total_updates: this.#reports,
      total_services: services.length,
      active_services: services.filter(({ running }) => running > 0).length,
      last_cleanup: this.#lastCleanupMs === undefined ? null : isoTime(this.#lastCleanupMs),
    }
  }

  machines(): MachineReading[] {
    return this.#present().map(([nodeId, { report }]) => ({ nodeId, metrics: report.metrics }))
  }

  async history(nodeId: NodeId, range: HistoryRange, points: number): Promise<HistoryPoint[] | undefined> {
    await this.nodeHistories.restored()
    const history = this.#isMember(nodeId) ? this.nodeHistories.get(nodeId) : undefined
    if (history) return history.points(range, this.#needs.clock.wallMs(), points)
    return this.#known(nodeId) && []
  }

  recent(nodeId: NodeId, afterMs: number, points: number): HistoryPoint[] {
    return this.#isMember(nodeId) ? (this.nodeHistories.get(nodeId)?.recent(afterMs, points) ?? []) : []
  }

  async serviceHistory(service: string, range: HistoryRange, points: number): Promise<ServicePoint[] | undefined> {
    await this.serviceHistories.restored()
    const history = this.serviceHistories.get(service)
    if (history) return history.points(range, this.#needs.clock.wallMs(), points)
    return this.#serviceSums().has(service) ? [] : undefined
  }

  services(): ServiceFigures[] {
    const wanted = this.#needs.wanted?.()
    return [...this.#serviceSums()]
      .map(([name, { versions, nodes, failing: _failing, calls, ...counts }]) => ({
        name,
        ...counts,
        wanted: wanted?.get(name) ?? counts.wanted,
        versions: [...versions].sort(),
        ...callFigures(calls),
        nodes,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  calls(): CallEdge[] {
    return this.#alive().flatMap(([to, known]) =>
      this.#isFresh(known)
        ? Object.entries(known.report.called_by)
            // Whom a node names it may have made up.
            .filter(([from]) => this.#isMember(from))
            .map(([from, calls]) => ({
              from,
              to,
              calls_per_s: Math.round((calls / known.report.seconds) * 100) / 100,
            }))
        : [],
    )
  }

  attention(): AttentionItem[] {
    this.#attend(this.#serviceSums())
    return this.#attention.items
  }

  #attend(sumsOfAll: ReadonlyMap<string, ServiceSums>): void {
    const { clock, membership, wanted } = this.#needs
    const nowMs = clock.wallMs()
    const wantedNow = wanted?.()
    const found = attentionOf({
      nowMs,
      members: membership.members().map(({ record, status, sinceMs }) => ({ nodeId: record.nodeId, status, sinceMs })),
      services: [...sumsOfAll].map(([name, sums]) => ({
        name,
        ...sums,
        wanted: wantedNow?.get(name) ?? sums.wanted,
      })),
      machines: this.#alive().map(([nodeId, known]) =>
        machineFacts(nodeId, known, this.nodeHistories.get(nodeId), nowMs),
      ),
    })
    this.#attention.update(found, nowMs)
  }

  #serviceSums(): Map<string, ServiceSums> {
    const all = new Map<string, ServiceSums>()
    for (const [nodeId, known] of this.#alive()) {
      const isFresh = this.#isFresh(known)
      for (const [name, service] of Object.entries(known.report.services)) {
        let sums = all.get(name)
        if (!sums && all.size >= SERVICES_MAX) continue
        if (!sums) all.set(name, (sums = newSums()))
        sums.wanted += service.wanted
        sums.running += service.running
        sums.healthy += service.healthy
        sums.versions.add(service.version)
        sums.nodes.push(nodeId)
        const isFailing = service.status === 'error' || service.healthy < service.running
        if (isFailing) sums.failing.push({ nodeId, reason: service.reason })
        if (isFresh) addCalls(sums.calls, service, known.report.seconds)
      }
    }
    return all
  }

  #servicesOf(nodeId: NodeId, known: KnownNode): Record<string, NodeService> {
    const { report } = known
    const isFresh = this.#isFresh(known)
    const records = this.#needs.membership.get(nodeId)?.record.services ?? []
    const descriptions = new Map(records.map(({ name, description }) => [name, description]))
    const told = Object.entries(report.services).map(([name, service]): [string, NodeService] => {
      const { calls: _calls, errors: _errors, durations: _durations, ...facts } = service
      const sums = emptySums()
      if (isFresh) addCalls(sums, service, report.seconds)
      return [name, { ...facts, installed: true, description: descriptions.get(name) ?? '', ...callFigures(sums) }]
    })
    return Object.fromEntries(told)
  }

  #known(nodeId: NodeId): KnownNode | undefined {
    return this.#isMember(nodeId) ? this.#nodes.get(nodeId) : undefined
  }

  /** Nodes that reported and have not left; the dead ones too, whose last hours are of interest. */
  #present(): [NodeId, KnownNode][] {
    return [...this.#nodes].filter(([nodeId]) => this.#isMember(nodeId)).sort(([a], [b]) => (a < b ? -1 : 1))
  }

  #alive(): [NodeId, KnownNode][] {
    const { membership } = this.#needs
    return this.#present().filter(([nodeId]) => membership.get(nodeId)?.status !== 'dead')
  }

  #isMember(nodeId: NodeId): boolean {
    const status = this.#needs.membership.get(nodeId)?.status
    return status !== undefined && status !== 'left'
  }

  #isFresh({ receivedMs }: KnownNode): boolean {
    return this.#needs.clock.nowMs() - receivedMs < FRESH_MS
  }

  /** A node that restarts has left for a moment: only one that stays away loses its history. */
  #sweep(): void {
    if (this.#needs.clock.nowMs() - this.#startedMs > RESTORED_MS) {
      for (const [nodeId] of this.nodeHistories.all()) {
        if (!this.#isMember(nodeId) && !this.#nodes.has(nodeId)) this.nodeHistories.delete(nodeId)
      }
    }
    for (const [nodeId, { receivedMs }] of this.#nodes) {
      if (this.#isMember(nodeId) || this.#needs.clock.nowMs() - receivedMs < FRESH_MS) continue
      this.#nodes.delete(nodeId)
      this.nodeHistories.delete(nodeId)
      this.#lastCleanupMs = this.#needs.clock.wallMs()
    }
  }

  get #self(): NodeId {
    return this.#needs.membership.self().record.nodeId
  }

  #now(): string {
    return isoTime(this.#needs.clock.wallMs())
  }
}

interface ServiceSums {
  wanted: number
  running: number
  healthy: number
  versions: Set<string>
  nodes: NodeId[]
  failing: { nodeId: NodeId; reason: string | undefined }[]
  calls: CallSums
}

function newSums(): ServiceSums {
  return { wanted: 0, running: 0, healthy: 0, versions: new Set(), nodes: [], failing: [], calls: emptySums() }
}

function keptReport(report: NodeReport): KeptReport {
  const services = Object.entries(report.services).map(([name, service]) => [name, keptService(service)] as const)
  return { ...report, services: Object.fromEntries(services) }
}

function machineFacts(
  nodeId: NodeId,
  { report, receivedWallMs }: KnownNode,
  history: MetricHistory<HistoryPoint> | undefined,
  nowMs: number,
): MachineFacts {
  const { metrics, certificate, sent_at: sentAtMs } = report
  return {
    nodeId,
    disk: metrics.disk,
    diskPercentPerHour: history ? diskTrend(history, nowMs) : 0,
    // The way here is short beside what is called a wrong clock.
    clockBehindMs: receivedWallMs - sentAtMs,
    certificate: certificate && { notBeforeMs: certificate.not_before, notAfterMs: certificate.not_after },
  }
}

/** The straight line through the last hours' minutes; nothing is said of less than half an hour. */
function diskTrend(history: MetricHistory<HistoryPoint>, nowMs: number): number {
  const rows = history.rows('minutes', nowMs - TREND_MS)
  if (rows.length < TREND_ROWS_MIN) return 0
  const { slope, span } = linearFit(
    rows.map(({ timeMs, values }) => [timeMs / 3_600_000, values[DISK_PERCENT] as number]),
  )
  // Temporary files come and go: a rise below half a per cent is none.
  return slope * span >= 0.5 ? slope : 0
}

const DISK_PERCENT = 2

function isoTime(unixMs: number): string {
  return new Date(unixMs).toISOString()
}
