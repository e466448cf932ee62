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
} from '../../service/index.ts'
import { attentionOf, type MachineFacts } from './attention.ts'
import { AttentionLog } from './attention-log.ts'
import { addCalls, callFigures, type CallSums, emptySums, type KeptService, keptService } from './call-figures.ts'
import { linearFit } from './linear-fit.ts'
import { valuesOf } from './machine-values.ts'
import { type LastingRing, MetricHistory, REPORTS } from './metric-history.ts'
import type { NodeRow } from './metric-record.ts'

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
  /** Forgets the history of a node, or of all, that of before a restart too. @returns how many nodes that were */
  clear(nodeId?: NodeId): Promise<number>
  /** What the histories take now. */
  readonly historyBytes: number
  /** @param listener told when histories were cleared @returns a function that unregisters it */
  onClear(listener: () => void): () => void
  /** Of all nodes there is one of. */
  histories(): Iterable<[NodeId, MetricHistory]>
  /**
   * Once, before anybody asks.
   * @param read gives back the histories of before the restart, and never rejects; called when first asked about the past
   */
  restoreWith(read: (restore: RestoreRow) => Promise<void>): void
  /** Resolves when the histories of before the restart are back. What is reported meanwhile is put behind them. */
  restored(): Promise<void>
}

/** Takes back a row of a node's history: the oldest first, hours before minutes. */
export type RestoreRow = (ring: LastingRing, row: NodeRow) => void

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
const TREND_MS = 3 * 3_600_000
const TREND_ROWS_MIN = 30

/** All in memory, which is where it is asked for; `createMetricFiles` keeps the histories on disk beside. At most HISTORY_BYTES_MAX a node, and its latest report. */
export function createClusterMetrics(needs: ClusterMetricsNeeds): ClusterMetrics {
  return new ReportedMetrics(needs)
}

type KeptReport = Omit<NodeReport, 'services'> & { services: Readonly<Record<string, KeptService>> }

interface KnownNode {
  report: KeptReport
  receivedMs: number
  /** Wall time. */
  receivedWallMs: number
  history: MetricHistory
}

class ReportedMetrics implements ClusterMetrics {
  readonly #needs: ClusterMetricsNeeds
  readonly #nodes = new Map<NodeId, KnownNode>()
  /** Histories from before the restart of nodes that have not reported since. */
  readonly #restored = new Map<NodeId, MetricHistory>()
  readonly #clearListeners = new Set<() => void>()
  readonly #attention = new AttentionLog()
  readonly #startedWallMs: number
  readonly #startedMs: number
  #readPast: ((restore: RestoreRow) => Promise<void>) | undefined
  #restoring: Promise<void> | undefined
  #reports = 0
  #lastCleanupMs: number | undefined

  constructor(needs: ClusterMetricsNeeds) {
    this.#needs = needs
    this.#startedWallMs = needs.clock.wallMs()
    this.#startedMs = needs.clock.nowMs()
  }

