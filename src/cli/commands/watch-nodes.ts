import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { createLiveText } from '../output/live-text.ts'
import { nodeColumns, nodeStatus, nodeStyle } from '../output/node-table.ts'
import { type OutputFormat, table } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { followEvents } from '../session/follow-events.ts'
import type { ClusterNode, ClusterNodes, MemberChange } from '../session/wire.ts'

/** What becomes of the events. */
interface View {
  snapshot(index: number, cluster: ClusterNodes): void
  change(index: number, change: MemberChange): void
  /** Nothing has changed; time has passed. */
  heartbeat(): void
  lost: (why: string) => void
}

/** `p2p nodes --watch`: until it is interrupted. */
export async function watchNodes(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const view = viewFor(host, flags.output)
  const session = await connect(host, flags)
  const interruption = host.interruption()
  try {
    const { signal } = interruption
    const events = followEvents(session, '/cluster/events', { signal, pause: host.pause, onLost: view.lost })
    for await (const { event, id, data } of events) {
      const index = Number(id)
      // Events this version does not know are for later ones.
      if (event === 'snapshot') view.snapshot(index, JSON.parse(data) as ClusterNodes)
      else if (event === 'member') view.change(index, JSON.parse(data) as MemberChange)
      else if (event === 'heartbeat') view.heartbeat()
    }
  } finally {
    interruption.dispose()
  }
}

function viewFor(host: CliHost, format: OutputFormat): View {
  if (format === 'json') return jsonView(host)
  if (format === 'yaml') {
    throw new CliError('P2P_CLI_USAGE', '--watch writes a table or JSON lines; leave --output out, or give json')
  }
  return host.output.isTTY && host.environment.TERM !== 'dumb' ? tableView(host) : lineView(host)
}

/** One line of JSON an event, as the node sent it. */
function jsonView(host: CliHost): View {
  const write = (value: object): void => void host.output.write(`${JSON.stringify(value)}\n`)
  return {
    snapshot: (index, cluster) => write({ event: 'snapshot', index, ...cluster }),
    change: (index, change) => write({ event: 'member', index, ...change }),
    heartbeat: () => {},
    lost: (why) => void host.talk.write(`${why}; trying again\n`),
  }
}

/** The table of `p2p nodes`, always as it is now. */
function tableView(host: CliHost): View {
  const live = createLiveText(host.output)
  const style = styler(host.output, host.environment)
  const nodes = new Map<string, ClusterNode>()
  const draw = (note = ''): void => {
    const rows = [...nodes.values()].toSorted((a, b) => (a.node_id < b.node_id ? -1 : 1))
    live.draw(`${table(host, rows, nodeColumns(host))}${note && `${style('yellow', note)}\n`}`)
  }
  return {
    snapshot(_index, cluster) {
      nodes.clear()
      for (const node of cluster.nodes) nodes.set(node.node_id, node)
      draw()
    },
    change(_index, { node }) {
      nodes.set(node.node_id, node)
      draw()
    },
    heartbeat: () => draw(),
    lost: (why) => draw(`${plain(why)}; trying again`),
  }
}

/** A line for each node at first, then for each change; for files and pipes. */
function lineView(host: CliHost): View {
  const known = new Map<string, string>()
  const style = styler(host.output, host.environment)
  const tell = (node: ClusterNode): void => {
    const before = known.get(node.node_id)
    const now = nodeStatus(node)
    known.set(node.node_id, now)
    const status = style(nodeStyle(node), now)
    const what =
      before === undefined ? status : before === now ? `${status}, its record changed` : `${before} -> ${status}`
    host.output.write(`${new Date(host.wallMs()).toISOString()}  ${plain(node.node_id)}  ${what}\n`)
  }
  return {
    // After a lost connection only what has changed meanwhile is news.
    snapshot: (_index, { nodes }) => {
      for (const node of nodes) if (known.get(node.node_id) !== nodeStatus(node)) tell(node)
    },
    change: (_index, { node }) => tell(node),
    heartbeat: () => {},
    lost: (why) => void host.talk.write(`${why}; trying again\n`),
  }
}
