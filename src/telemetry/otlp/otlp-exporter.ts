import type { Component } from '../../base/component.ts'
import { type NodeId, type NodeRole, principalLabel } from '../../base/identity.ts'
import type { LogEntry, Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { CallSpan, SpanListener } from '../../service/index.ts'
import { nodeMetrics, type NodeMetricsSource } from './node-metrics.ts'
import {
  type Attributes,
  logsRequest,
  metricsRequest,
  type OtlpLog,
  type OtlpMetric,
  type OtlpSpan,
  tracesRequest,
} from './otlp-json.ts'
import { OtlpSender, type Post, type SenderStats } from './otlp-sender.ts'

export interface OtlpExporterNeeds {
  clock: Clock
  random: Random
  /** Asked when there is something to say: its lines are exported too. */
  log: () => Logger
  /** Trace of the call on whose behalf code is running. */
  traceId: () => string | undefined
  post: Post
}

export interface OtlpExporterOptions {
  nodeId: NodeId
  role: NodeRole
  softwareVersion: string
  hostname: string
  /** Between two exports of the metrics. */
  metricsEveryMs: number
  /** Share of the traces that is told, 0 to 1; the same traces on all nodes. */
  traceRatio: number
}

/** Tells an OpenTelemetry collector of this node's log, calls and metrics. */
export interface OtlpExporter extends Component {
  /** Takes one line; a sink for `createLogger`. */
  readonly sink: (entry: LogEntry) => void
  readonly spans: SpanListener
  /** From now on metrics are told, and of which cluster all of it is. */
  watch(source: NodeMetricsSource, cluster: string): void
  stats(): { logs: SenderStats; spans: SenderStats; metrics: SenderStats }
}

const LOGS = { path: '/v1/logs', what: 'log lines', batchMax: 512, waitingMax: 8_192, gatherMs: 1_000 } as const
const SPANS = { path: '/v1/traces', what: 'spans', batchMax: 512, waitingMax: 8_192, gatherMs: 2_000 } as const
/** An old reading is worth little beside a new one. */
const METRICS = { path: '/v1/metrics', what: 'metrics', batchMax: 1, waitingMax: 4, gatherMs: 0 } as const
const LABEL_CHARACTERS_MAX = 256
/** As which all nodes are known to a collector; which of them it is, their instance ids say. */
const SERVICE_NAME = 'p2p-core'
/** What nodes tell of themselves all the time, which nobody asked for. */
const HOUSEKEEPING: readonly string[] = ['log_collector/add_logs', 'metrics_dashboard/report_metrics']

export function createOtlpExporter(needs: OtlpExporterNeeds, options: OtlpExporterOptions): OtlpExporter {
  return new HttpOtlpExporter(needs, options)
}

interface Reading {
  metrics: OtlpMetric[]
  timeMs: number
}

class HttpOtlpExporter implements OtlpExporter {
  readonly name = 'otlp'
  readonly spans: SpanListener
  readonly #needs: OtlpExporterNeeds
  readonly #options: OtlpExporterOptions
  readonly #startMs: number
  readonly #logs: OtlpSender<OtlpLog>
  readonly #calls: OtlpSender<OtlpSpan>
  readonly #metrics: OtlpSender<Reading>
  #timer: Timer | undefined
  #cluster: string | undefined

  constructor(needs: OtlpExporterNeeds, options: OtlpExporterOptions) {
    this.#needs = needs
    this.#options = options
    this.#startMs = needs.clock.wallMs()
    const { clock, random, post } = needs
    const sending = {
      clock,
      random,
      post,
      // The logger is made with this sink.
      get log() {
        return needs.log().child('Otlp')
      },
    }
    this.#logs = new OtlpSender(sending, { ...LOGS, encode: (items) => logsRequest(this.#resource(), items) })
    this.#calls = new OtlpSender(sending, { ...SPANS, encode: (items) => tracesRequest(this.#resource(), items) })
    this.#metrics = new OtlpSender(sending, {
      ...METRICS,
      encode: ([reading]) => metricsRequest(this.#resource(), reading?.metrics ?? [], reading?.timeMs ?? 0),
    })
    const { traceRatio } = options
    this.spans = {
      wants: (traceId) => isSampled(traceId, traceRatio),
      ended: (span) => {
        if (!HOUSEKEEPING.includes(span.method)) this.#calls.add(spanOf(span, needs.clock.wallMs()))
      },
    }
  }

  readonly sink = (entry: LogEntry): void => {
    this.#logs.add({ entry, traceId: this.#needs.traceId() })
  }

  watch(source: NodeMetricsSource, cluster: string): void {
    const { clock } = this.#needs
    this.#cluster = cluster
    this.#timer?.cancel()
    this.#timer = clock.every(this.#options.metricsEveryMs, () => {
      const metrics = nodeMetrics(source, this.#startMs)
      if (metrics.length > 0) this.#metrics.add({ metrics, timeMs: clock.wallMs() })
    })
  }

  stats() {
    return { logs: this.#logs.stats(), spans: this.#calls.stats(), metrics: this.#metrics.stats() }
  }

  async start(_signal: AbortSignal): Promise<void> {}

  async stop(): Promise<void> {
    this.#timer?.cancel()
    await Promise.all([this.#logs.stop(), this.#calls.stop(), this.#metrics.stop()])
  }

  #resource(): Attributes {
    const { nodeId, role, softwareVersion, hostname } = this.#options
    return {
      'service.name': SERVICE_NAME,
      ...(this.#cluster !== undefined && { 'service.namespace': this.#cluster }),
      'service.instance.id': nodeId,
      'service.version': softwareVersion,
      'host.name': hostname,
      'p2p.role': role,
    }
  }
}

/** By the last 56 bits of the trace id, which W3C Trace Context level 2 has random: every node decides alike. */
export function isSampled(traceId: string, ratio: number): boolean {
  return ratio >= 1 || Number.parseInt(traceId.slice(-14), 16) < ratio * 2 ** 56
}

function spanOf(span: CallSpan, endMs: number): OtlpSpan {
  const { traceId, spanId, parentSpanId, method, caller, calledNode, durationMs, error } = span
  const slash = method.indexOf('/')
  return {
    traceId,
    spanId,
    parentSpanId,
    kind: calledNode === undefined ? 'server' : 'client',
    name: method,
    startMs: endMs - durationMs,
    endMs,
    attributes: {
      'rpc.system': 'p2p',
      'rpc.service': method.slice(0, slash),
      'rpc.method': method.slice(slash + 1),
      'p2p.caller': principalLabel(caller).slice(0, LABEL_CHARACTERS_MAX),
      ...(calledNode !== undefined && { 'peer.service': SERVICE_NAME, 'server.address': calledNode }),
      ...(error && { 'error.type': error.code }),
    },
    error,
  }
}
