import type { Clock, Timer } from '../base/time.ts'
import { leaseUnknown } from './vault/stage.ts'

interface Running {
  ttlMs: number
  timer: Timer
}

/** Counts down the leases of this process. After a restart every lease begins with its whole time again, as in etcd. */
export class LeaseTimers {
  readonly #clock: Clock
  readonly #onExpiry: (leaseId: string) => void
  readonly #running = new Map<string, Running>()

  constructor(clock: Clock, onExpiry: (leaseId: string) => void) {
    this.#clock = clock
    this.#onExpiry = onExpiry
  }

  /** Starts the countdown, or starts it again. */
  arm(leaseId: string, ttlMs: number): void {
    this.#running.get(leaseId)?.timer.cancel()
    const timer = this.#clock.after(ttlMs, () => {
      this.#running.delete(leaseId)
      this.#onExpiry(leaseId)
    })
    this.#running.set(leaseId, { ttlMs, timer })
  }

  /** @throws {StorageError} P2P_STORAGE_LEASE_UNKNOWN */
  renew(leaseId: string): void {
    const running = this.#running.get(leaseId)
    if (!running) throw leaseUnknown(leaseId)
    this.arm(leaseId, running.ttlMs)
  }

  /** @throws {StorageError} P2P_STORAGE_LEASE_UNKNOWN */
  disarm(leaseId: string): void {
    const running = this.#running.get(leaseId)
    if (!running) throw leaseUnknown(leaseId)
    running.timer.cancel()
    this.#running.delete(leaseId)
  }

  clear(): void {
    for (const { timer } of this.#running.values()) timer.cancel()
    this.#running.clear()
  }
}
