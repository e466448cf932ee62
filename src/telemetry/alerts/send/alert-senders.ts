import type { Clock } from '../../../base/time.ts'
import type { AlertSender } from './alert-sender.ts'
import { createEmail, type EmailOptions } from './email.ts'
import { createScript } from './script.ts'
import { createWebhook, type WebhookOptions } from './webhook.ts'

/** Whom alerts are sent to. */
export interface AlertTargets {
  webhooks: readonly WebhookOptions[]
  email?: EmailOptions | undefined
  /** Absolute path. */
  script?: string | undefined
}

/** One sender a target; of those with one name the later ones are numbered. */
export function alertSenders(clock: Clock, { webhooks, email, script }: AlertTargets): AlertSender[] {
  const senders = [
    ...webhooks.map((webhook) => createWebhook({ clock }, webhook)),
    ...(email ? [createEmail(email)] : []),
    ...(script === undefined ? [] : [createScript({ path: script })]),
  ]
  const seen = new Map<string, number>()
  return senders.map((sender) => {
    const { name } = sender
    const count = (seen.get(name) ?? 0) + 1
    seen.set(name, count)
    return {
      name: count === 1 ? name : `${name} ${count}`,
      send: (message, signal) => sender.send(message, signal),
    }
  })
}
