import { P2PError } from '../../base/errors.ts'
import type { LinkChannel } from './link-channel.ts'

/**
 * Sends what nobody waits for on this side. Another end that does not read what it asked for is cut off: its calls then
 * fail at once and may be retried, instead of waiting for answers that were dropped.
 * @returns why it was not sent
 */
export function sendUnawaited(channel: LinkChannel, message: Uint8Array): P2PError | undefined {
  if (channel.closed.aborted) return undefined
  try {
    channel.send(message)
    return undefined
  } catch (error) {
    if (!(error instanceof P2PError)) throw error
    if (error.code === 'P2P_TRANSPORT_OVERLOADED') channel.close('answers to its calls are not being read')
    return error
  }
}
