import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Clock, Timer } from '../base/time.ts'
import { openRedisClient, type RedisClient } from './redis-client.ts'
import { describeRedisUrl } from './redis-url.ts'
import { within } from './within.ts'

/** Longest wait for one operation. Redis on a LAN answers in under 1 ms, over a VPN in 50. */
const OPERATION_MS_MAX = 100
/** A new attempt comes after 0.2 s, then twice as long each time, up to 5 s. */
const RETRY_MS_MIN = 200
const RETRY_MS_MAX = 5_000
/** A Redis that vanished without closing the connection is found by this ping when nothing else is asked. */
const PING_PERIOD_MS = 5_000
/** How long `start` waits for a first connection, so that a healthy Redis is in use from the first call. */
const FIRST_CONNECTION_MS_MAX = 250

export interface RedisLinkNeeds {
  clock: Clock
  log: Logger
}

export interface RedisLinkEvents {
  /** What was read before may have changed: one address, or with undefined any of them. */
  onInvalidate(address: string | undefined): void
  /** Whether something is left to do before a new connection may be used. */
  hasDebts(): boolean
  payDebts(run: RunOnRedis): Promise<void>
}

/** Runs one operation on a connection, for at most 100 ms. */
export type RunOnRedis = <T>(operation: (client: RedisClient) => Promise<T>) => Promise<T>

/**
 * A connection to Redis that comes and goes: a circuit breaker. While it is closed operations fail at once, and new
 * connections are tried in the background. One failed or overdue operation opens the circuit, because
 * invalidations travel on the same connection and can no longer be relied on.
 */
export class RedisLink {
  readonly server: string
  readonly #needs: RedisLinkNeeds
  readonly #redisUrl: string
  readonly #events: RedisLinkEvents
  readonly #stopping = new AbortController()
  #client: RedisClient | undefined
  #attempt: Promise<void> = Promise.resolve()
  #retryMs = RETRY_MS_MIN
  #retry: Timer | undefined
  #ping: Timer | undefined
  #isAwayLogged = false

  /** @throws {CacheError} P2P_CACHE_URL_INVALID */
  constructor(needs: RedisLinkNeeds, redisUrl: string, events: RedisLinkEvents) {
    this.server = describeRedisUrl(redisUrl)
    this.#needs = needs
    this.#redisUrl = redisUrl
    this.#events = events
  }

  get isReady(): boolean {
    return this.#client !== undefined
  }

  /** Begins connecting; resolves when connected or soon after, and never rejects because Redis is away. */
  async start(): Promise<void> {
    this.#ping = this.#needs.clock.every(PING_PERIOD_MS, () => {
      // A failure has opened the circuit, which is all there is to do.
      this.run((client) => client.ping()).catch(() => {})
    })
    this.#attempt = this.#connect()
    await within(this.#needs.clock, FIRST_CONNECTION_MS_MAX, this.#attempt).catch(() => {})
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('The cache is stopping'))
    this.#ping?.cancel()
    this.#retry?.cancel()
    this.#client?.destroy()
    this.#client = undefined
    await this.#attempt
  }

  /** @throws at once while the circuit is open; whatever the operation throws, which opens it */
  readonly run: RunOnRedis = async (operation) => {
    const client = this.#client
    if (!client) throw new Error('Redis is away')
    try {
      return await within(this.#needs.clock, OPERATION_MS_MAX, operation(client))
    } catch (error) {
      this.#open(client, error)
      throw error
    }
  }

  /** Opens the circuit, unless `client` is no longer the one in use. */
  #open(client: RedisClient, error: unknown): void {
    if (client !== this.#client) return
    this.#client = undefined
    client.destroy()
    this.#sayAway(error)
    this.#retryLater()
  }

  /** One attempt to close the circuit. Never rejects. */
  async #connect(): Promise<void> {
    const { clock, log } = this.#needs
    const { signal } = this.#stopping
    let client: RedisClient | undefined
    try {
      client = await openRedisClient(clock, this.#redisUrl, {
        onInvalidate: (address) => this.#events.onInvalidate(address),
        onFailure: (error) => client && this.#open(client, error),
        signal,
      })
      await this.#prepare(client)
      signal.throwIfAborted()
    } catch (error) {
      client?.destroy()
      if (signal.aborted) return
      this.#sayAway(error)
      this.#retryLater()
      return
    }
    // While there was no connection, invalidations were missed.
    this.#events.onInvalidate(undefined)
    this.#client = client
    this.#retryMs = RETRY_MS_MIN
    this.#isAwayLogged = false
    log.info('Redis is in use as the shared cache', { server: this.server })
  }

  async #prepare(client: RedisClient): Promise<void> {
    const run: RunOnRedis = (operation) => within(this.#needs.clock, OPERATION_MS_MAX, operation(client))
    // Refused while Redis still loads its data.
    await run((connected) => connected.ping())
    while (this.#events.hasDebts()) await this.#events.payDebts(run)
  }

  #retryLater(): void {
    this.#retry = this.#needs.clock.after(this.#retryMs, () => {
      this.#attempt = this.#connect()
    })
    this.#retryMs = Math.min(2 * this.#retryMs, RETRY_MS_MAX)
  }

  #sayAway(error: unknown): void {
    if (this.#isAwayLogged) return
    this.#isAwayLogged = true
    const message = 'Redis is away; this node caches in its own memory until it is back'
    this.#needs.log.warning(message, { server: this.server, error: messageOf(error) })
  }
}
