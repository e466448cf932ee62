import type { LogLevel } from '../../base/log.ts'
import type { CliHost } from '../host.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { type Format, plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import { checkFollow, followList } from '../session/follow-list.ts'
import { momentOf } from '../session/moment.ts'
import type { LogLine } from '../session/wire.ts'

interface LogFlags extends ConnectionFlags {
  follow?: true
  node?: string
  level?: LogLevel
  logger?: string
  grep?: string
  trace?: string
  since?: string
  until?: string
  limit: number
  output: OutputFormat
}

interface LogPage {
  logs: LogLine[]
  total: number
  latest_cursor?: number
}

const LEVEL_STYLES: Readonly<Record<string, Format>> = {
  DEBUG: 'dim',
  WARNING: 'yellow',
  ERROR: 'red',
  CRITICAL: 'redBright',
}

/** Of these one wants to know what the rest of the call did. */
const SERIOUS: ReadonlySet<string> = new Set(['WARNING', 'ERROR', 'CRITICAL'])

/** `p2p logs`: with `--follow` until it is interrupted. */
export async function logs(host: CliHost, flags: LogFlags): Promise<void> {
  checkFollow(flags)
  const query = chosen(flags, host.wallMs())
  const session = await connect(host, flags)
  const page = await session.call<LogPage>({ method: 'GET', path: `/api/logs?limit=${flags.limit}&${query}` })
  if (flags.follow) await follow(host, flags, { session, query, page })
  else await showPage(host, flags, page)
}

/** The part of the query that says which lines. @throws {CliError} P2P_CLI_USAGE */
function chosen(flags: LogFlags, nowMs: number): string {
  const query = new URLSearchParams()
  const values = {
    node_id: flags.node,
    level: flags.level,
    logger_name: flags.logger,
    search: flags.grep,
    trace_id: flags.trace,
    since: flags.since === undefined ? undefined : momentOf('--since', flags.since, nowMs),
    until: flags.until === undefined ? undefined : momentOf('--until', flags.until, nowMs),
  }
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, value)
  return query.toString()
}

async function showPage(host: CliHost, flags: LogFlags, { logs: lines, total }: LogPage): Promise<void> {
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

/** The page, oldest line first, then every line after it, each once, whatever happens to the connection. */
async function follow(
  host: CliHost,
  { output }: LogFlags,
  { session, query, page }: { session: Session; query: string; page: LogPage },
): Promise<void> {
  const style = styler(host.output, host.environment)
  const textOf =
    output === 'json' ? (line: LogLine) => `${JSON.stringify(line)}\n` : (line: LogLine) => lineText(line, style)
  const write = (lines: readonly LogLine[]): void => {
    if (lines.length > 0) host.output.write(lines.map(textOf).join(''))
  }
  write(page.logs.toReversed())
  const path = `/api/logs/events?after=${page.latest_cursor ?? 0}&${query}`
  for await (const told of followList<LogLine>(host, session, { path, name: 'lines' })) write(told)
}

function lineText(line: LogLine, style: ReturnType<typeof styler>): string {
  const { error } = line.fields
  const fields = Object.entries(line.fields).map(
    ([name, value]) => ` ${style('dim', `${plain(name)}=`)}${valueText(value)}`,
  )
  const format = LEVEL_STYLES[line.level]
  const level = plain(line.level).padEnd(8)
  const shownLevel = format ? style(format, level) : level
  const place = `${style('cyan', plain(line.node_id))} ${plain(line.logger_name)}`
  const head = `${plain(line.timestamp)} ${shownLevel} ${place}: ${plain(line.message)}`
  const isTraced = line.trace_id !== undefined && SERIOUS.has(line.level) && line.fields['trace_id'] === undefined
  const trace = isTraced ? style('dim', ` trace=${plain(line.trace_id ?? '')}`) : ''
  const frames = isErrorRecord(error) && Array.isArray(error.stack) ? error.stack : []
  return `${head}${fields.join('')}${trace}\n${frames.map((frame) => style('dim', `    ${plain(String(frame))}\n`)).join('')}`
}

function valueText(value: unknown): string {
  if (isErrorRecord(value)) return plain(errorText(value))
  return plain(typeof value === 'string' ? value : (JSON.stringify(value) ?? ''))
}

/** With what caused it. */
function errorText({ code, message, cause }: ErrorRecord): string {
  const own = code === undefined ? message : `${code}: ${message}`
  return isErrorRecord(cause) ? `${own}: ${errorText(cause)}` : own
}

/** How an error is written in a log line. */
interface ErrorRecord {
  message: string
  code?: string
  stack?: unknown
  cause?: unknown
}

function isErrorRecord(value: unknown): value is ErrorRecord {
  return typeof value === 'object' && value !== null && 'name' in value && 'message' in value
}
