import type { Clock } from '../base/time.ts'

const TCP_CONNECT_MS_MAX = 1_000
const CONNECT_MS_MAX = 2_000
/** Commands sent and not yet answered; beyond it Redis is too slow to be of use. */
const COMMANDS_IN_FLIGHT_MAX = 10_000

export interface RedisClientOptions {
  /** Redis says that the value of this address, or with undefined of any address, is no longer what was read here. */
  onInvalidate(address: string | undefined): void
  /** The connection has failed; nothing more comes of this client. */
  onFailure(error: Error): void
  /** Gives up connecting. */
  signal: AbortSignal
}

/**
 * One connection to Redis 6 or later (RESP3), with tracking on: whatever was read over it is reported when it
 * changes. It does not reconnect, and queues nothing while it is not connected.
 * @throws when there is no connection within 2 seconds; the signal's reason
 */
export async function openRedisClient(clock: Clock, redisUrl: string, options: RedisClientOptions) {
  // Loaded late: the package costs memory that a node without Redis should not pay.
  const { createClient } = await import('redis')
  const client = createClient({
    url: redisUrl,
    RESP: 3,
    emitInvalidate: true,
    maintNotifications: 'disabled',
    disableOfflineQueue: true,
    commandsQueueMaxLength: COMMANDS_IN_FLIGHT_MAX,
    commandOptions: { timeout: undefined },
    socket: { reconnectStrategy: false, connectTimeout: TCP_CONNECT_MS_MAX },
  })
  client.on('error', (error: Error) => options.onFailure(error))
  client.on('invalidate', (key: Uint8Array | string | null) => options.onInvalidate(key?.toString()))

  const { signal } = options
  signal.throwIfAborted()
  let hasSocket = false
  let isGivenUp = false
  client.once('connect', () => {
    hasSocket = true
    if (isGivenUp) client.destroy()
  })
  // The client cannot let go of a socket that is still connecting; that phase has its own, shorter limit.
  const giveUp = (): void => {
    isGivenUp = true
    if (hasSocket) client.destroy()
  }
  signal.addEventListener('abort', giveUp, { once: true })
  const deadline = clock.after(CONNECT_MS_MAX, giveUp)
  try {
    await client.connect()
  } catch (error) {
    throw signal.aborted ? (signal.reason as Error) : error
  } finally {
    deadline.cancel()
    signal.removeEventListener('abort', giveUp)
  }
  return client
}

export type RedisClient = Awaited<ReturnType<typeof openRedisClient>>

/** Whether Redis itself refused an operation (out of memory, read-only, no permission …): the connection is sound. */
export async function isRefusal(error: unknown): Promise<boolean> {
  return error instanceof (await import('redis')).ErrorReply
}
