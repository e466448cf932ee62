import type { NodeId } from '../../base/identity.ts'
import type { EventSeverity } from '../../base/timeline.ts'

/** Trouble that there is now. */
export interface Condition {
  /** `<rule>/<what>`; the same as long as the trouble is the same. */
  id: string
  severity: EventSeverity
  title: string
  detail: string
  nodeId?: NodeId | undefined
  service?: string | undefined
  remedy?: string | undefined
}

/** One trouble from its beginning to its end. Moments are Unix milliseconds. It is stored as it is. */
export interface Alert extends Condition {
  rule: string
  state: 'pending' | 'firing' | 'resolved'
  /** Since when the condition holds. */
  sinceMs: number
  /** When it was last there. */
  seenMs: number
  /** The latest times it began to fire, oldest first. */
  firedMs: number[]
  resolvedMs?: number | undefined
  /** When somebody was last told that it fires; undefined: nobody was, since it began. */
  toldMs?: number | undefined
  acknowledged?: { by: string; atMs: number; note?: string | undefined } | undefined
}

/** Alerts for which all that is given holds are not told of. */
export interface Silence {
  id: string
  alertId?: string | undefined
  rule?: string | undefined
  nodeId?: NodeId | undefined
  service?: string | undefined
  untilMs: number
  by: string
  reason?: string | undefined
}

/** Why somebody is told of an alert. */
export type NoticeType = 'fired' | 'escalated' | 'reminder' | 'resolved'

export interface AlertNotice {
  type: NoticeType
  alert: Alert
}

export function isSilenced(alert: Alert, silences: readonly Silence[], nowMs: number): boolean {
  return silencesOf(alert, silences, nowMs).length > 0
}

/** The silences that hold for an alert. */
export function silencesOf(alert: Alert, silences: readonly Silence[], nowMs: number): Silence[] {
  return silences.filter(
    ({ untilMs, alertId, rule, nodeId, service }) =>
      untilMs > nowMs &&
      (alertId === undefined || alertId === alert.id) &&
      (rule === undefined || rule === alert.rule) &&
      (nodeId === undefined || nodeId === alert.nodeId) &&
      (service === undefined || service === alert.service),
  )
}
