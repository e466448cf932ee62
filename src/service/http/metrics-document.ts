import type { Clock } from '../../base/time.ts'
import type { ServiceDirectory, ServiceMetricsSource } from '../definition/descriptor.ts'
import { isoTime } from './node-view.ts'

interface MetricValue {
  value: number
  timestamp: string
  type: 'counter' | 'gauge' | 'timer'
}

/** `GET /metrics?format=json`: the JSON form the Python program answered `/metrics` with. */
export function metricsDocument(needs: {
  clock: Clock
  services: ServiceDirectory
  serviceMetrics: ServiceMetricsSource
}): Record<string, unknown> {
  const wallMs = needs.clock.wallMs()
  const timestamp = isoTime(wallMs)
  const all = needs.services.list()
  const alive = all.filter((service) => service.status === 'running').length
  const metrics = new Map(
    all.map((service) => [service.name, metricsOf(service.name, needs.serviceMetrics, timestamp)]),
  )
  const summaries = all.map((service) => [
    service.name,
    {
      status: service.status === 'running' ? 'alive' : 'dead',
      last_seen: timestamp,
      uptime: service.startedAtMs === undefined ? 0 : Math.max(0, (wallMs - service.startedAtMs) / 1000),
      total_metrics: Object.keys(metrics.get(service.name) ?? {}).length,
    },
  ])
  return {
    system: { total_services: all.length, alive_services: alive, dead_services: all.length - alive, timestamp },
    services: Object.fromEntries(metrics),
    health_summary: Object.fromEntries(summaries),
  }
}

/** A service's own metrics, and what was measured of its methods: `method_<name>_calls` and so on. */
function metricsOf(name: string, source: ServiceMetricsSource, timestamp: string): Record<string, MetricValue> {
  const values: Record<string, MetricValue> = {}
  const own = source.serviceMetrics().get(name)
  for (const [key, value] of Object.entries(own?.counters ?? {})) values[key] = { value, timestamp, type: 'counter' }
  for (const [key, value] of Object.entries(own?.gauges ?? {})) values[key] = { value, timestamp, type: 'gauge' }
  for (const [key, timer] of Object.entries(own?.timers ?? {})) {
    values[key] = { value: timer.avg_ms, timestamp, type: 'timer' }
  }
  for (const method of source.methodMetrics().filter(({ service }) => service === name)) {
    const { calls, errors, durationMsTotal } = method
    values[`method_${method.method}_calls`] = { value: calls, timestamp, type: 'counter' }
    values[`method_${method.method}_errors`] = { value: errors, timestamp, type: 'counter' }
    const meanMs = calls > 0 ? durationMsTotal / calls : 0
    values[`method_${method.method}_duration_ms`] = { value: meanMs, timestamp, type: 'timer' }
  }
  return values
}