  get historyBytes(): number {
    const histories = [...this.#restored.values(), ...[...this.#nodes.values()].map(({ history }) => history)]
    return histories.reduce((sum, { bytes }) => sum + bytes, 0)
  }

  report(nodeId: NodeId, report: NodeReport): boolean {
    const { clock } = this.#needs
    const known = this.#nodes.get(nodeId)
    if (!known && this.#nodes.size >= NODES_MAX) this.#sweep()
    if (!known && this.#nodes.size >= NODES_MAX) return false
    const receivedWallMs = clock.wallMs()
    const history = known?.history ?? this.#restored.get(nodeId) ?? new MetricHistory(REPORTS)
    this.#restored.delete(nodeId)
    history.add(receivedWallMs, valuesOf(report.metrics))
    this.#nodes.set(nodeId, { report: keptReport(report), receivedMs: clock.nowMs(), receivedWallMs, history })
    if (++this.#reports % SWEEP_EVERY_REPORTS === 0) this.#sweep()
    if (nodeId === this.#self) this.#attend()
    return true
  }

  onClear(listener: () => void): () => void {
    this.#clearListeners.add(listener)
    return () => this.#clearListeners.delete(listener)
  }

  *histories(): Generator<[NodeId, MetricHistory]> {
    yield* this.#restored
    for (const [nodeId, { history }] of this.#nodes) yield [nodeId, history]
  }

  restoreWith(read: (restore: RestoreRow) => Promise<void>): void {
    this.#readPast = read
  }

  restored(): Promise<void> {
    return (this.#restoring ??= this.#restore())
  }

  /** Apart from what is reported meanwhile: rows come in order, and half a past is shown to nobody. */
  async #restore(): Promise<void> {
    const past = new Map<NodeId, MetricHistory>()
    await this.#readPast?.((ring, { nodeId, timeMs, values }) => {
      let history = past.get(nodeId)
      if (!history && past.size >= NODES_MAX) return
      if (!history) past.set(nodeId, (history = new MetricHistory(REPORTS)))
      history.restore(ring, timeMs, values)
    })
    for (const [nodeId, history] of past) {
      const known = this.#nodes.get(nodeId)
      if (!known) this.#restored.set(nodeId, history)
      else {
        history.addAll(known.history)
        known.history = history
      }
    }
  }

  async clear(nodeId?: NodeId): Promise<number> {
    await this.restored()
    const cleared = nodeId === undefined ? [...this.#nodes.keys()] : this.#nodes.has(nodeId) ? [nodeId] : []
    for (const id of cleared) {
      const known = this.#nodes.get(id) as KnownNode
      this.#nodes.set(id, { ...known, history: new MetricHistory(REPORTS) })
    }
    if (nodeId === undefined) this.#restored.clear()
    else this.#restored.delete(nodeId)
    for (const listener of this.#clearListeners) listener()
    return cleared.length
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
    await this.restored()
    const history = this.#known(nodeId)?.history ?? (this.#isMember(nodeId) ? this.#restored.get(nodeId) : undefined)
    return history?.points(range, this.#needs.clock.wallMs(), points)
  }

  recent(nodeId: NodeId, afterMs: number, points: number): HistoryPoint[] {
    return this.#known(nodeId)?.history.recent(afterMs, points) ?? []
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
    this.#attend()
    return this.#attention.items
  }

  #attend(): void {
    const { clock, membership, wanted } = this.#needs
    const nowMs = clock.wallMs()
    const wantedNow = wanted?.()
    const found = attentionOf({
      nowMs,
      members: membership.members().map(({ record, status, sinceMs }) => ({ nodeId: record.nodeId, status, sinceMs })),
      services: [...this.#serviceSums()].map(([name, sums]) => ({
        name,
        ...sums,
        wanted: wantedNow?.get(name) ?? sums.wanted,
      })),
      machines: this.#alive().map(([nodeId, known]) => machineFacts(nodeId, known, nowMs)),
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
      for (const nodeId of this.#restored.keys()) if (!this.#isMember(nodeId)) this.#restored.delete(nodeId)
    }
    for (const [nodeId, { receivedMs }] of this.#nodes) {
      if (this.#isMember(nodeId) || this.#needs.clock.nowMs() - receivedMs < FRESH_MS) continue
      this.#nodes.delete(nodeId)
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

function machineFacts(nodeId: NodeId, { report, receivedWallMs, history }: KnownNode, nowMs: number): MachineFacts {
  const { metrics, certificate, sent_at: sentAtMs } = report
  return {
    nodeId,
    disk: metrics.disk,
    diskPercentPerHour: diskTrend(history, nowMs),
    // The way here is short beside what is called a wrong clock.
    clockBehindMs: receivedWallMs - sentAtMs,
    certificate: certificate && { notBeforeMs: certificate.not_before, notAfterMs: certificate.not_after },
  }
}

/** The straight line through the last hours' minutes; nothing is said of less than half an hour. */
function diskTrend(history: MetricHistory, nowMs: number): number {
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
