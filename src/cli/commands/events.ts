import type { EventKind } from '../../base/timeline.ts'
import type { CliHost } from '../host.ts'
import { eventText } from '../output/event-text.ts'
import { type OutputFormat, show } from '../output/show.ts'
import { styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { checkFollow, followList } from '../session/follow-list.ts'
import { momentOf } from '../session/moment.ts'
import type { ClusterEvent } from '../session/wire.ts'

interface EventFlags extends ConnectionFlags {
  follow?: true
  node?: string
  service?: string
  kind?: EventKind[]
  since?: string
  until?: string
  limit: number
  output: OutputFormat
}

interface EventPage {
  events: ClusterEvent[]
  cursor: string | null
  latest: string
}

/** `p2p events`: with `--follow` until it is interrupted. */
export async function events(host: CliHost, flags: EventFlags): Promise<void> {
  checkFollow(flags)
  const query = chosen(flags, host.wallMs())
  const session = await connect(host, flags)
  const page = await session.call<EventPage>({ method: 'GET', path: `/api/events?limit=${flags.limit}&${query}` })
  const style = styler(host.output, host.environment)
  if (!flags.follow) {
    if (flags.output === 'table' && page.events.length === 0) {
      host.talk.write('Nothing of that kind happened\n')
      return
    }
    const forPeople = (): string =>
      page.events
        .toReversed()
        .map((event) => eventText(event, style))
        .join('')
    await show(host, flags.output, page.events, forPeople)
    if (page.cursor !== null) host.talk.write(`The newest ${page.events.length}; --limit shows more\n`)
    return
  }
  const textOf = (event: ClusterEvent): string =>
    flags.output === 'json' ? `${JSON.stringify(event)}\n` : eventText(event, style)
  const write = (told: readonly ClusterEvent[]): void => void host.output.write(told.map(textOf).join(''))
  write(page.events.toReversed())
  const path = `/api/events/follow?after=${page.latest}&${query}`
  for await (const told of followList<ClusterEvent>(host, session, { path, name: 'events' })) write(told)
}

/** The part of the query that says which events. @throws {CliError} P2P_CLI_USAGE */
function chosen(flags: EventFlags, nowMs: number): string {
  const values = {
    node_id: flags.node,
    service: flags.service,
    kind: flags.kind?.join(','),
    since: flags.since === undefined ? undefined : momentOf('--since', flags.since, nowMs),
    until: flags.until === undefined ? undefined : momentOf('--until', flags.until, nowMs),
  }
  const query = new URLSearchParams()
  for (const [name, value] of Object.entries(values)) if (value !== undefined) query.set(name, value)
  return query.toString()
}
