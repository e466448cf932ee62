import type { LogLevel, LogLine } from '../api/types.ts'

/** Least first. */
export const LOG_LEVELS: readonly LogLevel[] = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']

/** Which lines to show; empty fields say nothing. */
export interface LogFilter {
  nodeId: string
  level: LogLevel | ''
  logger: string
  search: string
}

export const NO_FILTER: LogFilter = { nodeId: '', level: '', logger: '', search: '' }

/** The same choice that `GET /api/logs` makes: level and above, part of the logger's name, all the words. */
export function matcherOf({ nodeId, level, logger, search }: LogFilter): (line: LogLine) => boolean {
  const least = level === '' ? 0 : LOG_LEVELS.indexOf(level)
  const loggerPart = logger.toLowerCase()
  const words = wordsOf(search)
  return (line) => {
    if (nodeId !== '' && line.node_id !== nodeId) return false
    if (LOG_LEVELS.indexOf(line.level) < least) return false
    if (loggerPart !== '' && !line.logger_name.toLowerCase().includes(loggerPart)) return false
    if (words.length === 0) return true
    const text = `${line.message} ${line.fields ? JSON.stringify(line.fields) : ''}`.toLowerCase()
    return words.every((word) => text.includes(word))
  }
}

function wordsOf(search: string): string[] {
  return search.toLowerCase().split(/\s+/).filter(Boolean)
}

/** The query of `GET /api/logs` for it. */
export function queryOf({ nodeId, level, logger, search }: LogFilter): URLSearchParams {
  const query = new URLSearchParams()
  if (nodeId !== '') query.set('node_id', nodeId)
  if (level !== '') query.set('level', level)
  if (logger !== '') query.set('logger_name', logger)
  if (search.trim() !== '') query.set('search', search.trim())
  return query
}
