import type { Component } from '../../base/component.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock, Timer } from '../../base/time.ts'
import type { HistoryPoint, HistoryRange, MachineMetrics } from '../../service/index.ts'
import { MACHINE, valuesOf } from './machine-values.ts'
import { MetricHistory, OWN_SAMPLES } from './metric-history.ts'

/** What is measured of the machine; none of the immediate ones takes longer than a fraction of a millisecond. */
export interface MachineSource {
  readonly cpuCount: number
  /** Share of all processors that was busy since the previous call, 0 to 100. */
  cpuPercent(): number
  memory(): { totalBytes: number; availableBytes: number }
  loadAverage(): readonly [number, number, number]
  processMemoryBytes(): number
  disk(path: string): Promise<{ totalBytes: number; freeBytes: number }>
}

/** Counters of the machine since some moment; undefined where the system has none. */
export interface IoSource {
  network(): Promise<{ receivedBytes: number; sentBytes: number } | undefined>
  disk(): Promise<{ readBytes: number; writtenBytes: number } | undefined>
  processCount(): Promise<number | undefined>
}

export interface MachineSamplerNeeds {
  clock: Clock
  log: Logger
  machine: MachineSource
  io: IoSource
  /** Begins to measure how late the event loop is. */
  openLoopLag: () => { takeMaxMs(): number; stop(): void }
}

export interface MachineSamplerOptions {
  /** The file system whose space is told: that of the node's state. */
  statePath: string
}

/** Measures the machine a node runs on. */
export interface MachineSampler {
  /** As of the last second; undefined before the first one. */
  latest(): MachineMetrics | undefined
  history(range: HistoryRange, points: number): HistoryPoint[]
  /** The samples of the last two minutes, one a second. */
  samples(points: number): HistoryPoint[]
}

const SAMPLE_EVERY_MS = 1_000
/** What must be asked of the system and changes slowly. */
const SLOW_EVERY_SAMPLES = 10

/**
 * One sample a second, from numbers the system has at hand. What needs a question to it (disk, counters) is asked beside the
 * tick, one at a time, and told as last known: nothing waits for it.
 */
export function createMachineSampler(
  needs: MachineSamplerNeeds,
  options: MachineSamplerOptions,
): MachineSampler & Component {
  return new TickingSampler(needs, options)
}

/** Counters as they were last read, and their rise a second. */
interface Flow {
  first: number
  second: number
  firstPerS: number
  secondPerS: number
  readMs: number
}

class TickingSampler implements MachineSampler, Component {
  readonly name = 'machine-sampler'
  readonly #needs: MachineSamplerNeeds
  readonly #statePath: string
  readonly #log: Logger
  readonly #history = new MetricHistory(MACHINE, OWN_SAMPLES)
  readonly #failed = new Set<string>()
  #lag: { takeMaxMs(): number; stop(): void } | undefined
  #timer: Timer | undefined
  #latest: MachineMetrics | undefined
  #ticks = 0
  #disk = { percent: 0, free: 0, used: 0, total: 0 }
  #network: Flow | undefined
  #diskIo: Flow | undefined
  #processCount: number | undefined
  #reading: Promise<void> | undefined

  constructor(needs: MachineSamplerNeeds, { statePath }: MachineSamplerOptions) {
    this.#needs = needs
    this.#statePath = statePath
    this.#log = needs.log.child('Metrics')
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#lag = this.#needs.openLoopLag()
    await this.#readCounters(true)
    this.#sample()
    this.#timer = this.#needs.clock.every(SAMPLE_EVERY_MS, () => this.#tick())
  }

  async stop(): Promise<void> {
    this.#timer?.cancel()
    this.#lag?.stop()
    await this.#reading
  }

  latest(): MachineMetrics | undefined {
    return this.#latest
  }

  history(range: HistoryRange, points: number): HistoryPoint[] {
    return this.#history.points(range, this.#needs.clock.wallMs(), points)
  }

