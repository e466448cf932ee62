import { z } from 'zod'
import { toHex } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { messageOf } from '../../base/errors.ts'
import type { NodeId, NodeRole } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import {
  type Caller,
  defineService,
  HISTORY_POINT,
  HISTORY_POINTS_MAX,
  HISTORY_RANGES,
  MACHINE_METRICS,
  method,
  type NodeReport,
  type ServiceDefinition,
} from '../../service/index.ts'
import type { MachineSampler } from './machine-sampler.ts'
import { ServiceMeter, type ServiceMeterNeeds } from './service-meter.ts'

export interface MetricsReporterNeeds extends ServiceMeterNeeds {
  clock: Clock
  random: Random
  log: Logger
  membership: Membership
  calls: Caller
  sampler: MachineSampler
  /** Calls of services here since the start, by the node they came from. */
  callsByNode: () => ReadonlyMap<NodeId, number>
  /** Unix milliseconds. */
  certificate: () => { notBeforeMs: number; notAfterMs: number }
  /** On a coordinator: takes its own reports. */
  own?: { report(nodeId: NodeId, report: NodeReport): void } | undefined
}

export interface MetricsReporterOptions {
  nodeId: NodeId
  role: NodeRole
  softwareVersion: string
}

/** Seconds between two reports. */
const INTERVAL_S_DEFAULT = 4
const INTERVAL_S_MAX = 300
const ANSWER_MS_MAX = 10_000
/** Coordinators that are told: more would be no cluster of this program. */
const COORDINATORS_MAX = 8
const TRACE_ID_BYTES = 16
const METHOD = 'metrics_dashboard/report_metrics'

/** Reports this node to every coordinator that is alive. */
export interface MetricsReporter {
  /** To be registered before the services start. */
  readonly service: ServiceDefinition
}

export function createMetricsReporter(
  needs: MetricsReporterNeeds,
  options: MetricsReporterOptions,
): MetricsReporter & Component {
  return new PeriodicReporter(needs, options)
}

class PeriodicReporter implements MetricsReporter, Component {
  readonly name = 'metrics-reporter'
  readonly service: ServiceDefinition
  readonly #needs: MetricsReporterNeeds
  readonly #options: MetricsReporterOptions
  readonly #log: Logger
  readonly #meter: ServiceMeter
  readonly #stop = new AbortController()
  #timer: Timer | undefined
  #reporting: Promise<void> | undefined
  #intervalS = INTERVAL_S_DEFAULT
  #isRunning = false
  #takenMs: number | undefined
  #callsBefore: ReadonlyMap<NodeId, number> = new Map()
  #sent = 0
  #failed = 0
  #lastSentMs: number | undefined
  #failure: string | undefined

  constructor(needs: MetricsReporterNeeds, options: MetricsReporterOptions) {
    this.#needs = needs
    this.#options = options
    this.#log = needs.log.child('Metrics')
    this.#meter = new ServiceMeter(needs)
    this.service = this.#defineService()
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#isRunning = true
    // Nodes that were started together must not all report together.
    this.#arm(this.#intervalS * 1_000 * this.#needs.random.float())
  }

