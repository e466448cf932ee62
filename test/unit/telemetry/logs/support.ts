import type { Files, OpenFile } from '../../../../src/base/files.ts'
import type { LogEntry, Logger } from '../../../../src/base/log.ts'

/** A logger that only remembers. */
export class RememberingLogger implements Logger {
  readonly lines: string[] = []

  debug(message: string): void {
    this.lines.push(`DEBUG ${message}`)
  }

  info(message: string): void {
    this.lines.push(`INFO ${message}`)
  }

  warning(message: string): void {
    this.lines.push(`WARNING ${message}`)
  }

  error(message: string): void {
    this.lines.push(`ERROR ${message}`)
  }

  critical(message: string): void {
    this.lines.push(`CRITICAL ${message}`)
  }

  child(): Logger {
    return this
  }
}

export function entry(message: string, more: Partial<LogEntry> = {}): LogEntry {
  return { timeMs: 1_770_000_000_000, level: 'INFO', logger: 'Test', message, fields: {}, ...more }
}

/** The messages of lines as they travel. */
export function messagesOf(lines: readonly string[]): string[] {
  return lines.map((line) => (JSON.parse(line) as { message: string }).message)
}

export const ALL = { linesMax: 1_000_000, charactersMax: Infinity }

const NEVER = new Promise<never>(() => {})

/** The disk as one process sees it: once that is killed, nothing it began comes back, and nothing it begins is done. */
export function filesOfProcess(files: Files): { files: Files; kill: () => void } {
  let isKilled = false
  const guarded = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name)
        if (typeof value !== 'function') return value
        return async (...args: unknown[]) => {
          if (isKilled) return NEVER
          const result: unknown = await (value as (...args: unknown[]) => unknown).apply(object, args)
          if (isKilled) return NEVER
          return name === 'open' ? guarded(result as OpenFile) : result
        }
      },
    })
  return { files: guarded(files), kill: () => void (isKilled = true) }
}
