import { statfs } from 'node:fs/promises'
import { availableParallelism, cpus, hostname, loadavg, totalmem, uptime } from 'node:os'
import { arch, availableMemory, constrainedMemory, memoryUsage, platform } from 'node:process'
import { interfaceFacts } from './interface-facts.ts'
import { lastKnown } from './last-known.ts'

/**
 * The real facts of this machine, in the shape `builtin/` asks for: all from Node itself, none slower than a
 * fraction of a millisecond. Each call makes a meter of its own for `cpuPercent`.
 */
export function createHostFacts() {
  const cpuPercent = createCpuMeter()
  return {
    hostname: hostname(),
    platform,
    arch,
    cpuCount: availableParallelism(),
    memory: memoryFacts,
    cpuPercent,
    loadAverage: () => loadavg() as [number, number, number],
    disk: diskFacts,
    networkInterfaces: interfaceFacts,
    uptimeSeconds: () => uptime(),
    processMemoryBytes: lastKnown(() => memoryUsage.rss()),
  }
}

/** Within a container's memory limit, where there is one. */
function memoryFacts(): { totalBytes: number; availableBytes: number } {
  // Without a limit the kernel answers a number far beyond any memory, or 0.
  const limitBytes = constrainedMemory()
  const totalBytes = limitBytes > 0 ? Math.min(limitBytes, totalmem()) : totalmem()
  return { totalBytes, availableBytes: Math.min(availableMemory(), totalBytes) }
}

async function diskFacts(path: string): Promise<{ totalBytes: number; freeBytes: number }> {
  const { bsize, blocks, bavail } = await statfs(path)
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}

interface CpuTimes {
  busyMs: number
  totalMs: number
}

/**
 * @param read the processors' times since the machine started; for tests
 * @returns the share of all processors that was busy since the previous call, 0 to 100; a call that comes before
 *   the system has counted on answers the previous share
 */
export function createCpuMeter(read: () => CpuTimes = readCpuTimes): () => number {
  let previous = read()
  let percent = 0
  return () => {
    const current = read()
    const totalMs = current.totalMs - previous.totalMs
    if (totalMs > 0) {
      percent = Math.min(100, Math.max(0, (100 * (current.busyMs - previous.busyMs)) / totalMs))
      previous = current
    }
    return percent
  }
}

function readCpuTimes(): CpuTimes {
  const times = cpus().map((cpu) => cpu.times)
  const totalMs = times.reduce((sum, { user, nice, sys, idle, irq }) => sum + user + nice + sys + idle + irq, 0)
  return { busyMs: totalMs - times.reduce((sum, { idle }) => sum + idle, 0), totalMs }
}
