import type { Random } from '../../../src/base/random.ts'
import type { Clock, Timer } from '../../../src/base/time.ts'
import { silentLogger } from '../../../src/base/log.ts'
import type { ErrorCode } from '../../../src/base/errors.ts'
import { createVault, type UnlockKey, type VaultOptions } from '../../../src/storage/index.ts'
import { SimulatedDisk } from '../../../src/testing/simulated-disk.ts'
import { SimulatedRandom } from '../../../src/testing/simulated-random.ts'

/** A plot's password without a plot: strong, so that unlocking takes no time. */
export const PLOT_KEY: UnlockKey = { kind: 'plot', secret: 'the-password-of-a-plot-'.repeat(4) }
export const VAULT_PATH = '/data/vault'

/** Time that stands still until it is moved. */
export class ManualClock implements Clock {
  #nowMs = 0
  readonly #timers = new Set<{ atMs: number; periodMs: number | undefined; fn: () => void }>()

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#nowMs
  }

  after(delayMs: number, fn: () => void): Timer {
    return this.#add(delayMs, undefined, fn)
  }

  every(periodMs: number, fn: () => void): Timer {
    return this.#add(periodMs, periodMs, fn)
  }

  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = [...this.#timers].filter(({ atMs }) => atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0]
      if (!next) break
      this.#nowMs = next.atMs
      if (next.periodMs === undefined) this.#timers.delete(next)
      else next.atMs += next.periodMs
      next.fn()
    }
    this.#nowMs = endMs
  }

  get pendingTimers(): number {
    return this.#timers.size
  }

  #add(delayMs: number, periodMs: number | undefined, fn: () => void): Timer {
    const timer = { atMs: this.#nowMs + delayMs, periodMs, fn }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }
}

export interface World {
  disk: SimulatedDisk
  clock: ManualClock
  random: Random
  needs: Parameters<typeof createVault>[0]
}

export function world(seed = 1): World {
  const random = new SimulatedRandom(seed)
  const disk = new SimulatedDisk(new SimulatedRandom(seed + 1_000_000))
  const clock = new ManualClock()
  return { disk, clock, random, needs: { files: disk, clock, random, log: silentLogger } }
}

/** A started vault on the simulated disk. */
export async function openVault(
  { needs }: Pick<World, 'needs'>,
  options: Partial<VaultOptions> = {},
): Promise<ReturnType<typeof createVault>> {
  const vault = createVault(needs, { path: VAULT_PATH, unlock: PLOT_KEY, createIfMissing: true, ...options })
  await vault.start(new AbortController().signal)
  return vault
}

/** For assert.rejects: an error of ours with this code, whose message names what it must. */
export function refusal(code: ErrorCode, ...mentions: string[]): (error: unknown) => boolean {
  return (error) => {
    const { code: actual, message } = error as { code?: string; message?: string }
    const isRight = actual === code && mentions.every((text) => message?.includes(text))
    if (!isRight)
      throw new Error(`expected ${code} naming ${mentions.join(', ')}, got ${actual}: ${message}`, { cause: error })
    return true
  }
}

export function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

/** Lets everything run that is ready. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 50; i++) await Promise.resolve()
}
