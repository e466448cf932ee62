import type { LogFilter, LogLine } from '../../base/log-line.ts'
import { LOG_LEVELS } from '../../base/log.ts'
import { partMatcher, wordsMatcher } from './search-words.ts'

/** What a filter looks at. */
type FilteredLine = Pick<LogLine, 'timeMs' | 'level' | 'logger' | 'message' | 'fieldsJson' | 'traceId'>

/** Whether a line matches all of the filter but the node, which the caller knows. */
export function lineMatcher(filter: LogFilter): (line: FilteredLine) => boolean {
  const { level, logger, search, traceId, sinceMs = -Infinity, untilMs = Infinity } = filter
  const rank = level === undefined ? 0 : LOG_LEVELS.indexOf(level)
  const isLogger = partMatcher(logger)
  const hasWords = wordsMatcher(search)
  return (line) =>
    line.timeMs >= sinceMs &&
    line.timeMs <= untilMs &&
    LOG_LEVELS.indexOf(line.level) >= rank &&
    (traceId === undefined || line.traceId === traceId) &&
    isLogger(line.logger) &&
    hasWords(line.message, line.fieldsJson)
}
