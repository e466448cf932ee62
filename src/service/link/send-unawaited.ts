import { P2PError } from '../../base/errors.ts'
import type { LinkChannel } from './link-channel.ts'

/**
 * Sends what nobody waits for on this side. Another end that does not read what it asked for is cut off: its calls then
 * fail at once and may be retried, instead of waiting for answers that were dropped.
 */
export function sendUnawaited(channel: LinkChannel, send: () => void): void {
  if (channel.closed.aborted) return
  try {
    send()
  } catch (error) {
    notSent(channel, error)
  }
}

/** Does what is to be done when something that nobody waits for was not sent. @throws what is no failure of the channel */
export function notSent(channel: LinkChannel, error: unknown): P2PError {
  if (!(error instanceof P2PError)) throw error
  if (error.code === 'P2P_TRANSPORT_OVERLOADED') cutOff(channel)
  return error
}

/** Answers did not leave: whoever waits for them is to know. */
export function cutOff(channel: LinkChannel): void {
  channel.close('answers to its calls are not being read')
}
