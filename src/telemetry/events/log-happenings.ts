import type { LogLine } from '../../base/log-line.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { EventRecorder } from './event-store.ts'

/** The node's own word on a service that ended; a service's lines bear another logger's name. */
const SUPERVISION = 'Services'
const ENDS: Readonly<Record<string, Pick<ServiceEnd, 'severity' | 'text' | 'hasEnded'>>> = {
  'A service ended and is started again': { severity: 'warning', text: 'ended and is started again', hasEnded: true },
  'A service is not started again': { severity: 'error', text: 'was given up', hasEnded: true },
  'A service is ended': { severity: 'warning', text: 'is ended by its node', hasEnded: false },
}

export interface ServiceEnd {
  service: string
  severity: 'warning' | 'error'
  /** What happened to it. */
  text: string
  /** False while its node is about to end it: one of the other lines follows. */
  hasEnded: boolean
  /** As its node gave it. */
  reason: string | undefined
}

/** The end of a service that a line tells of, if it does. */
export function serviceEndOf(line: LogLine): ServiceEnd | undefined {
  const end = line.logger === SUPERVISION ? ENDS[line.message] : undefined
  if (!end) return undefined
  const { instance, reason } = JSON.parse(line.fieldsJson) as { instance?: unknown; reason?: unknown }
  if (typeof instance !== 'string') return undefined
  const service = instance.split('#')[0] as string
  return { service, ...end, reason: typeof reason === 'string' ? reason : undefined }
}

/** Tells of a service that ended, with the reason its node gave. @returns whether the line said so */
export function tellServiceEnd(recorder: EventRecorder, line: LogLine): boolean {
  const end = serviceEndOf(line)
  if (!end) return false
  const { service, severity, text, reason } = end
  const { timeMs, nodeId } = line
  recorder.record({
    timeMs,
    kind: 'health',
    severity,
    title: `${service} ${text} on ${nodeId}`,
    detail: reason,
    nodeId,
    service,
  })
  return true
}

/** The first count comes soon, the next ones ever later while errors go on. */
const COUNT_MS_MIN = 10_000
const COUNT_MS_MAX = 3_600_000
const NODES_MAX = 4_096

interface Count {
  lines: number
  first: LogLine
  last: LogLine
  spanMs: number
  timer: Timer
}

/** Counts the error lines of each node: one event tells of many. */
export class ErrorCounts {
  readonly #clock: Clock
  readonly #recorder: EventRecorder
  readonly #counts = new Map<string, Count>()

  constructor(clock: Clock, recorder: EventRecorder) {
    this.#clock = clock
    this.#recorder = recorder
  }

  add(line: LogLine): void {
    const count = this.#counts.get(line.nodeId)
    if (count) {
      if (count.lines++ === 0) count.first = line
      count.last = line
    } else if (this.#counts.size < NODES_MAX)
      this.#begin(line.nodeId, { lines: 1, first: line, last: line, spanMs: COUNT_MS_MIN })
  }

  stop(): void {
    for (const [nodeId, count] of this.#counts) {
      count.timer.cancel()
      this.#tell(nodeId, count)
    }
    this.#counts.clear()
  }

  #begin(nodeId: string, count: Omit<Count, 'timer'>): void {
    this.#counts.set(nodeId, { ...count, timer: this.#clock.after(count.spanMs, () => this.#end(nodeId)) })
  }

  #end(nodeId: string): void {
    const count = this.#counts.get(nodeId)
    if (!count) return
    this.#tell(nodeId, count)
    if (count.lines === 0) this.#counts.delete(nodeId)
    else this.#begin(nodeId, { ...count, lines: 0, spanMs: Math.min(2 * count.spanMs, COUNT_MS_MAX) })
  }

  #tell(nodeId: string, { lines, first, last }: Count): void {
    if (lines === 0) return
    this.#recorder.record({
      timeMs: last.timeMs,
      kind: 'log',
      severity: 'error',
      title: lines === 1 ? `${nodeId} logged an error` : `${nodeId} logged ${lines} errors`,
      detail: lines === 1 ? `${first.logger}: ${first.message}` : `The first, ${first.logger}: ${first.message}`,
      nodeId,
      traceId: lines === 1 && first.traceId !== '' ? first.traceId : undefined,
    })
  }
}
