import type { HistoryPoint, MachineMetrics } from '../../service/index.ts'

/** What is kept of a machine over time, in this order; the field names of {@link HistoryPoint}. */
export const VALUE_FIELDS = [
  'cpu_percent',
  'memory_percent',
  'disk_percent',
  'network_rx_bytes_s',
  'network_tx_bytes_s',
  'load_1',
  'loop_lag_ms',
] as const

/** Of this one the largest is kept where others are averaged: a mean hides the one long delay. */
export const PEAK_FIELD = VALUE_FIELDS.indexOf('loop_lag_ms')

/** The values of `VALUE_FIELDS`, in their order. */
export type MachineValues = readonly number[]

export function valuesOf(metrics: MachineMetrics): MachineValues {
  const { cpu_percent: cpu, memory, disk, network_io: network, load_average: load, loop_lag_ms: lag } = metrics
  return [cpu, memory.percent, disk.percent, network?.rx_bytes_s ?? 0, network?.tx_bytes_s ?? 0, load[0] ?? 0, lag]
}

/** With two digits after the point: more would be noise, and is sent many times. */
export function pointOf(timeMs: number, values: MachineValues): HistoryPoint {
  const point: Partial<Record<(typeof VALUE_FIELDS)[number], number>> = {}
  VALUE_FIELDS.forEach((field, index) => {
    point[field] = Math.round((values[index] as number) * 100) / 100
  })
  return { timestamp: new Date(timeMs).toISOString(), ...(point as Omit<HistoryPoint, 'timestamp'>) }
}
