import { CliError, P2PError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { eventText } from '../output/event-text.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { ClusterEvent } from '../session/wire.ts'

interface WhyFlags extends ConnectionFlags {
  kind?: 'service' | 'node'
  output: OutputFormat
}

interface Answer {
  kind: 'service' | 'node'
  name: string
  state: 'well' | 'degraded' | 'down' | 'stopped'
  summary: string
  cause?: { what: string; text: string; since?: string }
  before: ClusterEvent[]
  logs: { timestamp: string; node_id: string; level: string; logger_name: string; message: string }[]
  remedy?: string
}

const STATE_STYLES = { well: 'green', degraded: 'yellow', down: 'red', stopped: 'dim' } as const
/** No node, or no service, of that name. */
const UNKNOWN: ReadonlySet<string> = new Set(['P2P_NETWORK_NODE_UNKNOWN', 'P2P_SERVICE_NOT_FOUND'])

/** `p2p why NAME`: a service if there is one of that name, else a node. */
export async function why(host: CliHost, name: string, flags: WhyFlags): Promise<void> {
  const session = await connect(host, flags)
  const ask = (kind: 'service' | 'node'): Promise<Answer> =>
    session.call<Answer>({ method: 'GET', path: `/api/why/${kind}/${encodeURIComponent(name)}` })
  const answer = flags.kind ? await ask(flags.kind) : await eitherOf(ask)
  await show(host, flags.output, answer, () => answerText(host, answer))
}

async function eitherOf(ask: (kind: 'service' | 'node') => Promise<Answer>): Promise<Answer> {
  try {
    return await ask('service')
  } catch (error) {
    if (!isUnknown(error)) throw error
    try {
      return await ask('node')
    } catch (noNode) {
      if (!isUnknown(noNode)) throw noNode
      // Which of the two was meant nobody knows: each says what is near.
      throw new CliError('P2P_CLI_USAGE', `${error.message}. ${noNode.message}`)
    }
  }
}

function isUnknown(error: unknown): error is P2PError {
  return error instanceof P2PError && UNKNOWN.has(error.code)
}

function answerText(host: CliHost, { state, summary, cause, before, logs, remedy }: Answer): string {
  const style = styler(host.output, host.environment)
  const parts = [`${style(STATE_STYLES[state], plain(summary))}\n`]
  if (cause) {
    const when = cause.since === undefined ? '' : ` (${relativeTime(Date.parse(cause.since), host.wallMs())})`
    parts.push(`\n${style('bold', state === 'well' ? 'The last trouble' : 'Why')}${when}\n  ${plain(cause.text)}\n`)
  }
  if (remedy !== undefined) parts.push(`\n${style('bold', 'What to do')}\n  ${plain(remedy)}\n`)
  if (before.length > 0) {
    const title = cause ? 'What happened up to then' : 'What happened last'
    parts.push(
      `\n${style('bold', title)}\n${before
        .toReversed()
        .map((event) => indented(eventText(event, style)))
        .join('')}`,
    )
  }
  if (logs.length > 0) {
    const lines = logs.map(({ timestamp, node_id: node, level, logger_name: logger, message }) => {
      const place = `${style('cyan', plain(node))} ${plain(logger)}`
      return `  ${style('dim', plain(timestamp).slice(0, 19).replace('T', ' '))} ${plain(level).padEnd(8)} ${place}: ${plain(message)}\n`
    })
    parts.push(`\n${style('bold', 'Its last warnings and errors')}\n${lines.join('')}`)
  }
  return parts.join('')
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, '  ')
}
