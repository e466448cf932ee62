import type { HistoryPoint, MachineMetrics } from '../../service/index.ts'
import type { MetricKind } from './metric-history.ts'
import type { MetricValues } from './metric-ring.ts'

/** What is kept of a machine over time, in this order; the field names of {@link HistoryPoint}. */
const FIELDS = [
  'cpu_percent',
  'memory_percent',
  'disk_percent',
  'network_rx_bytes_s',
  'network_tx_bytes_s',
  'load_1',
  'loop_lag_ms',
] as const

/** The history of a machine. */
export const MACHINE: MetricKind<HistoryPoint> = {
  fields: { count: FIELDS.length, peak: FIELDS.indexOf('loop_lag_ms') },
  pointOf,
}

export function valuesOf(metrics: MachineMetrics): MetricValues {
  const { cpu_percent: cpu, memory, disk, network_io: network, load_average: load, loop_lag_ms: lag } = metrics
  return [cpu, memory.percent, disk.percent, network?.rx_bytes_s ?? 0, network?.tx_bytes_s ?? 0, load[0] ?? 0, lag]
}

/** With two digits after the point: more would be noise, and is sent many times. */
function pointOf(timeMs: number, values: MetricValues): HistoryPoint {
  const point: Partial<Record<(typeof FIELDS)[number], number>> = {}
  FIELDS.forEach((field, index) => {
    point[field] = Math.round((values[index] as number) * 100) / 100
  })
  return { timestamp: new Date(timeMs).toISOString(), ...(point as Omit<HistoryPoint, 'timestamp'>) }
}
