import type { LogFields, Logger } from '../../../src/base/log.ts'

/** Keeps log lines for assertions. */
export class RecordingLogger implements Logger {
  readonly lines: { level: string; message: string; fields: LogFields | undefined }[] = []

  debug(message: string, fields?: LogFields): void {
    this.lines.push({ level: 'DEBUG', message, fields })
  }

  info(message: string, fields?: LogFields): void {
    this.lines.push({ level: 'INFO', message, fields })
  }

  warning(message: string, fields?: LogFields): void {
    this.lines.push({ level: 'WARNING', message, fields })
  }

  error(message: string, fields?: LogFields): void {
    this.lines.push({ level: 'ERROR', message, fields })
  }

  critical(message: string, fields?: LogFields): void {
    this.lines.push({ level: 'CRITICAL', message, fields })
  }

  child(): Logger {
    return this
  }

  matching(pattern: RegExp): { level: string; message: string; fields: LogFields | undefined }[] {
    return this.lines.filter(({ message }) => pattern.test(message))
  }

  text(): string {
    return JSON.stringify(this.lines)
  }
}
