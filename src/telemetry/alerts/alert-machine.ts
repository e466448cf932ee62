import { type Alert, type AlertNotice, type Condition, isSilenced, type Silence } from './alert.ts'

/** How long a condition must hold before it fires: what passes by itself within that is no alert. */
const PENDING_MS: Readonly<Record<string, number>> = {
  node: 10_000,
  service: 15_000,
  disk: 120_000,
  clock: 30_000,
  certificate: 0,
  logs: 0,
}
const PENDING_MS_DEFAULT = 15_000
/** How long it must be gone before it counts as over. */
const QUIET_MS = 60_000
/** The same for what began to fire {@link FLAPS} times within {@link FLAP_WINDOW_MS}. */
const FLAPPING_QUIET_MS = 15 * 60_000
const FLAPS = 3
const FLAP_WINDOW_MS = 60 * 60_000
/** Between two reminders of what nobody has acknowledged. */
const REMIND_MS = { error: 4 * 3_600_000, warning: 24 * 3_600_000, info: 24 * 3_600_000 } as const
/** What is over is shown, and remembered for flapping, so long. */
const KEPT_MS = 24 * 3_600_000
const ALERTS_MAX = 500

/** What a step changed, and what is to be told. */
export interface AlertStep {
  /** Something must be stored. */
  isChanged: boolean
  notices: AlertNotice[]
}

/**
 * The life of alerts: pending, firing, resolved. It takes what trouble there is and the time; silences and acknowledgements only
 * decide who is told, not what fires.
 */
export class AlertMachine {
  readonly #alerts: Map<string, Alert>

  /** @param stored what fired when it was last stored: it is over no sooner than if it had been seen now, as no node has reported yet */
  constructor(stored: readonly Alert[], nowMs: number) {
    this.#alerts = new Map(stored.map((alert) => [alert.id, { ...alert, seenMs: nowMs }]))
  }

  get alerts(): Alert[] {
    return [...this.#alerts.values()]
  }

  step(nowMs: number, conditions: readonly Condition[], silences: readonly Silence[]): AlertStep {
    const step: AlertStep = { isChanged: false, notices: [] }
    const present = new Map(conditions.map((condition) => [condition.id, condition]))
    for (const condition of present.values()) this.#seen(condition, nowMs, step)
    for (const alert of this.#alerts.values()) {
      if (!present.has(alert.id)) this.#notSeen(alert, nowMs, step, silences)
      if (alert.state === 'firing') this.#tell(alert, nowMs, step, silences)
    }
    return step
  }

  /** @returns false when no such alert fires */
  acknowledge(id: string, by: string, atMs: number, note: string | undefined): boolean {
    const alert = this.#alerts.get(id)
    if (alert?.state !== 'firing') return false
    alert.acknowledged = { by, atMs, ...(note !== undefined && { note }) }
    return true
  }

  #seen(condition: Condition, nowMs: number, step: AlertStep): void {
    let alert = this.#alerts.get(condition.id)
    if (!alert) {
      if (this.#alerts.size >= ALERTS_MAX && !this.#makeRoom()) return
      const rule = condition.id.split('/')[0] as string
      alert = { ...condition, rule, state: 'pending', sinceMs: nowMs, seenMs: nowMs, firedMs: [] }
      this.#alerts.set(alert.id, alert)
    } else if (alert.state === 'resolved') {
      alert.state = 'pending'
      alert.sinceMs = nowMs
    }
    const isWorse = alert.state === 'firing' && alert.severity !== 'error' && condition.severity === 'error'
    Object.assign(alert, condition)
    alert.seenMs = nowMs
    if (isWorse) {
      step.isChanged = true
      // What was acknowledged was something milder.
      delete alert.acknowledged
      if (alert.toldMs !== undefined) {
        step.notices.push({ type: 'escalated', alert: { ...alert } })
        alert.toldMs = nowMs
      }
    }
    if (alert.state !== 'pending' || nowMs - alert.sinceMs < pendingMs(alert.rule)) return
    alert.state = 'firing'
    alert.firedMs = [...alert.firedMs, nowMs].filter((firedMs) => nowMs - firedMs < FLAP_WINDOW_MS).slice(-2 * FLAPS)
    delete alert.resolvedMs
    delete alert.acknowledged
    delete alert.toldMs
    step.isChanged = true
  }

  #notSeen(alert: Alert, nowMs: number, step: AlertStep, silences: readonly Silence[]): void {
    if (alert.state === 'pending') {
      // One that fired before goes back to what it was.
      if (alert.resolvedMs === undefined) this.#alerts.delete(alert.id)
      else alert.state = 'resolved'
      return
    }
    if (alert.state === 'resolved') {
      if (nowMs - (alert.resolvedMs ?? nowMs) < KEPT_MS) return
      this.#alerts.delete(alert.id)
      step.isChanged = true
      return
    }
    const quietMs = isFlapping(alert, nowMs) ? FLAPPING_QUIET_MS : QUIET_MS
    if (nowMs - alert.seenMs < quietMs) return
    alert.state = 'resolved'
    alert.resolvedMs = nowMs
    step.isChanged = true
    // Who was not told that it fired need not hear that it does not.
    if (alert.toldMs !== undefined && !isSilenced(alert, silences, nowMs)) {
      step.notices.push({ type: 'resolved', alert: { ...alert } })
    }
  }

  #tell(alert: Alert, nowMs: number, step: AlertStep, silences: readonly Silence[]): void {
    const { toldMs, acknowledged, severity } = alert
    if (toldMs !== undefined && (acknowledged || nowMs - toldMs < REMIND_MS[severity])) return
    if (isSilenced(alert, silences, nowMs)) return
    step.notices.push({ type: toldMs === undefined ? 'fired' : 'reminder', alert: { ...alert } })
    alert.toldMs = nowMs
    step.isChanged = true
  }

  /** What is over gives way to what is not. */
  #makeRoom(): boolean {
    const oldest = this.alerts
      .filter(({ state }) => state === 'resolved')
      .sort((a, b) => (a.resolvedMs ?? 0) - (b.resolvedMs ?? 0))[0]
    return oldest !== undefined && this.#alerts.delete(oldest.id)
  }
}

/** Whether it comes and goes. */
export function isFlapping({ firedMs }: Alert, nowMs: number): boolean {
  return firedMs.filter((atMs) => nowMs - atMs < FLAP_WINDOW_MS).length >= FLAPS
}

function pendingMs(rule: string): number {
  return PENDING_MS[rule] ?? PENDING_MS_DEFAULT
}
