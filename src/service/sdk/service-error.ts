import { SERVICE_ERROR } from './brands.ts'

/**
 * A failure the caller is meant to see: it arrives as code `P2P_RPC_SERVICE_FAILED` with this message and
 * `details`, `details.reason` being the word to test. Of every other error thrown in a method the caller learns
 * only that the method failed and the trace id; the node's log has the rest.
 * @example throw new ServiceError('BOOK_UNKNOWN', `No book has the id ${id}`, { id })
 */
export class ServiceError extends Error {
  override readonly name = 'ServiceError'
  /** One word in the service's own vocabulary. */
  readonly reason: string
  /** JSON; travels to the caller. */
  readonly details: Readonly<Record<string, unknown>>
  readonly [SERVICE_ERROR] = true

  constructor(reason: string, message: string, details: Record<string, unknown> = {}, options?: { cause?: unknown }) {
    super(message, options)
    this.reason = reason
    this.details = details
  }
}
