import { z } from 'zod'
import { EVENT_SEVERITIES } from '../../base/timeline.ts'
import { WIRE } from './wire.ts'

const told = <S extends z.ZodType>(schema: S, description: string): S => {
  WIRE.add(schema, { description })
  return schema
}

const NAME = z.string().min(1).max(63)
const MOMENT = z.iso.datetime({ offset: true })

const ALERT_STATES = ['firing', 'resolved'] as const

const ALERT = z
  .object({
    id: told(z.string(), 'The same as long as the trouble is the same'),
    rule: told(z.string(), '`node`, `service`, `disk`, `certificate`, `clock`, `logs`'),
    state: z.enum(ALERT_STATES),
    severity: z.enum(EVENT_SEVERITIES),
    title: z.string(),
    detail: z.string(),
    remedy: z.string().optional(),
    node_id: z.string().optional(),
    service: z.string().optional(),
    since: told(z.iso.datetime(), 'When the trouble began'),
    fired_at: z.iso.datetime(),
    resolved_at: z.iso.datetime().optional(),
    is_flapping: told(
      z.boolean(),
      'It came and went so often that it counts as over only after a quarter of an hour of quiet',
    ),
    acknowledged: z.object({ by: z.string(), at: z.iso.datetime(), note: z.string().optional() }).optional(),
    silenced_until: z.iso.datetime().optional(),
  })
  .register(WIRE, { id: 'Alert' })
export type AlertWire = z.infer<typeof ALERT>

export const SILENCE = z
  .object({
    id: z.string(),
    alert_id: z.string().optional(),
    rule: z.string().optional(),
    node_id: z.string().optional(),
    service: z.string().optional(),
    until: z.iso.datetime(),
    by: z.string(),
    reason: z.string().optional(),
  })
  .register(WIRE, { id: 'Silence' })
export type SilenceWire = z.infer<typeof SILENCE>

/** What is to be silenced: alerts for which all that is given holds. */
export const SILENCE_REQUEST = z.strictObject({
  alert_id: z.string().min(1).max(256).optional(),
  rule: NAME.optional(),
  node_id: NAME.optional(),
  service: NAME.optional(),
  until: MOMENT,
  reason: z.string().max(300).optional(),
})
export type SilenceRequest = z.infer<typeof SILENCE_REQUEST>

const ALERT_TARGET = z
  .object({
    name: z.string(),
    waiting: told(z.int(), 'Messages that wait to be sent'),
    lost: told(z.int(), 'Messages given up since the start'),
    failure: told(z.string().optional(), 'Why the last attempt failed; absent when it did not'),
    last_sent: z.iso.datetime().optional(),
  })
  .register(WIRE, { id: 'AlertTarget' })
export type AlertTargetWire = z.infer<typeof ALERT_TARGET>

export const ALERTS = z.object({
  alerts: told(z.array(ALERT), 'What fires first, the worst at the top; then what is over, newest first'),
  silences: z.array(SILENCE),
  targets: told(z.array(ALERT_TARGET), 'Whom alerts are sent to'),
})
export type AlertsWire = z.infer<typeof ALERTS>

export const ALERT_TEST = z.object({
  results: z.array(
    z.object({ target: z.string(), sent: z.boolean(), duration_ms: z.int(), failure: z.string().optional() }),
  ),
})
export type AlertTest = z.infer<typeof ALERT_TEST>

/** A coordinator's alerts. */
export interface AlertsApi {
  list(): AlertsWire
  /** @param listener told whenever anything in the list may be new @returns a function that unregisters it */
  onChange(listener: () => void): () => void
  /** Nobody is reminded of it any more. @returns false when no such alert fires */
  acknowledge(id: string, by: string, note: string | undefined): Promise<boolean>
  /** @throws {RpcError} P2P_RPC_INVALID_PARAMS when it would silence everything, ends in the past, or there are too many */
  silence(request: SilenceRequest, by: string): Promise<SilenceWire>
  /** @returns false when there is none */
  endSilence(id: string): Promise<boolean>
  /** Sends a message at once to one target, or all. */
  test(target: string | undefined, signal: AbortSignal): Promise<AlertTest>
}
