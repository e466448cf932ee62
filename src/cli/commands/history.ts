import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { ROLLOUT_STYLES } from '../output/rollout-text.ts'
import { type OutputFormat, showRows } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { TEXT_WIDTH_MIN } from '../output/table.ts'
import { afterwards } from '../session/afterwards.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { deploymentPath, type HistoryView, type RolloutView } from '../session/deployments.ts'

type Flags = ConnectionFlags & { follow?: boolean; output: OutputFormat }

/** `p2p history SERVICE` */
export async function history(host: CliHost, service: string, flags: Flags): Promise<number> {
  const session = await connect(host, flags)
  if (flags.follow) {
    const path = deploymentPath(service, '/rollout')
    const { rollout } = await session.call<{ rollout?: RolloutView }>({ method: 'GET', path })
    if (rollout) return afterwards(host, session, rollout, flags)
    host.talk.write(`No change of ${plain(service)} is on its way\n`)
    return 0
  }
  const path = deploymentPath(service, '/history')
  const { history: entries } = await session.call<{ history: HistoryView[] }>({ method: 'GET', path })
  await showRows(
    host,
    flags.output,
    entries,
    [
      { title: 'GENERATION', value: ({ deployment }) => deployment.generation, align: 'right' },
      { title: 'VERSION', value: ({ deployment }) => deployment.version },
      { title: 'STATE', value: ({ state }) => state, style: ({ state }) => ROLLOUT_STYLES[state] },
      { title: 'COUNT', value: ({ deployment }) => deployment.count, align: 'right', isOptional: true },
      { title: 'WHEN', value: ({ deployment }) => relativeTime(deployment.at_ms, host.wallMs()) },
      { title: 'BY', value: ({ deployment }) => deployment.by, widthMin: TEXT_WIDTH_MIN },
      {
        title: 'WHY',
        value: ({ deployment, reason }) => reason ?? (deployment.reason || undefined),
        widthMin: TEXT_WIDTH_MIN,
      },
    ],
    `${service} has no history`,
  )
  const [newest] = entries
  // On a terminal the table has cut it.
  if (flags.output === 'table' && host.output.isTTY && newest?.reason !== undefined) {
    host.talk.write(`Generation ${newest.deployment.generation}: ${plain(newest.reason)}\n`)
  }
  return 0
}
