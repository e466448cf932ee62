import type { Component } from '../../base/component.ts'
import { type ControlStore, getJson, jsonValue } from '../../base/control-store.ts'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { LogLine, LogReader } from '../../base/log-line.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type {
  AlertsApi,
  AlertsWire,
  AlertTest,
  AlertWire,
  AttentionItem,
  SilenceRequest,
  SilenceWire,
} from '../../service/index.ts'
import { person } from '../events/deployment-happenings.ts'
import type { EventRecorder } from '../events/event-store.ts'
import { serviceEndOf } from '../events/log-happenings.ts'
import { type Alert, type AlertNotice, type Condition, type Silence, silencesOf } from './alert.ts'
import { AlertMachine, isFlapping } from './alert-machine.ts'
import { alertMessage } from './alert-message.ts'
import { ErrorRise } from './error-rise.ts'
import { attempt, Outbox } from './outbox.ts'
import { RepeatedEnds } from './repeated-ends.ts'
import type { AlertSender } from './send/alert-sender.ts'

export interface AlertsNeeds {
  clock: Clock
  random: Random
  log: Logger
  /** Keeps what fires, what is silenced, and what is to be sent. */
  store: ControlStore
  membership: Pick<Membership, 'onChange'>
  /** What trouble there is now. */
  attention: () => readonly AttentionItem[]
  logs: Pick<LogReader, 'subscribe'>
  recorder: EventRecorder
  senders: readonly AlertSender[]
}

/** Time itself makes alerts: of what does not end, of what does not come back. */
const EVALUATE_MS = 5_000
/** Lines that came later than this count for nothing. */
const LATE_MS = 300_000
const STATE = 'alerts/state'
const SILENCES = 'alerts/silences'
const SILENCES_MAX = 100
const SILENCE_MS_MAX = 366 * 86_400_000
const RANKS = { error: 0, warning: 1, info: 2 } as const

/** A coordinator's alerts: what trouble lasts is told, to the timeline and to every target. */
export function createAlerts(needs: AlertsNeeds, options: { cluster: string }): AlertsApi & Component {
  return new ClusterAlerts(needs, options)
}

class ClusterAlerts implements AlertsApi, Component {
  readonly name = 'alerts'
  readonly #needs: AlertsNeeds
  readonly #cluster: string
  readonly #log: Logger
  readonly #outbox: Outbox
  readonly #errors = new ErrorRise()
  readonly #ends = new RepeatedEnds()
  readonly #stopped = new AbortController()
  readonly #listeners = new Set<() => void>()
  #machine = new AlertMachine([], 0)
  #silences: Silence[] = []
  #timer: Timer | undefined
  #unlisten = (): void => {}
  #following: Promise<void> = Promise.resolve()
  #storing: Promise<unknown> = Promise.resolve()
  #isFailing = false

  constructor(needs: AlertsNeeds, { cluster }: { cluster: string }) {
    this.#needs = needs
    this.#cluster = cluster
    this.#log = needs.log.child('Alerts')
    this.#outbox = new Outbox({ ...needs, log: this.#log, onChange: () => this.#tell() }, needs.senders)
  }

  async start(_signal: AbortSignal): Promise<void> {
    const { store, clock, membership } = this.#needs
    this.#machine = new AlertMachine((await getJson<Alert[]>(store, STATE)) ?? [], clock.wallMs())
    this.#silences = (await getJson<Silence[]>(store, SILENCES)) ?? []
    await this.#outbox.start()
    this.#following = this.#followLogs()
    this.#timer = clock.every(EVALUATE_MS, () => this.#evaluate())
    this.#unlisten = membership.onChange(() => this.#evaluate())
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    this.#unlisten()
    this.#stopped.abort()
    await this.#following
    await this.#storing.catch(() => {})
    await this.#outbox.stop()
  }