  samples(points: number): HistoryPoint[] {
    return this.#history.recent(0, points)
  }

  #tick(): void {
    this.#sample()
    this.#ticks++
    // A system that answers slowly is asked less often.
    this.#reading ??= this.#readCounters(this.#ticks % SLOW_EVERY_SAMPLES === 0).finally(() => {
      this.#reading = undefined
    })
  }

  #sample(): void {
    const { machine, clock } = this.#needs
    const { totalBytes, availableBytes } = machine.memory()
    const wallMs = clock.wallMs()
    const used = Math.max(0, totalBytes - availableBytes)
    this.#latest = {
      cpu_percent: rounded(machine.cpuPercent()),
      cpu_count: machine.cpuCount,
      memory: { percent: percent(used, totalBytes), available: availableBytes, used, total: totalBytes },
      memory_usage_mb: rounded(machine.processMemoryBytes() / 1_048_576),
      disk: this.#disk,
      disk_io: this.#diskIo
        ? {
            read_bytes: this.#diskIo.first,
            write_bytes: this.#diskIo.second,
            read_bytes_s: this.#diskIo.firstPerS,
            write_bytes_s: this.#diskIo.secondPerS,
          }
        : null,
      network_io: this.#network
        ? {
            bytes_recv: this.#network.first,
            bytes_sent: this.#network.second,
            rx_bytes_s: this.#network.firstPerS,
            tx_bytes_s: this.#network.secondPerS,
          }
        : null,
      load_average: machine.loadAverage().map(rounded),
      process_count: this.#processCount ?? null,
      loop_lag_ms: rounded(this.#lag?.takeMaxMs() ?? 0),
      timestamp: new Date(wallMs).toISOString(),
    }
    this.#history.add(wallMs, valuesOf(this.#latest))
  }

  /** Never rejects. */
  async #readCounters(isSlowToo: boolean): Promise<void> {
    const { io, machine } = this.#needs
    const network = await this.#asked('network counters', () => io.network())
    if (network) this.#network = this.#flow(this.#network, network.receivedBytes, network.sentBytes)
    if (!isSlowToo) return
    const disk = await this.#asked('disk space', () => machine.disk(this.#statePath))
    if (disk) {
      const used = disk.totalBytes - disk.freeBytes
      this.#disk = { percent: percent(used, disk.totalBytes), free: disk.freeBytes, used, total: disk.totalBytes }
    }
    const moved = await this.#asked('disk counters', () => io.disk())
    if (moved) this.#diskIo = this.#flow(this.#diskIo, moved.readBytes, moved.writtenBytes)
    this.#processCount = await this.#asked('processes', () => io.processCount())
  }

  /** A failure is said once, until it has worked again. */
  async #asked<T>(what: string, ask: () => Promise<T>): Promise<T | undefined> {
    try {
      const answer = await ask()
      this.#failed.delete(what)
      return answer
    } catch (error) {
      if (!this.#failed.has(what))
        this.#log.warning(`The ${what} of this machine cannot be read`, { error: messageOf(error) })
      this.#failed.add(what)
      return undefined
    }
  }

  #flow(before: Flow | undefined, first: number, second: number): Flow {
    const readMs = this.#needs.clock.nowMs()
    const seconds = before ? (readMs - before.readMs) / 1_000 : 0
    // A counter that fell began anew.
    const perS = (now: number, then: number): number => (seconds > 0 ? rounded(Math.max(0, now - then) / seconds) : 0)
    return {
      first,
      second,
      firstPerS: before ? perS(first, before.first) : 0,
      secondPerS: before ? perS(second, before.second) : 0,
      readMs,
    }
  }
}

function percent(part: number, whole: number): number {
  return whole === 0 ? 0 : Math.min(100, Math.max(0, rounded((100 * part) / whole)))
}

/** Two digits after the point. */
function rounded(value: number): number {
  return Math.round(value * 100) / 100
}
