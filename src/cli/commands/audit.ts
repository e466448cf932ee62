import { CliError } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { plain } from '../output/style.ts'
import { type OutputFormat, show, showRows } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

interface Flags extends ConnectionFlags {
  who?: string
  act?: string
  since?: string
  limit: number
  verify?: boolean
  output: OutputFormat
}

interface AuditLine {
  seq: number
  time: string
  phase: string
  act: string
  who: string
  from?: string
  target?: string
  outcome?: string
  detail?: string
}

interface Verdict {
  records: number
  first_seq: number | null
  last_seq: number | null
  problems: { file: string; line: number; problem: string }[]
}

const OUTCOME_STYLES: Readonly<Record<string, 'green' | 'red' | 'yellow'>> = {
  succeeded: 'green',
  failed: 'yellow',
  refused: 'red',
}

/**
 * `p2p audit`
 * @returns 78 with `--verify` when the trail is not as it was written
 */
export async function audit(host: CliHost, flags: Flags): Promise<number> {
  if (flags.verify === true) return verify(host, flags)
  const session = await connect(host, flags)
  const query = new URLSearchParams({ limit: String(flags.limit) })
  if (flags.who !== undefined) query.set('who', flags.who)
  if (flags.act !== undefined) query.set('act', flags.act)
  if (flags.since !== undefined) query.set('since', sinceOf(host, flags.since))
  const { records } = await session.call<{ records: AuditLine[] }>({
    method: 'GET',
    path: `/api/audit?${query.toString()}`,
  })
  await showRows(
    host,
    flags.output,
    records,
    [
      { title: 'NO', value: (one) => one.seq, align: 'right' },
      { title: 'TIME', value: (one) => one.time.slice(0, 19).replace('T', ' ') },
      { title: 'WHO', value: (one) => plain(one.who) },
      { title: 'FROM', value: (one) => plain(one.from ?? '') },
      { title: 'ACT', value: (one) => plain(one.act), style: () => 'cyan' },
      { title: 'ON', value: (one) => plain(one.target ?? '') },
      {
        title: 'OUTCOME',
        value: (one) => one.outcome ?? one.phase,
        style: (one) => OUTCOME_STYLES[one.outcome ?? ''] ?? 'yellow',
      },
      { title: 'DETAIL', value: (one) => plain(one.detail ?? '') },
    ],
    'There are no such records',
  )
  return 0
}

async function verify(host: CliHost, flags: Flags): Promise<number> {
  const session = await connect(host, flags)
  const verdict = await session.call<Verdict>({ method: 'POST', path: '/api/audit/verify' })
  const { records, first_seq: first, last_seq: last, problems } = verdict
  await show(host, flags.output, verdict, () => {
    const range = first === null ? '' : ` (${first} to ${last})`
    if (problems.length === 0) return `${records} records${range}: all there, in order, unchanged\n`
    const lines = problems.map(({ file, line, problem }) => `${plain(file)}:${line}  ${plain(problem)}\n`)
    return `${records} records${range}, and this is wrong:\n${lines.join('')}`
  })
  return problems.length === 0 ? 0 : 78
}

/** A span before now, or a time. @throws {CliError} P2P_CLI_USAGE */
function sinceOf(host: CliHost, text: string): string {
  const spanMs = parseDuration(text)
  const timeMs = spanMs === undefined ? Date.parse(text) : host.wallMs() - spanMs
  if (Number.isFinite(timeMs)) return new Date(timeMs).toISOString()
  throw new CliError(
    'P2P_CLI_USAGE',
    `--since "${text}" is neither a span such as 2h nor a time such as 2026-01-02T03:04:05Z`,
  )
}
