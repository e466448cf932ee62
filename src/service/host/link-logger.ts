import type { LogFields, Logger, LogLevel } from '../../base/log.ts'
import { eventScope } from '../events/event-scope.ts'
import { currentTraceId } from '../calls/invocation.ts'
import type { HostReport } from './host-message.ts'
import { plainFields } from './plain-fields.ts'

/** Writes its lines over the link; the node's log has them under the name of the service. */
export function createLinkLogger(report: (report: HostReport) => void): Logger {
  const write = (level: LogLevel, message: string, fields: LogFields | undefined): void => {
    const traceId = currentTraceId() ?? eventScope.getStore()?.traceId
    report({
      type: 'log',
      level,
      message: textOf(message),
      ...(fields && { fields: plainFields(fields) }),
      ...(traceId !== undefined && { traceId }),
    })
  }
  const logger: Logger = {
    debug: (message, fields) => write('DEBUG', message, fields),
    info: (message, fields) => write('INFO', message, fields),
    warning: (message, fields) => write('WARNING', message, fields),
    error: (message, fields) => write('ERROR', message, fields),
    critical: (message, fields) => write('CRITICAL', message, fields),
    child: () => logger,
  }
  return logger
}

/** A message is text; whatever else a careless author hands in becomes text. */
function textOf(message: unknown): string {
  return typeof message === 'string' ? message : (JSON.stringify(message) ?? String(message))
}
