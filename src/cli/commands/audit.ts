import { CliError } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { plain } from '../output/style.ts'
import { type OutputFormat, show, showRows } from '../output/show.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'

interface Flags extends ConnectionFlags {
  who?: string
  act?: string
  since?: string
  limit: number
  verify?: boolean
  export?: boolean
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
  if (flags.export === true) return exportAll(host, session, flags)
  const records = await recordsOf(host, session, flags, { limit: String(flags.limit) })
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

const PAGE = 1_000

/** All that match, newest first, a JSON object on each line: page by page, so that no length is too long. */
async function exportAll(host: CliHost, session: Session, flags: Flags): Promise<number> {
  let count = 0
  let before: number | undefined
  for (;;) {
    const page = { limit: String(PAGE), ...(before !== undefined && { before: String(before) }) }
    const records = await recordsOf(host, session, flags, page)
    host.output.write(records.map((record) => `${JSON.stringify(record)}\n`).join(''))
    count += records.length
    before = records.at(-1)?.seq
    if (records.length < PAGE || before === undefined || before <= 1) break
  }
  host.talk.write(`${count} records\n`)
  return 0
}

async function recordsOf(
  host: CliHost,
  session: Session,
  { who, act, since }: Flags,
  page: Record<string, string>,
): Promise<AuditLine[]> {
  const query = new URLSearchParams(page)
  if (who !== undefined) query.set('who', who)
  if (act !== undefined) query.set('act', act)
  if (since !== undefined) query.set('since', sinceOf(host, since))
  const path = `/api/audit?${query.toString()}`
  return (await session.call<{ records: AuditLine[] }>({ method: 'GET', path })).records
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
