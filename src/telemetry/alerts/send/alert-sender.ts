import type { AlertMessage } from '../alert-message.ts'

/** One target of alerts. */
export interface AlertSender {
  /** For people; holds no secret. Of no other target. */
  readonly name: string
  /** Resolves when the target has taken the message. @throws {Error} why it has not, for people, without a secret; when the signal aborts its reason */
  send(message: AlertMessage, signal: AbortSignal): Promise<void>
}
