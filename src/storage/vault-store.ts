import { assert } from '../base/assert.ts'
import { toHex } from '../base/bytes.ts'
import type { ChangeEvent, ControlStore, Entry, Transaction, TransactionResult } from '../base/control-store.ts'
import { messageOf, StorageError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Random } from '../base/random.ts'
import type { Clock } from '../base/time.ts'
import type { CommitQueue } from './commit-queue.ts'
import { LeaseTimers } from './lease-timers.ts'
import { LEASES_MAX } from './vault/limits.ts'
import type { Change } from './vault/records.ts'
import { checkedTransaction, type Stage } from './vault/stage.ts'

const LEASE_CHANGE_BYTES = 128
/** An expiry that could not be written (disk full) is tried again after this. */
const EXPIRY_RETRY_MS = 1000

export interface VaultStoreNeeds {
  clock: Clock
  random: Random
  log: Logger
}

/** The vault's keys as a {@link ControlStore}. Refuses with P2P_STORAGE_CLOSED outside of {@link open} and {@link close}. */
export class VaultStore implements ControlStore {
  readonly #random: Random
  readonly #clock: Clock
  readonly #log: Logger
  readonly #path: string
  readonly #leases: LeaseTimers
  readonly #watchers = new Set<() => void>()
  #queue: CommitQueue | undefined

  constructor({ clock, random, log }: VaultStoreNeeds, path: string) {
    this.#clock = clock
    this.#random = random
    this.#log = log
    this.#path = path
    this.#leases = new LeaseTimers(clock, (leaseId) => this.#expire(leaseId))
  }

  get revision(): number {
    return this.#queue?.state.revision ?? 0
  }

  async get(key: string): Promise<Entry | undefined> {
    const entry = this.#open().state.get(key)
    return entry && copyOf(entry)
  }

  async range(prefix: string, limit = Infinity): Promise<Entry[]> {
    const entries: Entry[] = []
    for (const entry of this.#open().state.range(prefix)) {
      if (entries.length >= limit) break
      entries.push(copyOf(entry))
    }
    return entries
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const queue = this.#open()
    const checked = checkedTransaction(transaction)
    return queue.submit({ bytes: checked.bytes, decide: (stage) => stage.transact(checked.transaction) })
  }

  watch(
    prefix: string,
    { fromRevision = this.revision + 1, signal }: { fromRevision?: number; signal: AbortSignal },
  ): AsyncIterable<ChangeEvent> {
    return this.#follow(prefix, Math.max(1, fromRevision), signal)
  }

  async grantLease(ttlMs: number): Promise<string> {
    assert(Number.isSafeInteger(ttlMs) && ttlMs > 0, 'a lease lives a whole number of milliseconds')
    const queue = this.#open()
    if (queue.state.leaseCount >= LEASES_MAX) {
      throw new StorageError('P2P_STORAGE_FULL', `There are ${LEASES_MAX} leases already; revoke some`)
    }
    const leaseId = toHex(this.#random.bytes(8))
    await queue.submit(leaseRequest({ type: 'grant', leaseId, ttlMs }))
    this.#leases.arm(leaseId, ttlMs)
    return leaseId
  }

  async keepAlive(leaseId: string): Promise<void> {
    this.#open()
    this.#leases.renew(leaseId)
  }

  async revokeLease(leaseId: string): Promise<void> {
    const queue = this.#open()
    this.#leases.disarm(leaseId)
    try {
      await queue.submit(leaseRequest({ type: 'end', leaseId }))
    } catch (error) {
      this.#retryExpiry(leaseId, error)
      throw error
    }
  }

  /** Begins to serve; leases count down from their whole time. */
  open(queue: CommitQueue): void {
    this.#queue = queue
    for (const { leaseId, ttlMs } of queue.state.leases()) this.#leases.arm(leaseId, ttlMs)
  }

  /** Answers what was accepted, refuses everything else, ends all watches. */
  async close(): Promise<void> {
    this.#leases.clear()
    const queue = this.#queue
    await queue?.close(this.#closed())
    this.#queue = undefined
    this.wake()
  }

  /** Lets the watchers look for what is new: a commit, or the end. */
  wake(): void {
    for (const wake of this.#watchers) wake()
  }

  async *#follow(
    prefix: string,
    fromRevision: number,
    signal: AbortSignal,
  ): AsyncGenerator<ChangeEvent, void, undefined> {
    let revision = fromRevision
    while (!signal.aborted) {
      const { state, history, ended } = this.#open()
      if (revision <= history.forgottenRevision) throw compacted(revision, history.forgottenRevision)
      if (revision > state.revision) {
        if (ended) throw ended
        await this.#nextWake(signal)
        continue
      }
      for (const event of history.at(revision)) {
        if (signal.aborted) return
        if (keyOf(event).startsWith(prefix))
          yield event.type === 'put' ? { type: 'put', entry: copyOf(event.entry) } : event
      }
      revision++
    }
  }

  #nextWake(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#watchers.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#watchers.add(wake)
      signal.addEventListener('abort', wake, { once: true })
    })
  }

  #open(): CommitQueue {
    if (!this.#queue) throw this.#closed()
    return this.#queue
  }

  #closed(): StorageError {
    return new StorageError('P2P_STORAGE_CLOSED', `The vault ${this.#path} is not open`, { path: this.#path })
  }

  #expire(leaseId: string): void {
    const queue = this.#queue
    if (!queue || queue.ended) return
    queue.submit(leaseRequest({ type: 'end', leaseId })).catch((error: unknown) => this.#retryExpiry(leaseId, error))
  }

  #retryExpiry(leaseId: string, error: unknown): void {
    if (this.#queue?.ended) return
    this.#log.warning('A lease has ended but its keys could not be deleted yet', { leaseId, reason: messageOf(error) })
    this.#clock.after(EXPIRY_RETRY_MS, () => this.#expire(leaseId))
  }
}

function leaseRequest(change: Change): Parameters<CommitQueue['submit']>[0] {
  const decide = (stage: Stage): TransactionResult => ({ succeeded: true, revision: stage.change([change]) })
  return { bytes: LEASE_CHANGE_BYTES, endsGroup: change.type === 'end', decide }
}

/** A caller that changes what it got must not change what is stored. */
function copyOf({ key, value, createRevision, revision, version }: Entry): Entry {
  return { key, value: new Uint8Array(value), createRevision, revision, version }
}

function keyOf(event: ChangeEvent): string {
  return event.type === 'put' ? event.entry.key : event.key
}

function compacted(revision: number, forgotten: number): StorageError {
  const message = `Changes before revision ${forgotten + 1} are no longer kept (asked for ${revision}): read the range, then watch from its revision`
  return new StorageError('P2P_STORAGE_COMPACTED', message, { revision, oldestRevision: forgotten + 1 })
}
