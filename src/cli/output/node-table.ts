import { formatAddress } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import type { ClusterNode } from '../session/wire.ts'
import { relativeTime } from './relative-time.ts'
import type { Format } from './style.ts'
import type { Column } from './table.ts'

export const STATUS_STYLES = {
  alive: 'green',
  suspected: 'yellow',
  dead: 'red',
  left: 'dim',
} as const satisfies Record<ClusterNode['status'], Format>

/** The columns of `p2p nodes`; times are told from now. */
export function nodeColumns(host: CliHost): Column<ClusterNode>[] {
  const since = (iso: string): string => relativeTime(Date.parse(iso), host.wallMs())
  return [
    { title: 'NODE', value: (node) => node.node_id },
    { title: 'ROLE', value: (node) => node.role },
    { title: 'STATUS', value: (node) => node.status, style: (node) => STATUS_STYLES[node.status] },
    { title: 'LAST SEEN', value: (node) => (node.status === 'alive' ? 'now' : since(node.last_seen)) },
    { title: 'ADDRESS', value: (node) => node.address && formatAddress(node.address, node.port) },
    { title: 'STARTED', value: (node) => since(node.metadata.started_at) },
    { title: 'VERSION', value: (node) => node.metadata.version },
    { title: 'SERVICES', value: (node) => Object.keys(node.services).join(', ') },
  ]
}
