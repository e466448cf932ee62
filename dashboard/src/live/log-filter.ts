import type { LogLevel, LogLine } from '../api/types.ts'

/** Least first. */
export const LOG_LEVELS: readonly LogLevel[] = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']

/** Which lines to show; empty fields say nothing. */
export interface LogFilter {
  nodeId: string
  level: LogLevel | ''
  logger: string
  search: string
  /** Of one call, over all nodes. */
  traceId: string
}

export const NO_FILTER: LogFilter = { nodeId: '', level: '', logger: '', search: '', traceId: '' }

/** The same choice that the node makes: level and above, part of the logger's name, words that begin with each of these. */
export function matcherOf({ nodeId, level, logger, search, traceId }: LogFilter): (line: LogLine) => boolean {
  const least = level === '' ? 0 : LOG_LEVELS.indexOf(level)
  const loggerPart = logger.toLowerCase()
  const beginnings = wordsOf(search).map((word) => new RegExp(`(?<![\\p{L}\\p{N}])${word}`, 'u'))
  return (line) => {
    if (nodeId !== '' && line.node_id !== nodeId) return false
    if (traceId !== '' && line.trace_id !== traceId) return false
    if (LOG_LEVELS.indexOf(line.level) < least) return false
    if (loggerPart !== '' && !line.logger_name.toLowerCase().includes(loggerPart)) return false
    if (beginnings.length === 0) return true
    const text = plain(`${line.message} ${line.fields ? JSON.stringify(line.fields) : ''}`)
    return beginnings.every((beginning) => beginning.test(text))
  }
}

/** Letters and digits alone: nothing of it means anything in a regular expression. */
function wordsOf(search: string): string[] {
  return plain(search).match(/[\p{L}\p{N}]+/gu) ?? []
}

/** Without case and accents, as the node's full-text index has it. */
function plain(text: string): string {
  return text
    .normalize('NFD')
    .replaceAll(/\p{M}+/gu, '')
    .toLowerCase()
}

/** What `GET /api/logs` and the WebSocket call it. */
export function choiceOf({ nodeId, level, logger, search, traceId }: LogFilter): Record<string, string> {
  return {
    ...(nodeId !== '' && { node_id: nodeId }),
    ...(level !== '' && { level }),
    ...(logger !== '' && { logger_name: logger }),
    ...(search.trim() !== '' && { search: search.trim() }),
    ...(traceId !== '' && { trace_id: traceId }),
  }
}
