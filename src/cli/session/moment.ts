import { CliError } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'

/**
 * The moment as the node takes it: a time, or a span that is counted from now by this machine's clock.
 * @param sign -1: so long ago; 1: so long from now
 * @throws {CliError} P2P_CLI_USAGE
 */
export function momentOf(flag: string, text: string, nowMs: number, sign: -1 | 1 = -1): string {
  const spanMs = parseDuration(text)
  // Date takes much else for a date, and gives it a meaning nobody had in mind.
  const asTime = /^\d{4}-\d\d-\d\d/.test(text) ? text : NaN
  const moment = new Date(spanMs === undefined ? asTime : nowMs + sign * spanMs)
  if (!Number.isNaN(moment.getTime())) return moment.toISOString()
  throw new CliError(
    'P2P_CLI_USAGE',
    `${flag} "${text}" is neither a span such as 90s, 10m, 2h or 1d nor a time such as 2026-01-02T03:04:05Z`,
  )
}
