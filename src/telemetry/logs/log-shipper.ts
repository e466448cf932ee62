import { toHex } from '../../base/bytes.ts'
import type { Component } from '../../base/component.ts'
import { codeOf, messageOf } from '../../base/errors.ts'
import type { NodeId, NodeRole } from '../../base/identity.ts'
import type { Logger } from '../../base/log.ts'
import type { Membership } from '../../base/member.ts'
import type { Random } from '../../base/random.ts'
import { type Clock, delay } from '../../base/time.ts'
import { type Caller, RawJson } from '../../service/index.ts'
import { BATCH_CHARACTERS_MAX, BATCH_LINES_MAX } from './limits.ts'
import type { LogSpool, SpoolBatch } from './log-spool.ts'

export interface LogShipperNeeds {
  clock: Clock
  random: Random
  log: Logger
  spool: Pick<LogSpool, 'read' | 'acknowledge' | 'onLine' | 'stats'>
  calls: Caller
  membership: Membership
}

export interface LogShipperOptions {
  nodeId: NodeId
  role: NodeRole
}

/** The first line of a batch waits so long for others: long enough to save most calls, too short to be seen. */
const LINGER_MS = 3
/**
 * Batches leave at least so far apart, unless a whole one waits: a coordinator has as much to do for a batch as for some fifty
 * lines of it, on its way, on disk and for every page.
 */
const SPACING_MS = 8
/** A coordinator answers once the lines are on its disk, which may be busy. */
const ANSWER_MS_MAX = 15_000
const RETRY_MS_MIN = 250
const RETRY_MS_MAX = 5_000
/** For the last lines of a node that stops. */
const LAST_MS_MAX = 1_000
/** A coordinator that starts again is back sooner: not worth a line. */
const QUIET_MS = 10_000
const TRACE_ID_BYTES = 16
const METHOD = 'log_collector/add_logs'

/**
 * Brings the spool's lines to a coordinator, in order, one batch at a time: the next leaves when the coordinator has stored
 * the one before. What is not acknowledged is sent again; the coordinator knows by run and number what it has.
 *
 * A coordinator keeps its own log. A worker stays with a coordinator while it is alive, and else goes to the first one that
 * is, by node id.
 */
export function createLogShipper(needs: LogShipperNeeds, options: LogShipperOptions): Component {
  return new LogShipper(needs, options)
}

class LogShipper implements Component {
  readonly name = 'log-shipper'
  readonly #needs: LogShipperNeeds
  readonly #options: LogShipperOptions
  readonly #log: Logger
  readonly #stop = new AbortController()
  #running: Promise<void> | undefined
  #wake: () => void = () => {}
  #isWoken = false
  /** Where the last batch went. */
  #coordinator: NodeId | undefined
  #failingSinceMs: number | undefined
  #isFailureSaid = false
  #retryMs = RETRY_MS_MIN
  #linesMax = BATCH_LINES_MAX
  /** Number of the line that a remark stands for. */
  #replaced: number | undefined
  #isStopping = false

  constructor(needs: LogShipperNeeds, options: LogShipperOptions) {
    this.#needs = needs
    this.#options = options
    this.#log = needs.log.child('Logs')
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#running = this.#run(this.#stop.signal)
  }

