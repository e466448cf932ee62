import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import { type Clock, delay, type Timer } from '../../base/time.ts'

/** Answer of a collector. */
export interface PostAnswer {
  status: number
  /** Header `Retry-After` in milliseconds, where there was one. */
  retryAfterMs: number | undefined
  /** Its beginning. */
  body: string
}

/** Sends one request. Rejects when no answer came. */
export type Post = (path: string, body: string, signal: AbortSignal) => Promise<PostAnswer>

export interface OtlpSenderNeeds {
  clock: Clock
  random: Random
  log: Logger
  post: Post
}

export interface OtlpSenderOptions<Item> {
  /** `/v1/logs` and so on. */
  path: string
  /** Word for what is sent, in log lines. */
  what: string
  encode: (items: readonly Item[]) => object
  batchMax: number
  /** What waits at most; then the oldest goes. */
  waitingMax: number
  /** Items wait so long for others, so that a busy node sends few requests. */
  gatherMs: number
}

export interface SenderStats {
  sent: number
  /** For want of room, refused by the collector, or given up at the end. */
  lost: number
  waiting: number
}

/** What may be tried again (OTLP, "Retryable Response Codes"). */
const RETRYABLE: readonly number[] = [429, 502, 503, 504]
const RETRY_MS = { min: 1_000, max: 60_000 } as const
/** For what is left when the node stops. */
const LAST_MS_MAX = 1_000
/** Between two remarks on what was lost. */
const REMARK_MS = 60_000

/**
 * Brings items to a collector in batches, one request at a time. What waits is bounded; what the collector is not there for is
 * tried again, later and later; what it refuses is let go.
 */
export class OtlpSender<Item> {
  readonly #needs: OtlpSenderNeeds
  readonly #options: OtlpSenderOptions<Item>
  readonly #stop = new AbortController()
  #waiting: Item[] = []
  #gathering: Timer | undefined
  #sending: Promise<void> | undefined
  #isStopping = false
  #sent = 0
  #lost = 0
  #lostToSay = 0
  #remark: Timer | undefined

  constructor(needs: OtlpSenderNeeds, options: OtlpSenderOptions<Item>) {
    this.#needs = needs
    this.#options = options
  }

  add(item: Item): void {
    if (this.#isStopping) return
    const { batchMax, waitingMax, gatherMs } = this.#options
    this.#waiting.push(item)
    // By a batch at once: taking out the first of a full list each time would move all others each time.
    if (this.#waiting.length > waitingMax)
      this.#lose(this.#waiting.splice(0, batchMax).length, 'the collector is too slow')
    if (this.#sending) return
    if (this.#waiting.length >= batchMax) this.#send()
    else this.#gathering ??= this.#needs.clock.after(gatherMs, () => this.#send())
  }

  stats(): SenderStats {
    return { sent: this.#sent, lost: this.#lost, waiting: this.#waiting.length }
  }

  /** What is there is still sent, if that is soon done. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true
    this.#send()
    const limit = this.#needs.clock.after(LAST_MS_MAX, () => this.#stop.abort())
    await this.#sending
    limit.cancel()
    this.#remark?.cancel()
    this.#lost += this.#waiting.length
    this.#waiting = []
  }

  #send(): void {
    this.#gathering?.cancel()
    this.#gathering = undefined
    this.#sending ??= this.#sendAll().finally(() => {
      this.#sending = undefined
      // Since the last look something came that is not worth a request of its own yet.
      if (this.#waiting.length > 0 && !this.#isStopping) {
        this.#gathering ??= this.#needs.clock.after(this.#options.gatherMs, () => this.#send())
      }
    })
  }

  /** Never rejects. */
  async #sendAll(): Promise<void> {
    const { batchMax } = this.#options
    do {
      const batch = this.#waiting.splice(0, batchMax)
      if (batch.length > 0) await this.#deliver(batch)
    } while (
      !this.#stop.signal.aborted &&
      (this.#waiting.length >= batchMax || (this.#isStopping && this.#waiting.length > 0))
    )
  }

  async #deliver(batch: readonly Item[]): Promise<void> {
    const { clock, random, post } = this.#needs
    const { path, encode } = this.#options
    const { signal } = this.#stop
    const body = JSON.stringify(encode(batch))
    for (let waitMs: number = RETRY_MS.min; ; waitMs = Math.min(waitMs * 2, RETRY_MS.max)) {
      const { answer, why } = await post(path, body, signal).then(
        (got) => ({ answer: got, why: `it answered ${got.status}` }),
        (error: unknown) => ({ answer: undefined, why: messageOf(error) }),
      )
      if (answer && answer.status < 300) {
        this.#onDelivered(batch.length, answer.body)
        return
      }
      const mayMend = !answer || RETRYABLE.includes(answer.status)
      if (!mayMend || this.#isStopping) {
        this.#lose(batch.length, why)
        return
      }
      const jitteredMs = waitMs * (0.75 + 0.5 * random.float())
      await delay(clock, Math.min(answer?.retryAfterMs ?? jitteredMs, RETRY_MS.max), signal).catch(() => {})
    }
  }

  /** A collector may take a part only, and says so in a good answer (OTLP, "Partial Success"). */
  #onDelivered(count: number, body: string): void {
    const rejected = Math.min(count, rejectedIn(body))
    this.#sent += count - rejected
    if (rejected > 0) this.#lose(rejected, 'it refused a part')
  }

  #lose(count: number, why: string): void {
    this.#lost += count
    this.#lostToSay += count
    if (this.#remark || this.#isStopping) return
    const { log, clock } = this.#needs
    const { what, path } = this.#options
    log.warning(`The OpenTelemetry collector did not take ${what}`, { path, lost: this.#lostToSay, why })
    this.#lostToSay = 0
    this.#remark = clock.after(REMARK_MS, () => {
      this.#remark = undefined
      if (this.#lostToSay > 0) this.#lose(0, why)
    })
  }
}

const REJECTED = ['rejectedLogRecords', 'rejectedSpans', 'rejectedDataPoints'] as const

function rejectedIn(body: string): number {
  try {
    const { partialSuccess } = JSON.parse(body) as { partialSuccess?: Record<string, unknown> }
    const counts = REJECTED.map((name) => Number(partialSuccess?.[name] ?? 0))
    return Math.max(0, ...counts.filter((count) => Number.isSafeInteger(count)))
  } catch {
    // Whatever it says, the status was good.
    return 0
  }
}
