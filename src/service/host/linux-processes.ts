import { readdir, readFile } from 'node:fs/promises'

/** Units of processor time in /proc: USER_HZ, 100 on every Linux that Node supports (time(7)). */
const TICK_MS = 10
const PAGE_BYTES = 4_096
/** Of one service: more are not counted. */
const PROCESSES_MAX = 256

export interface ProcessStat {
  /** When it began, in ticks since the machine started: tells it from an earlier process with the same id. */
  startTicks: number
  cpuMs: number
  memoryBytes: number
}

/** @returns undefined for a process that is gone (proc(5), /proc/pid/stat) */
export async function statOf(pid: number): Promise<ProcessStat | undefined> {
  const text = await readProc(`${pid}/stat`)
  if (text === undefined) return undefined
  // The name in parentheses may hold anything; what follows is numbers from the third field on.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const field = (number: number): number => Number(fields[number - 3])
  return {
    startTicks: field(22),
    cpuMs: (field(14) + field(15)) * TICK_MS,
    memoryBytes: field(24) * PAGE_BYTES,
  }
}

/** The process and all that descend from it. */
export async function familyOf(pid: number): Promise<number[]> {
  const family = [pid]
  for (let i = 0; i < family.length && family.length < PROCESSES_MAX; i++) {
    const parent = family[i] as number
    const children = await readProc(`${parent}/task/${parent}/children`)
    family.push(...(children ?? '').split(' ').filter(Boolean).map(Number))
  }
  return family
}

/** Ids of the processes that were started with such a value of the variable in their environment, as far as this user may see. */
export async function processesWith(variable: string, isWanted: (value: string) => boolean): Promise<number[]> {
  const prefix = `${variable}=`
  const found: number[] = []
  for (const name of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(name)) continue
    const environment = await readProc(`${name}/environ`)
    const value = environment?.split('\0').find((entry) => entry.startsWith(prefix))
    if (value !== undefined && isWanted(value.slice(prefix.length))) found.push(Number(name))
  }
  return found
}

async function readProc(path: string): Promise<string | undefined> {
  return readFile(`/proc/${path}`, 'utf8').catch(() => undefined)
}