  /** What is there by now is still sent, if that is soon done. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#wakeUp()
    const limit = this.#needs.clock.after(LAST_MS_MAX, () => {
      this.#stop.abort()
      this.#wake()
    })
    await this.#running
    limit.cancel()
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { spool, membership, clock } = this.#needs
    const unlisten = [
      spool.onLine(() => this.#wakeUp()),
      membership.onChange(({ member }) => {
        if (member.record.role === 'coordinator') this.#wakeUp()
      }),
    ]
    while (!signal.aborted) {
      this.#isWoken = false
      const batch = await spool.read({ linesMax: this.#linesMax, charactersMax: BATCH_CHARACTERS_MAX })
      if (!batch && this.#isStopping) break
      if (!batch) {
        await this.#untilWoken()
        await delay(clock, LINGER_MS, signal).catch(() => {})
        continue
      }
      const target = this.#target()
      if (target === undefined) {
        this.#onFailure('no coordinator is alive')
        await this.#pause(signal)
        continue
      }
      const nextMs = clock.nowMs() + SPACING_MS
      await this.#ship(batch, target, signal)
      const isBehind = spool.stats().waiting >= this.#linesMax
      const waitMs = isBehind ? 0 : nextMs - clock.nowMs()
      if (waitMs > 0) await delay(clock, waitMs, signal).catch(() => {})
    }
    for (const release of unlisten) release()
  }

  #wakeUp(): void {
    this.#isWoken = true
    this.#wake()
  }

  async #untilWoken(): Promise<void> {
    if (this.#isWoken || this.#stop.signal.aborted) return
    await new Promise<void>((resolve) => {
      this.#wake = resolve
    })
    this.#wake = () => {}
  }

  /** Waits for the time of the next attempt, or for a coordinator to change. New lines are no reason to try again. */
  async #pause(signal: AbortSignal): Promise<void> {
    if (this.#isStopping) this.#stop.abort()
    const { clock, random, membership } = this.#needs
    const over = new AbortController()
    const unlisten = membership.onChange(({ member }) => {
      if (member.record.role === 'coordinator' && member.status === 'alive') over.abort()
    })
    const jitteredMs = this.#retryMs * (0.75 + 0.5 * random.float())
    await delay(clock, jitteredMs, AbortSignal.any([signal, over.signal])).catch(() => {})
    unlisten()
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MS_MAX)
  }

  #target(): NodeId | undefined {
    if (this.#options.role === 'coordinator') return this.#options.nodeId
    const alive = this.#needs.membership
      .members()
      .filter(({ record, status }) => record.role === 'coordinator' && (status === 'alive' || status === 'suspect'))
    const known = alive.find(({ record }) => record.nodeId === this.#coordinator)
    return (known ?? alive.find(({ status }) => status === 'alive') ?? alive[0])?.record.nodeId
  }

  async #ship(batch: SpoolBatch, target: NodeId, signal: AbortSignal): Promise<void> {
    const { clock, random, calls, spool } = this.#needs
    const { nodeId, role } = this.#options
    try {
      const isReplaced = this.#replaced === batch.first
      const lines = isReplaced ? [remark(clock.wallMs())] : batch.lines
      const head = {
        node_id: nodeId,
        epoch: batch.epoch,
        first: batch.first,
        lost: batch.lost,
        sent_at: clock.wallMs(),
      }
      const params = new RawJson(`${JSON.stringify(head).slice(0, -1)},"logs":[${lines.join()}]}`)
      const context = {
        caller: { kind: 'node', nodeId, role } as const,
        traceId: toHex(random.bytes(TRACE_ID_BYTES)),
        deadlineMs: clock.nowMs() + ANSWER_MS_MAX,
        signal,
      }
      await calls.call(METHOD, params, context, target)
      this.#coordinator = target
      spool.acknowledge(batch.first + lines.length - 1)
      this.#onSuccess(target)
    } catch (error) {
      if (signal.aborted) return
      if (isAboutTheLines(error)) await this.#onRefusal(batch, error, signal)
      else {
        this.#onFailure(messageOf(error), target)
        await this.#pause(signal)
      }
    }
  }

  #onSuccess(target: NodeId): void {
    this.#retryMs = RETRY_MS_MIN
    this.#linesMax = BATCH_LINES_MAX
    if (this.#isFailureSaid) this.#log.info('Log lines are stored by the coordinator again', { coordinator: target })
    this.#isFailureSaid = false
    this.#failingSinceMs = undefined
  }

  /** Said once an outage: the line itself has to be sent too. */
  #onFailure(why: string, coordinator?: NodeId): void {
    const nowMs = this.#needs.clock.nowMs()
    this.#failingSinceMs ??= nowMs
    if (this.#isFailureSaid || nowMs - this.#failingSinceMs < QUIET_MS) return
    this.#isFailureSaid = true
    this.#log.warning('Log lines are not stored by a coordinator; they wait in the spool', { coordinator, why })
  }

  /**
   * One line that is never taken must not hold up all others. It is found by sending lines alone; then a remark takes its
   * place. When that is refused too, it is not about the line, and everything waits.
   */
  async #onRefusal(batch: SpoolBatch, error: unknown, signal: AbortSignal): Promise<void> {
    if (batch.lines.length > 1) this.#linesMax = 1
    else if (this.#replaced !== batch.first) this.#replaced = batch.first
    else {
      this.#replaced = undefined
      this.#onFailure(messageOf(error))
      await this.#pause(signal)
    }
  }
}

function remark(timestamp: number): string {
  const message = 'A line was left out here: the coordinator refused it'
  return JSON.stringify({ timestamp, level: 'WARNING', logger_name: 'Logs', message })
}

const ABOUT_THE_LINES: readonly unknown[] = [
  'P2P_RPC_INVALID_PARAMS',
  'P2P_RPC_INVALID_REQUEST',
  'P2P_RPC_PARSE_ERROR',
  'P2P_TRANSPORT_TOO_LARGE',
]

function isAboutTheLines(error: unknown): boolean {
  return ABOUT_THE_LINES.includes(codeOf(error))
}
