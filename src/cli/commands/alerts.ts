import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, show, table } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { momentOf } from '../session/moment.ts'

interface OutputFlags extends ConnectionFlags {
  output: OutputFormat
}

interface Alert {
  id: string
  state: 'firing' | 'resolved'
  severity: 'info' | 'warning' | 'error'
  title: string
  detail: string
  remedy?: string
  since: string
  resolved_at?: string
  is_flapping: boolean
  acknowledged?: { by: string; note?: string }
  silenced_until?: string
}

interface Silence {
  id: string
  alert_id?: string
  rule?: string
  node_id?: string
  service?: string
  until: string
  by: string
  reason?: string
}

interface Target {
  name: string
  waiting: number
  lost: number
  failure?: string
  last_sent?: string
}

const SEVERITY_STYLES = { error: 'red', warning: 'yellow', info: 'dim' } as const

/** `p2p alerts list`: what fires, what is silenced, and how the targets do. */
export async function listAlerts(host: CliHost, flags: OutputFlags & { all?: true }): Promise<void> {
  const session = await connect(host, flags)
  const told = await session.call<{ alerts: Alert[]; silences: Silence[]; targets: Target[] }>({
    method: 'GET',
    path: '/api/alerts',
  })
  const alerts = told.alerts.filter(({ state }) => flags.all === true || state === 'firing')
  await show(host, flags.output, { ...told, alerts }, () => {
    const style = styler(host.output, host.environment)
    const nowMs = host.wallMs()
    const parts = alerts.map((alert) => alertText(alert, nowMs, style))
    if (alerts.length === 0) parts.push('Nothing fires\n')
    if (told.silences.length > 0) {
      const rows = told.silences.map((silence) => ({ ...silence, what: silenceText(silence) }))
      parts.push(
        `\n${table(host, rows, [
          { title: 'SILENCE', value: ({ id }) => plain(id) },
          { title: 'OF', value: ({ what }) => plain(what) },
          { title: 'UNTIL', value: ({ until }) => relativeTime(Date.parse(until), nowMs) },
          { title: 'BY', value: ({ by }) => plain(by) },
          { title: 'WHY', value: ({ reason }) => plain(reason ?? '') },
        ])}`,
      )
    }
    if (told.targets.length > 0) {
      parts.push(
        `\n${table(host, told.targets, [
          { title: 'SENT TO', value: ({ name }) => plain(name) },
          {
            title: 'LAST',
            value: ({ last_sent: last }) => (last === undefined ? 'never' : relativeTime(Date.parse(last), nowMs)),
          },
          { title: 'WAITING', value: ({ waiting }) => waiting, align: 'right' },
          { title: 'LOST', value: ({ lost }) => lost, align: 'right' },
          { title: 'FAILS', value: ({ failure }) => plain(failure ?? '') },
        ])}`,
      )
    } else parts.push('\nAlerts are sent to nobody: set the key "alerts" of the coordinator\n')
    return parts.join('')
  })
}

/** `p2p alerts ack ID` */
export async function acknowledgeAlert(
  host: CliHost,
  id: string,
  flags: ConnectionFlags & { note?: string },
): Promise<void> {
  const session = await connect(host, flags)
  const body = { id, ...(flags.note !== undefined && { note: flags.note }) }
  await session.call({ method: 'POST', path: '/api/alerts/acknowledge', body })
  host.talk.write(`You take care of ${plain(id)}; nobody is reminded of it any more\n`)
}