  list(): AlertsWire {
    const nowMs = this.#needs.clock.wallMs()
    const shown = this.#machine.alerts.filter(
      ({ state, resolvedMs }) => state !== 'pending' || resolvedMs !== undefined,
    )
    return {
      alerts: shown.sort(firingFirst).map((alert) => alertWire(alert, this.#silences, nowMs)),
      silences: this.#silences.filter(({ untilMs }) => untilMs > nowMs).map(silenceWire),
      targets: this.#outbox.targets(),
    }
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async acknowledge(id: string, by: string, note: string | undefined): Promise<boolean> {
    const { clock, recorder } = this.#needs
    if (!this.#machine.acknowledge(id, by, clock.wallMs(), note)) return false
    this.#tell()
    await this.#store([])
    const alert = this.#machine.alerts.find((one) => one.id === id)
    const title = `${person(by)} takes care of: ${alert?.title ?? id}`
    recorder.record({
      timeMs: clock.wallMs(),
      kind: 'alert',
      severity: 'info',
      title,
      detail: note,
      nodeId: alert?.nodeId,
      service: alert?.service,
    })
    return true
  }

  async silence(request: SilenceRequest, by: string): Promise<SilenceWire> {
    const { clock, random } = this.#needs
    const { alert_id: alertId, rule, node_id: nodeId, service, until, reason } = request
    const nowMs = clock.wallMs()
    const untilMs = Date.parse(until)
    const held = this.#silences.filter((silence) => silence.untilMs > nowMs)
    if (alertId === undefined && rule === undefined && nodeId === undefined && service === undefined) {
      throw refused('A silence names an alert, a rule, a node or a service: it must not cover everything')
    }
    if (!(untilMs > nowMs && untilMs <= nowMs + SILENCE_MS_MAX))
      throw refused('A silence ends within a year, and not in the past')
    if (held.length >= SILENCES_MAX) throw refused(`There are ${SILENCES_MAX} silences already: end some`)
    const silence: Silence = {
      id: Buffer.from(random.bytes(6)).toString('hex'),
      ...(alertId !== undefined && { alertId }),
      ...(rule !== undefined && { rule }),
      ...(nodeId !== undefined && { nodeId }),
      ...(service !== undefined && { service }),
      untilMs,
      by,
      ...(reason !== undefined && { reason }),
    }
    await this.#keepSilences([...held, silence])
    return silenceWire(silence)
  }

  async endSilence(id: string): Promise<boolean> {
    const left = this.#silences.filter((silence) => silence.id !== id)
    if (left.length === this.#silences.length) return false
    await this.#keepSilences(left)
    return true
  }

  async test(target: string | undefined, signal: AbortSignal): Promise<AlertTest> {
    const { clock, senders } = this.#needs
    const chosen = senders.filter(({ name }) => target === undefined || name === target)
    const nowMs = clock.wallMs()
    const condition = {
      id: 'test/alert',
      rule: 'test',
      severity: 'info',
      title: 'This is a test of the alerts',
      detail: 'Somebody asked for it. Nothing is wrong.',
      sinceMs: nowMs,
    } as const
    const message = alertMessage('test', condition, { cluster: this.#cluster, delivery: this.#delivery(), nowMs })
    const ended = AbortSignal.any([signal, this.#stopped.signal])
    const results = await Promise.all(
      chosen.map(async (sender) => {
        const beganMs = clock.nowMs()
        const failure = await attempt(clock, sender, message, ended)
        return {
          target: sender.name,
          sent: failure === undefined,
          duration_ms: Math.round(clock.nowMs() - beganMs),
          ...(failure !== undefined && { failure }),
        }
      }),
    )
    return { results }
  }

  #evaluate(): void {
    const { clock, attention } = this.#needs
    const nowMs = clock.wallMs()
    const conditions = [
      ...attention().flatMap(conditionOf),
      ...this.#errors.conditions(nowMs),
      ...this.#ends.conditions(nowMs),
    ]
    const { isChanged, notices } = this.#machine.step(nowMs, conditions, this.#silences)
    if (!isChanged) return
    this.#tell()
    for (const notice of notices) this.#record(notice)
    // What is in memory is right; the next change stores it again.
    this.#store(notices).then(
      () => (this.#isFailing = false),
      (error: unknown) => {
        if (!this.#isFailing) this.#log.error('Alerts could not be stored', { reason: messageOf(error) })
        this.#isFailing = true
      },
    )
  }

  /** What fires, and what is to be sent because of it, in one commit; then it is sent, also when the disk would not have it. */
  #store(notices: readonly AlertNotice[]): Promise<void> {
    const { clock, store } = this.#needs
    const messages = notices.map(({ type, alert }) =>
      alertMessage(type, alert, { cluster: this.#cluster, delivery: this.#delivery(), nowMs: clock.wallMs() }),
    )
    const { operations, send } = this.#outbox.prepare(messages)
    const kept = this.#machine.alerts.filter(({ state, resolvedMs }) => state !== 'pending' || resolvedMs !== undefined)
    const storing = this.#storing
      .catch(() => {})
      .then(() => store.transact({ operations: [{ type: 'put', key: STATE, value: jsonValue(kept) }, ...operations] }))
      .finally(send)
    this.#storing = storing
    return storing.then(() => {})
  }

  async #keepSilences(silences: Silence[]): Promise<void> {
    await this.#needs.store.transact({ operations: [{ type: 'put', key: SILENCES, value: jsonValue(silences) }] })
    this.#silences = silences
    this.#tell()
    this.#evaluate()
  }

  #tell(): void {
    for (const listener of this.#listeners) listener()
  }

  #record({ type, alert }: AlertNotice): void {
    if (type === 'reminder') return
    const { title, detail, nodeId, service, severity } = alert
    const isOver = type === 'resolved'
    this.#needs.recorder.record({
      timeMs: this.#needs.clock.wallMs(),
      kind: 'alert',
      severity: isOver ? 'info' : severity,
      title: isOver ? `Over: ${title}` : title,
      detail: isOver ? undefined : detail,
      nodeId,
      service,
    })
  }

  #delivery(): string {
    return Buffer.from(this.#needs.random.bytes(12)).toString('hex')
  }

  #count(line: LogLine): void {
    const { nodeId, timeMs, level } = line
    // A node that comes back brings the lines of days: they are no rise now.
    if (this.#needs.clock.wallMs() - timeMs >= LATE_MS) return
    const end = serviceEndOf(line)
    if (end?.hasEnded) this.#ends.add(end.service, timeMs, end.reason)
    else if (level === 'ERROR' || level === 'CRITICAL') this.#errors.add(nodeId, timeMs)
  }

  /** Never rejects. */
  async #followLogs(): Promise<void> {
    const { logs } = this.#needs
    const { signal } = this.#stopped
    try {
      for await (const lines of logs.subscribe({ level: 'WARNING' }, { signal })) {
        for (const line of lines) this.#count(line)
      }
    } catch (error) {
      if (!signal.aborted) this.#log.error('Log errors are not counted any more', { reason: messageOf(error) })
    }
  }
}

/** A suspicion is over within seconds, or a death. */
function conditionOf({ id, severity, title, detail, node_id: nodeId, service, remedy }: AttentionItem): Condition[] {
  if (severity === 'info' || (id.startsWith('node/') && severity !== 'error')) return []
  return [{ id, severity, title, detail, nodeId, service, remedy }]
}

function firingFirst(a: Alert, b: Alert): number {
  const rank = (alert: Alert): number => (alert.state === 'firing' ? RANKS[alert.severity] : 3)
  return rank(a) - rank(b) || (b.resolvedMs ?? b.sinceMs) - (a.resolvedMs ?? a.sinceMs)
}

function alertWire(alert: Alert, silences: readonly Silence[], nowMs: number): AlertWire {
  const {
    id,
    rule,
    state,
    severity,
    title,
    detail,
    remedy,
    nodeId,
    service,
    sinceMs,
    firedMs,
    resolvedMs,
    acknowledged,
  } = alert
  const silencedMs = Math.max(0, ...silencesOf(alert, silences, nowMs).map(({ untilMs }) => untilMs))
  return {
    id,
    rule,
    // One that begins anew is over until it fires.
    state: state === 'firing' ? 'firing' : 'resolved',
    severity,
    title,
    detail,
    ...(remedy !== undefined && { remedy }),
    ...(nodeId !== undefined && { node_id: nodeId }),
    ...(service !== undefined && { service }),
    since: iso(sinceMs),
    fired_at: iso(firedMs.at(-1) ?? sinceMs),
    ...(resolvedMs !== undefined && { resolved_at: iso(resolvedMs) }),
    is_flapping: isFlapping(alert, nowMs),
    ...(acknowledged && {
      acknowledged: {
        by: acknowledged.by,
        at: iso(acknowledged.atMs),
        ...(acknowledged.note !== undefined && { note: acknowledged.note }),
      },
    }),
    ...(silencedMs > 0 && { silenced_until: iso(silencedMs) }),
  }
}

function silenceWire({ id, alertId, rule, nodeId, service, untilMs, by, reason }: Silence): SilenceWire {
  return {
    id,
    ...(alertId !== undefined && { alert_id: alertId }),
    ...(rule !== undefined && { rule }),
    ...(nodeId !== undefined && { node_id: nodeId }),
    ...(service !== undefined && { service }),
    until: iso(untilMs),
    by,
    ...(reason !== undefined && { reason }),
  }
}

function refused(message: string): RpcError {
  return new RpcError('P2P_RPC_INVALID_PARAMS', message)
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}
