import type { MachineMetrics, MethodMetrics, ServiceMetricsSource } from '../../service/index.ts'
import type { Attributes, OtlpMetric } from './otlp-json.ts'

export interface NodeMetricsSource {
  machine: () => MachineMetrics | undefined
  services: ServiceMetricsSource
}

/** Points of one metric at most: names are of services' authors, and one who makes them up must not fill a collector. */
const POINTS_MAX = 2_000

interface Point {
  attributes: Attributes
  value: number
}

/** What a node knows of its machine and services, named after OpenTelemetry's semantic conventions where they have a name. */
export function nodeMetrics({ machine, services }: NodeMetricsSource, startMs: number): OtlpMetric[] {
  const measured = machine()
  const metrics = [...(measured ? machineMetrics(measured) : []), ...methodMetrics(services.methodMetrics(), startMs)]
  const own = [...services.serviceMetrics()]
  const points = (pick: 'counters' | 'gauges'): Point[] =>
    own.flatMap(([service, snapshot]) =>
      Object.entries(snapshot[pick]).map(([name, value]) => ({ attributes: { service, name }, value })),
    )
  metrics.push(
    {
      name: 'p2p.service.count',
      unit: '1',
      description: 'Counters that services keep',
      kind: 'sum',
      startMs,
      points: points('counters'),
    },
    {
      name: 'p2p.service.value',
      unit: '1',
      description: 'Gauges that services set',
      kind: 'gauge',
      points: points('gauges'),
    },
  )
  return metrics
    .map((metric) => ({ ...metric, points: metric.points.slice(0, POINTS_MAX) }) as OtlpMetric)
    .filter((metric) => metric.points.length > 0)
}

function machineMetrics(metrics: MachineMetrics): OtlpMetric[] {
  const { memory, disk, network_io: network } = metrics
  const gauge = (name: string, unit: string, description: string, points: Point[]): OtlpMetric => ({
    name,
    unit,
    description,
    kind: 'gauge',
    points,
  })
  const one = (value: number): Point[] => [{ attributes: {}, value }]
  const both = (key: string, values: Readonly<Record<string, number>>): Point[] =>
    Object.entries(values).map(([name, value]) => ({ attributes: { [key]: name }, value }))
  return [
    gauge('system.cpu.utilization', '1', 'Share of all processors in use', one(metrics.cpu_percent / 100)),
    gauge('system.cpu.logical.count', '{cpu}', 'Processors', one(metrics.cpu_count)),
    gauge(
      'system.memory.usage',
      'By',
      'Memory by state',
      both('system.memory.state', { used: memory.used, free: memory.available }),
    ),
    gauge(
      'system.filesystem.usage',
      'By',
      "The file system of the node's state",
      both('system.filesystem.state', { used: disk.used, free: disk.free }),
    ),
    gauge('system.linux.load_1', '1', 'Load average over one minute', one(metrics.load_average[0] ?? 0)),
    ...(network
      ? [
          gauge(
            'p2p.machine.network.rate',
            'By/s',
            'Traffic of all interfaces but loopback',
            both('network.io.direction', { receive: network.rx_bytes_s, transmit: network.tx_bytes_s }),
          ),
        ]
      : []),
    gauge('process.memory.usage', 'By', 'Resident memory of the node', one(metrics.memory_usage_mb * 1_048_576)),
    gauge('nodejs.eventloop.delay.max', 's', 'Longest delay of the event loop', one(metrics.loop_lag_ms / 1_000)),
  ]
}

function methodMetrics(methods: readonly MethodMetrics[], startMs: number): OtlpMetric[] {
  const attributes = ({ service, method }: MethodMetrics): Attributes => ({
    'rpc.system': 'p2p',
    'rpc.service': service,
    'rpc.method': method,
  })
  return [
    {
      name: 'rpc.server.duration',
      unit: 'ms',
      description: 'Duration of finished calls of methods here',
      kind: 'histogram',
      startMs,
      points: methods.map((method) => ({
        attributes: attributes(method),
        sum: method.durationMsTotal,
        counts: method.durations.map(({ count }) => count),
        bounds: method.durations.map(({ upToMs }) => upToMs).filter(Number.isFinite),
      })),
    },
    {
      name: 'p2p.rpc.errors',
      unit: '{call}',
      description: 'Calls of methods here that failed or were refused',
      kind: 'sum',
      startMs,
      points: methods.map((method) => ({ attributes: attributes(method), value: method.errors })),
    },
  ]
}
