import { useMemo, useRef } from 'react'
import type { LogLine } from '../api/types.ts'
import { type LogFilter, matcherOf } from './log-filter.ts'
import { useLogLines } from './use-live.ts'

interface Kept {
  matches: (line: LogLine) => boolean
  source: readonly LogLine[]
  /** Lines of the source that were looked at. */
  seen: number
  lines: LogLine[]
}

/**
 * The lines that a filter lets through, oldest first. The node chooses them; lines on their way when the filter changed are left
 * out here. Only new lines are looked at: a hundred thousand are too many per frame.
 * @param filter the same object while it says the same
 */
export function useFilteredLines(filter: LogFilter): { lines: readonly LogLine[]; version: number } {
  const { lines: source, version } = useLogLines(filter)
  const kept = useRef<Kept>(undefined)
  const matches = useMemo(() => matcherOf(filter), [filter])
  const known = kept.current
  // The buffer appends in place, and is another array after lines were cut off or came late.
  if (known && known.matches === matches && known.source === source) {
    for (const line of source.slice(known.seen)) if (matches(line)) known.lines.push(line)
    known.seen = source.length
    return { lines: known.lines, version }
  }
  kept.current = { matches, source, seen: source.length, lines: source.filter(matches) }
  return { lines: kept.current.lines, version }
}
