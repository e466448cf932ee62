import { formatBytes } from '../../base/bytes.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { facts, type OutputFormat, show } from '../output/show.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { NodeStatus } from '../session/wire.ts'

/** `p2p status` */
export async function status(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const node = await session.call<NodeStatus>({ method: 'GET', path: '/api/status' })
  const since = (iso: string): string => relativeTime(Date.parse(iso), host.wallMs())
  const { members, services } = node
  await show(host, flags.output, node, () =>
    facts(host, [
      ['Node', `${node.node_id} (${node.role})`],
      ['Cluster', node.cluster],
      ['Status', node.status],
      ['Version', node.version],
      ['Started', since(node.started_at)],
      ['Addresses', node.addresses.join(', ')],
      ['Members', countsText(members)],
      [
        'Services',
        `${services.healthy} healthy of ${services.total}${services.degraded > 0 ? `, ${services.degraded} degraded` : ''}`,
      ],
      ['Certificate', node.certificate.not_after && `ends ${since(node.certificate.not_after)}`],
      ['Memory', node.memory_rss_bytes && formatBytes(node.memory_rss_bytes)],
      ['Storage', node.storage_bytes && formatBytes(node.storage_bytes)],
    ]),
  )
}

/** `3 alive, 1 dead`: states nobody is in are left out. */
function countsText(counts: Record<string, number>): string {
  const parts = Object.entries(counts).filter(([name, count]) => count > 0 || name === 'alive')
  return parts.map(([name, count]) => `${count} ${name}`).join(', ')
}
