import { ConfigError } from '../base/errors.ts'

/** Where something was written: a file with line and column, or a flag or variable without. */
export interface Place {
  /** The file as it was named, `--port` or `P2P_REDIS_URL`. */
  source: string
  /** Counted from 1; 0 where there are no lines. */
  line: number
  column: number
}

/** One thing wrong with a configuration. */
export interface ConfigIssue {
  place: Place
  /** The YAML key, where one is concerned. */
  key: string | undefined
  /** What is wrong and what to do, as one sentence without its full stop. */
  message: string
  isUnknownKey: boolean
}

/** Beyond this many the reader is better served by mending the first ones. */
const ISSUES_SHOWN_MAX = 50

/** All issues as one error, a line each in the order of the file: `config/worker.yaml:3:7: message`. */
export function configError(issues: readonly ConfigIssue[]): ConfigError {
  const code = issues.every((issue) => issue.isUnknownKey) ? 'P2P_CONFIG_UNKNOWN_KEY' : 'P2P_CONFIG_INVALID'
  const shown = issues
    .toSorted((a, b) => a.place.line - b.place.line || a.place.column - b.place.column)
    .slice(0, ISSUES_SHOWN_MAX)
  const lines = shown.map(({ place, message }) => `${showPlace(place)}: ${message}`)
  if (issues.length > shown.length) lines.push(`and ${issues.length - shown.length} more`)
  return new ConfigError(code, lines.join('\n'), {
    issues: shown.map(({ place, key, message }) => ({ place: showPlace(place), key, message })),
  })
}

function showPlace({ source, line, column }: Place): string {
  return line === 0 ? source : `${source}:${line}:${column}`
}