  async stop(): Promise<void> {
    this.#isRunning = false
    this.#timer?.cancel()
    this.#stop.abort()
    await this.#reporting
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel()
    if (!this.#isRunning || this.#stop.signal.aborted) return
    this.#timer = this.#needs.clock.after(delayMs, () => {
      void this.#report()
      this.#arm(this.#intervalS * 1_000)
    })
  }

  /** One at a time; never rejects. */
  #report(): Promise<void> {
    this.#reporting ??= this.#reportNow().finally(() => {
      this.#reporting = undefined
    })
    return this.#reporting
  }

  async #reportNow(): Promise<void> {
    const { own } = this.#needs
    const { nodeId } = this.#options
    const report = this.#take()
    if (!report) return
    own?.report(nodeId, report)
    await Promise.all(this.#coordinators().map((coordinator) => this.#send(report, coordinator)))
  }

  /** @returns undefined until the machine has been measured */
  #take(): NodeReport | undefined {
    const { clock, sampler, certificate, callsByNode } = this.#needs
    const metrics = sampler.latest()
    if (!metrics) return undefined
    const nowMs = clock.nowMs()
    const seconds = Math.max(0.001, (nowMs - (this.#takenMs ?? nowMs - this.#intervalS * 1_000)) / 1_000)
    this.#takenMs = nowMs
    const calls = new Map(callsByNode())
    const { notBeforeMs, notAfterMs } = certificate()
    const report: NodeReport = {
      worker_id: this.#options.nodeId,
      sent_at: clock.wallMs(),
      seconds,
      metrics,
      services: this.#meter.take(),
      called_by: risen(this.#callsBefore, calls),
      certificate: { not_before: notBeforeMs, not_after: notAfterMs },
    }
    this.#callsBefore = calls
    return report
  }

  #coordinators(): NodeId[] {
    return this.#needs.membership
      .members()
      .filter(({ record, status }) => record.role === 'coordinator' && (status === 'alive' || status === 'suspect'))
      .map(({ record }) => record.nodeId)
      .filter((nodeId) => nodeId !== this.#options.nodeId)
      .slice(0, COORDINATORS_MAX)
  }

  /** What cannot be delivered is worth nothing a moment later: it is not sent again. Said once an outage. */
  async #send(report: NodeReport, coordinator: NodeId): Promise<void> {
    const { clock, random, calls } = this.#needs
    const { nodeId, role } = this.#options
    const context = {
      caller: { kind: 'node', nodeId, role } as const,
      traceId: toHex(random.bytes(TRACE_ID_BYTES)),
      deadlineMs: clock.nowMs() + ANSWER_MS_MAX,
      signal: this.#stop.signal,
      retries: 0,
    }
    try {
      await calls.call(METHOD, report, context, coordinator)
      this.#sent++
      this.#lastSentMs = clock.wallMs()
      this.#failure = undefined
    } catch (error) {
      if (this.#stop.signal.aborted) return
      this.#failed++
      const reason = messageOf(error)
      if (this.#failure === undefined)
        this.#log.debug('A coordinator does not take the metrics', { coordinator, reason })
      this.#failure = reason
    }
  }

  #state() {
    return {
      running: this.#isRunning,
      interval_seconds: this.#intervalS,
      reports_sent: this.#sent,
      reports_failed: this.#failed,
      ...(this.#lastSentMs !== undefined && { last_report: new Date(this.#lastSentMs).toISOString() }),
      ...(this.#failure !== undefined && { last_failure: this.#failure }),
      coordinators: this.#coordinators(),
    }
  }

  #defineService(): ServiceDefinition {
    const { sampler } = this.#needs
    return defineService({
      name: 'metrics_reporter',
      version: this.#options.softwareVersion,
      description: 'Measures this machine, and tells the coordinators',
      methods: {
        get_stats: method({
          description: 'Tells whether and to whom this node reports',
          public: true,
          requiredRole: 'viewer',
          params: z.strictObject({}),
          result: REPORTER_STATE,
          handler: () => this.#state(),
        }),
        control_reporter: method({
          description: 'Starts or stops the reports of this node until it starts again, or sends one at once',
          public: true,
          requiredRole: 'operator',
          params: z.strictObject({ action: z.enum(['start', 'stop', 'status', 'report_now']) }),
          result: REPORTER_STATE,
          handler: async ({ action }) => {
            if (action === 'report_now') await this.#report()
            if (action === 'start' || action === 'stop') {
              this.#isRunning = action === 'start'
              this.#arm(0)
            }
            return this.#state()
          },
        }),
        set_interval: method({
          description: 'Sets the time between two reports of this node until it starts again',
          public: true,
          requiredRole: 'operator',
          params: z.strictObject({ interval: z.int().min(1).max(INTERVAL_S_MAX).describe('Seconds') }),
          result: REPORTER_STATE,
          handler: ({ interval }) => {
            this.#intervalS = interval
            this.#arm(interval * 1_000)
            return this.#state()
          },
        }),
        get_samples: method({
          description: 'Shows what this node measured of its machine: the last seconds, or a longer time',
          public: true,
          requiredRole: 'viewer',
          params: z.strictObject({
            range: z.enum(HISTORY_RANGES).optional().describe('Absent: the last two minutes, a point a second'),
            points: z.int().min(1).max(HISTORY_POINTS_MAX).default(120),
          }),
          result: z.object({ metrics: MACHINE_METRICS.nullable(), history: z.array(HISTORY_POINT), count: z.int() }),
          handler: ({ range, points }) => {
            const history = range === undefined ? sampler.samples(points) : sampler.history(range, points)
            return { metrics: sampler.latest() ?? null, history, count: history.length }
          },
        }),
      },
    })
  }
}

const REPORTER_STATE = z.object({
  running: z.boolean(),
  interval_seconds: z.number(),
  reports_sent: z.int().describe('Taken by a coordinator, each counted by itself'),
  reports_failed: z.int(),
  last_report: z.string().optional().describe('ISO 8601, UTC'),
  last_failure: z.string().optional().describe('Absent while reports are taken'),
  coordinators: z.array(z.string()).describe('Who is told'),
})

function risen(before: ReadonlyMap<NodeId, number>, now: ReadonlyMap<NodeId, number>): Record<NodeId, number> {
  const rises = [...now].map(([nodeId, calls]): [NodeId, number] => [nodeId, calls - (before.get(nodeId) ?? 0)])
  return Object.fromEntries(rises.filter(([, calls]) => calls > 0))
}
