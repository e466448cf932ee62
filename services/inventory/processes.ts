import { readdir, readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { ServiceError, z } from 'p2p-core/service'

export const Processes = z.object({
  count: z.number().describe('Processes this node can see'),
  by_cpu: z.array(z.object({ pid: z.number(), name: z.string(), cpu_percent: z.number(), memory_bytes: z.number() })),
  by_memory: z.array(
    z.object({ pid: z.number(), name: z.string(), cpu_percent: z.number(), memory_bytes: z.number() }),
  ),
})

const PROCESSES_MAX = 4_096
/** Between the two looks at the processors' time; `cpu_percent` is the share in between. */
const SAMPLE_MS = 250
/** Read at once: enough to be quick, few enough to leave the node's other file work its turn. */
const READS_AT_ONCE = 32
/** Units of `utime` and `stime`: USER_HZ, 100 on every Linux that Node supports (time(7)). */
const TICKS_PER_SECOND = 100

interface ProcessSample {
  pid: number
  /** When it began: tells it from an earlier process with the same pid. */
  startTicks: number
  name: string
  cpuTicks: number
}

/**
 * The processes that use most. Command lines are not shown: they often hold passwords.
 * @throws {ServiceError} NOT_SUPPORTED but on Linux: Node has no means to list processes without starting one
 */
export async function processes(top: number, signal: AbortSignal): Promise<z.infer<typeof Processes>> {
  if (process.platform !== 'linux') {
    throw new ServiceError(
      'NOT_SUPPORTED',
      `Processes can be listed on Linux only; this node runs on ${process.platform}`,
    )
  }
  const before = new Map((await sampleAll(signal)).map((sample) => [idOf(sample), sample.cpuTicks]))
  const beforeMs = performance.now()
  await pause(SAMPLE_MS, undefined, { signal })
  const samples = await sampleAll(signal)
  const seconds = (performance.now() - beforeMs) / 1_000
  const all = await inBatches(samples, signal, async (sample) => {
    const { pid, name, cpuTicks } = sample
    // A process that began in between has spent all its time since then.
    const ticks = cpuTicks - (before.get(idOf(sample)) ?? 0)
    const cpuPercent = (100 * ticks) / TICKS_PER_SECOND / seconds
    return { pid, name, cpu_percent: Math.round(cpuPercent * 10) / 10, memory_bytes: await residentBytes(pid) }
  })
  return {
    count: all.length,
    by_cpu: all.toSorted((a, b) => b.cpu_percent - a.cpu_percent || b.memory_bytes - a.memory_bytes).slice(0, top),
    by_memory: all.toSorted((a, b) => b.memory_bytes - a.memory_bytes).slice(0, top),
  }
}

async function sampleAll(signal: AbortSignal): Promise<ProcessSample[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).slice(0, PROCESSES_MAX)
  const samples = await inBatches(pids, signal, async (pid) => parseStat(await readProc(`/proc/${pid}/stat`)))
  return samples.filter((sample) => sample !== undefined)
}

/** pid, name, start and spent time of /proc/<pid>/stat (proc_pid_stat(5)). The name may hold blanks and brackets. */
export function parseStat(stat: string): ProcessSample | undefined {
  const match = /^(\d+) \((.*)\) \S (.*)$/s.exec(stat)
  if (!match) return undefined
  const [, pid, name = '', rest = ''] = match
  // Field 4 of the page is index 0 here: utime is field 14, stime 15, starttime 22.
  const fields = rest.split(' ').map(Number)
  const [utime = 0, stime = 0, startTicks = 0] = [fields[10], fields[11], fields[18]]
  return { pid: Number(pid), name, startTicks, cpuTicks: utime + stime }
}

function idOf({ pid, startTicks }: ProcessSample): string {
  return `${pid} ${startTicks}`
}

/** 0 for kernel threads and for what has ended since. */
async function residentBytes(pid: number): Promise<number> {
  const status = await readProc(`/proc/${pid}/status`)
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1_024
}

/** Empty when the process has ended. */
function readProc(path: string): Promise<string> {
  return readFile(path, 'utf8').catch(() => '')
}

async function inBatches<T, R>(items: T[], signal: AbortSignal, work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < items.length; from += READS_AT_ONCE) {
    signal.throwIfAborted()
    results.push(...(await Promise.all(items.slice(from, from + READS_AT_ONCE).map(work))))
  }
  return results
}
