import { type ControlStore, jsonValue, type Operation } from '../../base/control-store.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { type Clock, delay } from '../../base/time.ts'
import type { AlertTargetWire } from '../../service/index.ts'
import type { AlertMessage } from './alert-message.ts'
import type { AlertSender } from './send/alert-sender.ts'

export interface OutboxNeeds {
  clock: Clock
  random: Random
  store: ControlStore
  log: Logger
  /** Told when what `targets` tells is new. */
  onChange: () => void
}

const PREFIX = 'alerts/outbox/'
/** Messages that wait for one target; the oldest give way. */
const WAITING_MAX = 100
/** One attempt. */
const ATTEMPT_MS_MAX = 30_000
/** Between attempts: doubles from one to the other. */
const RETRY_MS_MIN = 5_000
const RETRY_MS_MAX = 10 * 60_000
/** A message that nobody took for so long is old news. */
const KEPT_MS = 24 * 3_600_000
const FAILURE_CHARACTERS_MAX = 300

interface Stored {
  target: string
  message: AlertMessage
  sinceMs: number
}

interface Lane {
  sender: AlertSender
  /** Oldest first. */
  waiting: { key: string; stored: Stored }[]
  running: Promise<void> | undefined
  attempts: number
  lost: number
  failure: string | undefined
  lastSentMs: number | undefined
}

/**
 * Messages on their way to their targets. They are in the control store until they were taken or given up, so that a coordinator
 * that is killed goes on with them: a target may get one twice, with the same `delivery`. A target that fails holds up no other.
 */
export class Outbox {
  readonly #needs: OutboxNeeds
  readonly #lanes: Map<string, Lane>
  readonly #stopped = new AbortController()
  #nextNumber = 1

  constructor(needs: OutboxNeeds, senders: readonly AlertSender[]) {
    this.#needs = needs
    this.#lanes = new Map(
      senders.map((sender) => [
        sender.name,
        { sender, waiting: [], running: undefined, attempts: 0, lost: 0, failure: undefined, lastSentMs: undefined },
      ]),
    )
  }

  /** Goes on with what was stored. What waits for a target there is no more is forgotten. */
  async start(): Promise<void> {
    const { store } = this.#needs
    const forgotten: Operation[] = []
    for (const { key, value } of await store.range(PREFIX)) {
      const stored = JSON.parse(new TextDecoder().decode(value)) as Stored
      this.#nextNumber = Math.max(this.#nextNumber, Number(key.slice(PREFIX.length)) + 1)
      const lane = this.#lanes.get(stored.target)
      if (lane) lane.waiting.push({ key, stored })
      else forgotten.push({ type: 'delete', key })
    }
    if (forgotten.length > 0) await store.transact({ operations: forgotten })
    for (const lane of this.#lanes.values()) this.#run(lane)
  }

  async stop(): Promise<void> {
    this.#stopped.abort(new Error('the node stops'))
    for (const { running } of this.#lanes.values()) await running
  }

  /**
   * What is to be stored for the messages to be sent to every target; after that `sent` has them begin. Together with what else
   * belongs to them in one transaction.
   */
  prepare(messages: readonly AlertMessage[]): { operations: Operation[]; send: () => void } {
    const nowMs = this.#needs.clock.wallMs()
    const added = [...this.#lanes.values()].flatMap((lane) =>
      messages.map((message) => {
        const key = PREFIX + String(this.#nextNumber++).padStart(12, '0')
        return { lane, entry: { key, stored: { target: lane.sender.name, message, sinceMs: nowMs } } }
      }),
    )
    return {
      operations: added.map(({ entry: { key, stored } }) => ({ type: 'put', key, value: jsonValue(stored) })),
      send: () => {
        for (const { lane, entry } of added) lane.waiting.push(entry)
        this.#needs.onChange()
        for (const lane of this.#lanes.values()) this.#run(lane)
      },
    }
  }

  targets(): AlertTargetWire[] {
    return [...this.#lanes.values()].map(({ sender, waiting, lost, failure, lastSentMs }) => ({
      name: sender.name,
      waiting: waiting.length,
      lost,
      ...(failure !== undefined && { failure }),
      ...(lastSentMs !== undefined && { last_sent: new Date(lastSentMs).toISOString() }),
    }))
  }

  #run(lane: Lane): void {
    if (this.#stopped.signal.aborted) return
    lane.running ??= this.#sendAll(lane).finally(() => (lane.running = undefined))
  }

  /** Never rejects. */
  async #sendAll(lane: Lane): Promise<void> {
    const { clock, random, log } = this.#needs
    const { signal } = this.#stopped
    while (!signal.aborted) {
      try {
        await this.#dropOld(lane)
        const [first] = lane.waiting
        if (!first) return
        const failure = await this.#attempt(lane, first.stored.message)
        if (signal.aborted) return
        if (failure === undefined) await this.#remove(lane, [first])
        else {
          if (lane.failure === undefined)
            log.warning('An alert could not be sent; it is tried again', { target: lane.sender.name, reason: failure })
          lane.failure = failure
          this.#needs.onChange()
          const waitMs = Math.min(RETRY_MS_MIN * 2 ** lane.attempts++, RETRY_MS_MAX)
          await delay(clock, waitMs * (0.75 + 0.5 * random.float()), signal)
        }
      } catch (error) {
        if (signal.aborted) return
        log.error('What was sent of the alerts could not be stored', { reason: messageOf(error) })
        await delay(clock, RETRY_MS_MAX, signal).catch(() => {})
      }
    }
  }

  /** @returns why it failed */
  async #attempt(lane: Lane, message: AlertMessage): Promise<string | undefined> {
    const failure = await attempt(this.#needs.clock, lane.sender, message, this.#stopped.signal)
    if (failure !== undefined) return failure
    lane.attempts = 0
    lane.failure = undefined
    lane.lastSentMs = this.#needs.clock.wallMs()
    return undefined
  }

  async #dropOld(lane: Lane): Promise<void> {
    const nowMs = this.#needs.clock.wallMs()
    const over = lane.waiting.length - WAITING_MAX
    const dropped = lane.waiting.filter(({ stored }, index) => index < over || nowMs - stored.sinceMs > KEPT_MS)
    if (dropped.length === 0) return
    lane.lost += dropped.length
    this.#needs.log.error('Alerts were given up: their target does not take them', {
      target: lane.sender.name,
      alerts: dropped.length,
      reason: lane.failure,
    })
    await this.#remove(lane, dropped)
  }

  async #remove(lane: Lane, entries: readonly Lane['waiting'][number][]): Promise<void> {
    lane.waiting = lane.waiting.filter((entry) => !entries.includes(entry))
    this.#needs.onChange()
    await this.#needs.store.transact({ operations: entries.map(({ key }) => ({ type: 'delete', key })) })
  }
}

/** Sends a message, and gives up after a while. @returns why it failed */
export async function attempt(
  clock: Clock,
  sender: AlertSender,
  message: AlertMessage,
  signal: AbortSignal,
): Promise<string | undefined> {
  const tooLong = new AbortController()
  const timer = clock.after(ATTEMPT_MS_MAX, () =>
    tooLong.abort(new Error(`no answer within ${ATTEMPT_MS_MAX / 1_000} s`)),
  )
  try {
    await sender.send(message, AbortSignal.any([signal, tooLong.signal]))
    return undefined
  } catch (error) {
    return messageOf(error).slice(0, FAILURE_CHARACTERS_MAX)
  } finally {
    timer.cancel()
  }
}
