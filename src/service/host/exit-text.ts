import { constants } from 'node:os'
import type { EndCause } from '../supervision/restart-counter.ts'

export interface ProcessExit {
  code: number | null
  signal: NodeJS.Signals | null
}

/** Signals that come from a person or a program, not from a mistake in the code. */
const FROM_OUTSIDE: ReadonlySet<string> = new Set(['SIGKILL', 'SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'])
const SIGNAL_OF_NUMBER = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

/** A sandbox, like a shell, ends with 128 and the signal's number when what ran in it was ended by a signal. */
export function withSignal({ code, signal }: ProcessExit, isWrapped: boolean): ProcessExit {
  const name = isWrapped && code !== null && code > 128 ? SIGNAL_OF_NUMBER.get(code - 128) : undefined
  return name === undefined ? { code, signal } : { code: null, signal: name as NodeJS.Signals }
}

/** A signal that a program does not send itself came from somebody else. */
export function causeOf({ code, signal }: ProcessExit): EndCause {
  if (signal !== null) return FROM_OUTSIDE.has(signal) ? 'killed' : 'fault'
  return code === 0 ? 'done' : 'fault'
}

const OUT_OF_MEMORY = /heap out of memory|ERR_WORKER_OUT_OF_MEMORY/

/**
 * How it ended, for people.
 * @param tail what it wrote last beside information
 */
export function exitText({ code, signal }: ProcessExit, tail: readonly string[], memoryMb: number | undefined): string {
  if (tail.some((line) => OUT_OF_MEMORY.test(line))) return outOfMemory(memoryMb)
  const how = signal === null ? `it ended with exit code ${code}` : `it was ended by ${signal}`
  const last = tail.findLast((line) => line.trim() !== '')
  return last === undefined || causeOf({ code, signal }) !== 'fault' ? how : `${how}: ${last}`
}

export function outOfMemory(memoryMb: number | undefined): string {
  const limit = memoryMb === undefined ? '' : `: limits.memoryMb in manifest.json is ${memoryMb}`
  return `it ran out of memory${limit}`
}
