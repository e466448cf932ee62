import type { InterfaceFact } from '../base/interface-fact.ts'

/** Bytes of memory. `availableBytes` is what programs could still get without swapping. */
export interface MemoryFacts {
  totalBytes: number
  availableBytes: number
}

/** Bytes of the file system that holds a path. `freeBytes` is what an ordinary user may still fill. */
export interface DiskFacts {
  totalBytes: number
  freeBytes: number
}

/**
 * What a node knows of the machine it runs on; `platform/` has the real ones. Nothing here may block
 * the event loop for longer than a millisecond, and nothing starts a process.
 */
export interface HostFacts {
  readonly hostname: string
  /** Node's `process.platform`: `linux`, `darwin`, `win32` … */
  readonly platform: string
  /** Node's `process.arch`: `x64`, `arm64` … */
  readonly arch: string
  readonly cpuCount: number
  memory(): MemoryFacts
  /** Share of all processors that was busy since the previous call (or since the start), 0 to 100. */
  cpuPercent(): number
  /** Averages over 1, 5 and 15 minutes; zeros on Windows, which has none. */
  loadAverage(): [number, number, number]
  disk(path: string): Promise<DiskFacts>
  networkInterfaces(): InterfaceFact[]
  /** Seconds since the machine started. */
  uptimeSeconds(): number
  /** Resident memory of this process. */
  processMemoryBytes(): number
}
