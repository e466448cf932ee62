import type { TransactionResult } from '../base/control-store.ts'
import { codeOf, StorageError } from '../base/errors.ts'
import type { Journal } from './journal.ts'
import type { ChangeHistory } from './vault/change-history.ts'
import { QUEUED_BYTES_MAX, QUEUED_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX } from './vault/limits.ts'
import { Stage } from './vault/stage.ts'
import type { VaultState } from './vault/state.ts'

/** What a writer wants: to be decided when its turn comes, on the state that it will find. */
export interface CommitRequest {
  /** Bytes it may write, at most. */
  bytes: number
  /** Its effect on keys is not known before it is applied: it is the last of its group. */
  endsGroup?: boolean
  decide(stage: Stage): TransactionResult
}

export interface CommitQueueOptions {
  state: VaultState
  history: ChangeHistory
  journal: Journal
  /** Called once commits are durable and applied. */
  onCommit(): void
  /** Called once, when nothing can be acknowledged any more. */
  onFailure(error: StorageError): void
}

interface Waiting extends CommitRequest {
  resolve(result: TransactionResult): void
  reject(error: unknown): void
}

/**
 * One line for everything that writes. Group commit: writers that arrive while the disk is busy are written together
 * by one record and one sync; a lone writer waits for nobody. A group is decided, made durable, applied, answered, in
 * this order, so that nobody ever sees what a crash could take back.
 */
export class CommitQueue {
  readonly state: VaultState
  readonly history: ChangeHistory
  /** Replaced, inside {@link exclusive}, when a new generation takes over. */
  journal: Journal
  readonly #options: CommitQueueOptions
  #waiting: Waiting[] = []
  #waitingBytes = 0
  #draining: Promise<void> | undefined
  #turn: Promise<void> = Promise.resolve()
  #ended: StorageError | undefined

  constructor(options: CommitQueueOptions) {
    this.#options = options
    this.state = options.state
    this.history = options.history
    this.journal = options.journal
  }

  /** Why nothing is accepted any more. */
  get ended(): StorageError | undefined {
    return this.#ended
  }

  /**
   * Resolves once the request is decided and, if it changed something, durable.
   * @throws {StorageError} P2P_STORAGE_FULL, P2P_STORAGE_OVERLOADED, P2P_STORAGE_CLOSED, P2P_STORAGE_FAILED, and what `decide` throws
   */
  submit(request: CommitRequest): Promise<TransactionResult> {
    if (this.#ended) return Promise.reject(this.#ended)
    const isFull =
      this.#waiting.length >= QUEUED_TRANSACTIONS_MAX || this.#waitingBytes + request.bytes > QUEUED_BYTES_MAX
    if (isFull) {
      const message = `${this.#waiting.length} transactions wait for the disk already; try again later`
      return Promise.reject(new StorageError('P2P_STORAGE_OVERLOADED', message))
    }
    this.#waitingBytes += request.bytes
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...request, resolve, reject })
      this.#draining ??= this.#drain()
    })
  }

  /** Runs the task while no commit is in progress; tasks and groups take turns in the order they came. */
  exclusive<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(task)
    this.#turn = settled(result)
    return result
  }

  /** Accepts nothing more; resolves when what was accepted is answered. */
  async close(reason: StorageError): Promise<void> {
    this.#ended ??= reason
    await this.#draining
    await this.exclusive(async () => {})
  }

  /** Stops for ever: what waits is refused, for nothing can be promised any more. */
  fail(error: StorageError): void {
    if (codeOf(this.#ended) === 'P2P_STORAGE_FAILED') return
    this.#ended = error
    for (const waiting of this.#waiting.splice(0)) waiting.reject(error)
    this.#waitingBytes = 0
    this.#options.onFailure(error)
  }

  async #drain(): Promise<void> {
    // The turn begins a microtask later, so that all writers woken by the last group are in this one.
    while (this.#waiting.length > 0) await this.exclusive(() => this.#commitGroup(this.#takeGroup()))
    this.#draining = undefined
  }

  #takeGroup(): Waiting[] {
    let count = 0
    let bytes = 0
    for (const waiting of this.#waiting) {
      if (count > 0 && bytes + waiting.bytes > TRANSACTION_BYTES_MAX) break
      count++
      bytes += waiting.bytes
      if (waiting.endsGroup) break
    }
    this.#waitingBytes -= bytes
    return this.#waiting.splice(0, count)
  }

  async #commitGroup(group: Waiting[]): Promise<void> {
    const stage = new Stage(this.state)
    const answers = group.map((waiting) => decide(waiting, stage))
    try {
      if (stage.commits.length > 0) await this.journal.append(stage.commits)
      for (const commit of stage.commits) this.history.add(commit.revision, this.state.apply(commit))
    } catch (error) {
      for (const waiting of group) waiting.reject(error)
      if (codeOf(error) !== 'P2P_STORAGE_FULL') this.fail(asFailure(error))
      return
    }
    for (const answer of answers) answer()
    if (stage.commits.length > 0) this.#options.onCommit()
  }
}

async function settled(promise: Promise<unknown>): Promise<void> {
  try {
    await promise
  } catch {
    // Whoever asked for it is told; the next in line only waits for its end.
  }
}

/** Answers wait for the group: even a refused compare may have seen what is not durable yet. */
function decide(waiting: Waiting, stage: Stage): () => void {
  try {
    const result = waiting.decide(stage)
    return () => waiting.resolve(result)
  } catch (error) {
    return () => waiting.reject(error)
  }
}

function asFailure(cause: unknown): StorageError {
  if (cause instanceof StorageError) return cause
  return new StorageError(
    'P2P_STORAGE_FAILED',
    'A commit failed in an unexpected way: nothing more is written',
    {},
    { cause },
  )
}
