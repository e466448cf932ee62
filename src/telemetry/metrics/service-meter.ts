import type {
  MethodMetrics,
  ServiceDescription,
  ServiceDirectory,
  ServiceHost,
  ServiceMetricsSource,
  ServiceReport,
  ServiceState,
} from '../../service/index.ts'

export interface ServiceMeterNeeds {
  services: ServiceDirectory & Pick<ServiceMetricsSource, 'methodMetrics'>
  host: Pick<ServiceHost, 'states'>
}

/** Services of a node that are told: more than it has. */
const SERVICES_MAX = 512
const REASON_CHARACTERS_MAX = 500

/** Tells how the services of this node are, and which calls they had since it was last asked. */
export class ServiceMeter {
  readonly #needs: ServiceMeterNeeds
  #before = new Map<string, Totals>()

  constructor(needs: ServiceMeterNeeds) {
    this.#needs = needs
  }

  take(): Record<string, ServiceReport> {
    const totals = totalsOf(this.#needs.services.methodMetrics())
    const states = new Map(this.#needs.host.states().map((state) => [state.name, state]))
    const told = this.#needs.services.list().slice(0, SERVICES_MAX)
    const reports = told.map((service): [string, ServiceReport] => {
      const calls = callsSince(this.#before.get(service.name), totals.get(service.name))
      return [service.name, { ...instancesOf(service, states.get(service.name)), ...calls }]
    })
    this.#before = totals
    return Object.fromEntries(reports)
  }
}

interface Totals {
  calls: number
  errors: number
  /** Counts by bucket, and the buckets' bounds. */
  counts: number[]
  bounds: number[]
}

function totalsOf(methods: readonly MethodMetrics[]): Map<string, Totals> {
  const totals = new Map<string, Totals>()
  for (const { service, calls, errors, durations } of methods) {
    const known = totals.get(service)
    if (known) {
      known.calls += calls
      known.errors += errors
      durations.forEach(({ count }, index) => {
        known.counts[index] = (known.counts[index] ?? 0) + count
      })
    } else {
      totals.set(service, {
        calls,
        errors,
        counts: durations.map(({ count }) => count),
        bounds: durations.map(({ upToMs }) => upToMs),
      })
    }
  }
  return totals
}

/** A service that counts less than before has begun anew. */
function callsSince(
  before: Totals | undefined,
  now: Totals | undefined,
): Pick<ServiceReport, 'calls' | 'errors' | 'durations'> {
  if (!now) return { calls: 0, errors: 0, durations: [] }
  const isSame = before !== undefined && before.calls <= now.calls && before.counts.length === now.counts.length
  const known = isSame ? before : undefined
  const calls = now.calls - (known?.calls ?? 0)
  const errors = Math.min(calls, Math.max(0, now.errors - (known?.errors ?? 0)))
  if (calls === 0) return { calls, errors, durations: [] }
  const durations = now.bounds.map((bound, index): [number | null, number] => {
    const count = (now.counts[index] ?? 0) - (known?.counts[index] ?? 0)
    return [Number.isFinite(bound) ? bound : null, Math.max(0, count)]
  })
  return { calls, errors, durations }
}

function instancesOf(service: ServiceDescription, state: ServiceState | undefined) {
  const { name: _name, version, status, health, failure, healthReason } = service
  const isRunning = status === 'running'
  const reason = failure ?? healthReason
  const common = {
    status,
    version,
    ...(reason !== undefined && { reason: reason.slice(0, REASON_CHARACTERS_MAX) }),
  }
  // What runs in the node's own thread has one instance, and no process to measure.
  if (!state) {
    return {
      ...common,
      wanted: 1,
      running: isRunning ? 1 : 0,
      healthy: isRunning && health !== 'failing' ? 1 : 0,
      restarts: 0,
    }
  }
  const { instances, isStopped, wanted } = state
  const running = instances.filter((instance) => instance.state === 'running')
  const memory = instances.flatMap(({ memoryBytes }) => memoryBytes ?? [])
  const cpu = instances.flatMap(({ cpuPercent }) => cpuPercent ?? [])
  return {
    ...common,
    wanted: isStopped ? 0 : wanted,
    running: running.length,
    healthy: running.filter((instance) => instance.health === 'healthy').length,
    restarts: instances.reduce((sum, { restarts }) => sum + restarts, 0),
    ...(memory.length > 0 && { memory_bytes: memory.reduce((sum, bytes) => sum + bytes, 0) }),
    ...(cpu.length > 0 && { cpu_percent: Math.round(cpu.reduce((sum, percent) => sum + percent, 0) * 100) / 100 }),
  }
}
