import type { DashboardSource } from '../../../../src/service/http/dashboard-source.ts'
import type {
  AttentionItem,
  CallEdge,
  DashboardMetrics,
  DashboardStats,
  HistoryPoint,
  MachineMetrics,
  NodeService,
  ServiceFigures,
  ServicePoint,
} from '../../../../src/service/http/dashboard-wire.ts'

export const MOMENT = '2026-01-01T00:00:00.000Z'

export function machineMetrics(cpuPercent = 12.5): MachineMetrics {
  return {
    cpu_percent: cpuPercent,
    cpu_count: 2,
    memory: { percent: 50, available: 500, used: 500, total: 1_000 },
    memory_usage_mb: 80,
    disk: { percent: 40, free: 600, used: 400, total: 1_000 },
    disk_io: { read_bytes: 1, write_bytes: 2, read_bytes_s: 3, write_bytes_s: 4 },
    network_io: { bytes_recv: 5, bytes_sent: 6, rx_bytes_s: 7, tx_bytes_s: 8 },
    load_average: [0.5, 0.4, 0.3],
    process_count: 99,
    loop_lag_ms: 1.5,
    timestamp: MOMENT,
  }
}

export function historyPoint(timeMs: number, cpuPercent = 12.5): HistoryPoint {
  return {
    timestamp: new Date(timeMs).toISOString(),
    cpu_percent: cpuPercent,
    memory_percent: 50,
    disk_percent: 40,
    network_rx_bytes_s: 7,
    network_tx_bytes_s: 8,
    load_1: 0.5,
    loop_lag_ms: 1.5,
  }
}

export const NODE_SERVICE: NodeService = {
  status: 'running',
  installed: true,
  description: 'Hosts',
  version: '1.2.0',
  wanted: 1,
  running: 1,
  healthy: 1,
  restarts: 0,
  calls_per_s: 0,
  error_ratio: 0,
  p50_ms: null,
  p99_ms: null,
}

export const INVENTORY_FIGURES: ServiceFigures = {
  name: 'inventory',
  wanted: 2,
  running: 2,
  healthy: 2,
  versions: ['1.2.0'],
  calls_per_s: 4,
  error_ratio: 0,
  p50_ms: 1,
  p99_ms: 9,
  nodes: ['coordinator-1', 'worker-1'],
}

/** A coordinator that has heard of itself and of `worker-1`; tests change what it says. */
export class StubDashboard implements DashboardSource {
  points = new Map<string, HistoryPoint[]>([
    ['coordinator-1', [historyPoint(1_000)]],
    ['worker-1', [historyPoint(1_000), historyPoint(5_000)]],
  ])
  cpuPercent = 12.5
  figures: ServiceFigures[] = [INVENTORY_FIGURES]
  edges: CallEdge[] = [{ from: 'coordinator-1', to: 'worker-1', calls_per_s: 2 }]
  items: AttentionItem[] = []

  metrics(): DashboardMetrics {
    const services = { inventory: NODE_SERVICE }
    return {
      timestamp: MOMENT,
      coordinator: {
        node_id: 'coordinator-1',
        timestamp: MOMENT,
        metrics: machineMetrics(),
        services,
        cluster_state: { total_workers: 1, connected_workers: 1, total_nodes: 2, nodes: ['coordinator-1', 'worker-1'] },
      },
      workers: { 'worker-1': { metrics: machineMetrics(this.cpuPercent), services, timestamp: MOMENT } },
      stats: this.stats(),
    }
  }

  stats(): DashboardStats {
    return {
      uptime_seconds: 60,
      uptime_start: MOMENT,
      active_workers: 1,
      total_updates: 2,
      total_services: 1,
      active_services: 1,
      last_cleanup: null,
    }
  }

  machines() {
    return [
      { nodeId: 'coordinator-1', metrics: machineMetrics() },
      { nodeId: 'worker-1', metrics: machineMetrics(this.cpuPercent) },
    ]
  }

  async history(nodeId: string, _range: string, points: number): Promise<HistoryPoint[] | undefined> {
    return this.points.get(nodeId)?.slice(-points)
  }

  recent(nodeId: string, afterMs: number, points: number): HistoryPoint[] {
    return (this.points.get(nodeId) ?? []).filter(({ timestamp }) => Date.parse(timestamp) > afterMs).slice(-points)
  }

  async serviceHistory(service: string, _range: string, points: number): Promise<ServicePoint[] | undefined> {
    if (!this.figures.some(({ name }) => name === service)) return undefined
    const point = { timestamp: MOMENT, calls_per_s: 4, errors_per_s: 0.5, p50_ms: 1, p99_ms: null }
    return Array.from({ length: Math.min(points, 3) }, () => point)
  }

  services(): ServiceFigures[] {
    return this.figures
  }

  calls(): CallEdge[] {
    return this.edges
  }

  attention(): AttentionItem[] {
    return this.items
  }
}
