import { CliError } from '../../base/errors.ts'
import type { LogLevel } from '../../base/log.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { type Format, plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { LogLine } from '../session/wire.ts'

interface LogFlags extends ConnectionFlags {
  node?: string
  level?: LogLevel
  logger?: string
  grep?: string
  since?: string
  limit: number
  output: OutputFormat
}

const LEVEL_STYLES: Readonly<Record<string, Format>> = {
  DEBUG: 'dim',
  WARNING: 'yellow',
  ERROR: 'red',
  CRITICAL: 'redBright',
}

/** `p2p logs` */
export async function logs(host: CliHost, flags: LogFlags): Promise<void> {
  const query = new URLSearchParams({ limit: String(flags.limit) })
  const chosen = {
    node_id: flags.node,
    level: flags.level,
    logger_name: flags.logger,
    search: flags.grep,
    since: flags.since === undefined ? undefined : sinceTime(flags.since, host.wallMs()),
  }
  for (const [name, value] of Object.entries(chosen)) if (value !== undefined) query.set(name, value)
  const session = await connect(host, flags)
  const path = `/api/logs?${query.toString()}`
  const { logs: lines, total } = await session.call<{ logs: LogLine[]; total: number }>({ method: 'GET', path })
  if (flags.output === 'table' && total === 0) {
    host.talk.write('No log line matches\n')
    return
  }
  const style = styler(host.output, host.environment)
  const readable = (): string =>
    lines
      .toReversed()
      .map((line) => lineText(line, style))
      .join('')
  await show(host, flags.output, lines, readable)
  if (total > lines.length) host.talk.write(`The newest ${lines.length} of ${total} lines; --limit shows more\n`)
}

/** The moment as the node takes it. A span ends now, by this machine's clock. @throws {CliError} P2P_CLI_USAGE */
function sinceTime(text: string, nowMs: number): string {
  const spanMs = parseDuration(text)
  // Date takes much else for a date, and gives it a meaning nobody had in mind.
  const asTime = /^\d{4}-\d\d-\d\d/.test(text) ? text : NaN
  const moment = new Date(spanMs === undefined ? asTime : nowMs - spanMs)
  if (!Number.isNaN(moment.getTime())) return moment.toISOString()
  throw new CliError(
    'P2P_CLI_USAGE',
    `--since "${text}" is neither a span such as 90s, 10m, 2h or 1d nor a time such as 2026-01-02T03:04:05Z`,
  )
}

function lineText(line: LogLine, style: ReturnType<typeof styler>): string {
  const { error } = line.fields
  const fields = Object.entries(line.fields).map(
    ([name, value]) => ` ${style('dim', `${plain(name)}=`)}${valueText(value)}`,
  )
  const format = LEVEL_STYLES[line.level]
  const level = plain(line.level).padEnd(8)
  const head = `${plain(line.timestamp)} ${format ? style(format, level) : level} ${plain(line.logger_name)}: ${plain(line.message)}`
  const frames = isErrorRecord(error) && Array.isArray(error.stack) ? error.stack : []
  return `${head}${fields.join('')}\n${frames.map((frame) => style('dim', `    ${plain(String(frame))}\n`)).join('')}`
}

function valueText(value: unknown): string {
  if (isErrorRecord(value)) return plain(value.code === undefined ? value.message : `${value.code}: ${value.message}`)
  return plain(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

/** How an error is written in a log line. */
function isErrorRecord(value: unknown): value is { message: string; code?: string; stack?: unknown } {
  return typeof value === 'object' && value !== null && 'name' in value && 'message' in value
}
