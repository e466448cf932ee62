import type { JoinTokenFacts } from '../../base/enrolment.ts'
import { CliError } from '../../base/errors.ts'
import { parseDuration } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, show, showRows } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

interface CreateFlags extends ConnectionFlags {
  uses: number
  ttl: string
  role: string
  output: OutputFormat
}

/** `p2p token create` */
export async function createToken(host: CliHost, flags: CreateFlags): Promise<void> {
  const ttlMs = parseDuration(flags.ttl)
  if (ttlMs === undefined)
    throw new CliError('P2P_CLI_USAGE', `--ttl "${flags.ttl}" is not a duration; it looks like 10m or 24h`)
  const session = await connect(host, flags)
  const body = { role: flags.role, uses: flags.uses, ttl_s: ttlMs / 1_000 }
  const made = await session.call<{ token: string; facts: JoinTokenFacts }>({
    method: 'POST',
    path: '/api/tokens',
    body,
  })
  await show(host, flags.output, made, () => `${made.token}\n`)
  const { uses_left: uses, expires_at_ms: endMs } = made.facts
  host.talk.write(`Good for ${uses} ${uses === 1 ? 'node' : 'nodes'}; ends ${relativeTime(endMs, host.wallMs())}. On the new machine:
  p2p --config config/${flags.role}.yaml --coord ${new URL(session.url).host} --join ${made.token}
`)
}

/** `p2p token list` */
export async function listTokens(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const { tokens } = await session.call<{ tokens: JoinTokenFacts[] }>({ method: 'GET', path: '/api/tokens' })
  await showRows(
    host,
    flags.output,
    tokens,
    [
      { title: 'TOKEN', value: (token) => token.token_id },
      { title: 'ROLE', value: (token) => token.role },
      { title: 'USES LEFT', value: (token) => token.uses_left, align: 'right' },
      { title: 'MADE', value: (token) => relativeTime(token.created_at_ms, host.wallMs()) },
      { title: 'ENDS', value: (token) => relativeTime(token.expires_at_ms, host.wallMs()) },
    ],
    'There are no tokens',
  )
}

/** `p2p token revoke ID` */
export async function revokeToken(host: CliHost, id: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  await session.call({ method: 'DELETE', path: `/api/tokens/${encodeURIComponent(id)}` })
  host.talk.write(`Withdrawn: ${id}\n`)
}
