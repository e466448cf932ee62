import { readdir, readFile } from 'node:fs/promises'
import { platform } from 'node:process'

/** Bytes since some moment in the past; only differences mean something. */
export interface NetworkCounters {
  receivedBytes: number
  sentBytes: number
}

export interface DiskCounters {
  readBytes: number
  writtenBytes: number
}

/** What the machine has moved so far. What a system does not tell is undefined. */
export interface IoCounters {
  network(): Promise<NetworkCounters | undefined>
  disk(): Promise<DiskCounters | undefined>
  processCount(): Promise<number | undefined>
}

/**
 * The machine's own counters: on Linux files that are read in 0.1 ms; elsewhere a library asks the system, which can take long
 * and is therefore loaded there only.
 */
export function createIoCounters(): IoCounters {
  return platform === 'linux' ? linuxCounters : otherCounters
}

const linuxCounters: IoCounters = {
  async network() {
    return parseNetDev(await readFile('/proc/net/dev', 'utf8'))
  },
  async disk() {
    return parseDiskStats(await readFile('/proc/diskstats', 'utf8'))
  },
  async processCount() {
    return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).length
  },
}

const otherCounters: IoCounters = {
  async network() {
    const { networkStats } = await import('systeminformation')
    const all = await networkStats('*')
    return {
      receivedBytes: all.reduce((sum, { rx_bytes: bytes }) => sum + bytes, 0),
      sentBytes: all.reduce((sum, { tx_bytes: bytes }) => sum + bytes, 0),
    }
  },
  async disk() {
    const { fsStats } = await import('systeminformation')
    // Null where the system does not count.
    const stats = (await fsStats()) as { rx: number; wx: number } | null
    return stats ? { readBytes: stats.rx, writtenBytes: stats.wx } : undefined
  },
  // Listing them starts a program.
  processCount: async () => undefined,
}

/** Interfaces whose traffic another one carries too: bridges and the host's ends of containers. */
const CARRIED_ELSEWHERE = /^(lo|veth|docker|br-|virbr)/

/** @param text `/proc/net/dev` (proc_net(5)): after the name received bytes, and as the ninth number those sent */
export function parseNetDev(text: string): NetworkCounters {
  const counters = { receivedBytes: 0, sentBytes: 0 }
  for (const line of text.split('\n')) {
    const match = /^\s*([^\s:]+):\s*(\d.*)$/.exec(line)
    if (!match || CARRIED_ELSEWHERE.test(match[1] as string)) continue
    const numbers = (match[2] as string).trim().split(/\s+/).map(Number)
    counters.receivedBytes += numbers[0] ?? 0
    counters.sentBytes += numbers[8] ?? 0
  }
  return counters
}

const SECTOR_BYTES = 512
/** Whole disks: partitions and what is built upon them would count twice. */
const WHOLE_DISK = /^([shv]d[a-z]+|xvd[a-z]+|nvme\d+n\d+|mmcblk\d+)$/

/** @param text `/proc/diskstats` (Documentation/admin-guide/iostats.rst of the kernel): fields 6 and 10 are sectors read and written */
export function parseDiskStats(text: string): DiskCounters {
  const counters = { readBytes: 0, writtenBytes: 0 }
  for (const line of text.split('\n')) {
    const fields = line.trim().split(/\s+/)
    if (!WHOLE_DISK.test(fields[2] ?? '')) continue
    counters.readBytes += Number(fields[5] ?? 0) * SECTOR_BYTES
    counters.writtenBytes += Number(fields[9] ?? 0) * SECTOR_BYTES
  }
  return counters
}