/** `p2p alerts silence`: by alert, rule, node or service, for a time; with `--end` one is ended. */
export async function silenceAlerts(
  host: CliHost,
  id: string | undefined,
  flags: ConnectionFlags & {
    rule?: string
    node?: string
    service?: string
    for: string
    reason?: string
    end?: string
  },
): Promise<void> {
  if (flags.end !== undefined) {
    const session = await connect(host, flags)
    await session.call({ method: 'DELETE', path: `/api/alerts/silences/${encodeURIComponent(flags.end)}` })
    host.talk.write(`The silence ${plain(flags.end)} is over\n`)
    return
  }
  if (id === undefined && flags.rule === undefined && flags.node === undefined && flags.service === undefined) {
    throw new CliError('P2P_CLI_USAGE', 'Say what to silence: an alert, --rule, --node or --service')
  }
  const until = momentOf('--for', flags.for, host.wallMs(), 1)
  const session = await connect(host, flags)
  const silence = await session.call<Silence>({
    method: 'POST',
    path: '/api/alerts/silences',
    body: {
      ...(id !== undefined && { alert_id: id }),
      ...(flags.rule !== undefined && { rule: flags.rule }),
      ...(flags.node !== undefined && { node_id: flags.node }),
      ...(flags.service !== undefined && { service: flags.service }),
      until,
      ...(flags.reason !== undefined && { reason: flags.reason }),
    },
  })
  const when = relativeTime(Date.parse(silence.until), host.wallMs())
  host.talk.write(
    `Silenced: ${plain(silenceText(silence))}, it ends ${when}; before that: p2p alerts silence --end ${plain(silence.id)}\n`,
  )
}

/**
 * `p2p alerts test`
 * @returns 1 when a target did not take the message
 */
export async function testAlerts(host: CliHost, target: string | undefined, flags: OutputFlags): Promise<number> {
  const session = await connect(host, flags)
  const { results } = await session.call<{
    results: { target: string; sent: boolean; duration_ms: number; failure?: string }[]
  }>({ method: 'POST', path: '/api/alerts/test', body: target === undefined ? {} : { target } })
  await show(host, flags.output, results, () => {
    const style = styler(host.output, host.environment)
    if (results.length === 0) return 'Alerts are sent to nobody: set the key "alerts" of the coordinator\n'
    return results
      .map(({ target: name, sent, duration_ms: ms, failure }) =>
        sent
          ? `${style('green', '✓')} ${plain(name)} took it in ${ms} ms\n`
          : `${style('red', '✗')} ${plain(name)}: ${plain(failure ?? 'it did not take it')}\n`,
      )
      .join('')
  })
  return results.every(({ sent }) => sent) ? 0 : 1
}

function alertText(alert: Alert, nowMs: number, style: ReturnType<typeof styler>): string {
  const {
    id,
    state,
    severity,
    title,
    detail,
    remedy,
    since,
    resolved_at: resolved,
    acknowledged,
    silenced_until: silenced,
  } = alert
  const isOver = state === 'resolved'
  const notes = [
    isOver && resolved !== undefined
      ? `over ${relativeTime(Date.parse(resolved), nowMs)}`
      : `since ${relativeTime(Date.parse(since), nowMs)}`,
    ...(alert.is_flapping ? ['comes and goes'] : []),
    ...(acknowledged
      ? [
          `${acknowledged.by.replace(/^person:/, '')} takes care of it${acknowledged.note === undefined ? '' : `: ${acknowledged.note}`}`,
        ]
      : []),
    ...(silenced === undefined ? [] : [`silenced, ends ${relativeTime(Date.parse(silenced), nowMs)}`]),
  ]
  const mark = isOver ? style('dim', '·') : style(SEVERITY_STYLES[severity], severity === 'error' ? '✗' : '!')
  const head = isOver ? style('dim', plain(title)) : style(SEVERITY_STYLES[severity], plain(title))
  const what = remedy === undefined || isOver ? '' : `    ${plain(remedy)}\n`
  return `${mark} ${head}\n    ${style('dim', `${plain(id)}, ${notes.map(plain).join(', ')}`)}\n    ${plain(detail)}\n${what}`
}

function silenceText({ alert_id: alert, rule, node_id: node, service }: Silence): string {
  const parts = [alert, rule && `rule ${rule}`, node && `node ${node}`, service && `service ${service}`]
  return parts.filter(Boolean).join(', ')
}
