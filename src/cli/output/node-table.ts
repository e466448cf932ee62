import { formatAddress } from '../../config/index.ts'
import type { CliHost } from '../host.ts'
import type { ClusterNode } from '../session/wire.ts'
import { relativeTime } from './relative-time.ts'
import type { Format } from './style.ts'
import { type Column, NAME, TEXT_WIDTH_MIN } from './table.ts'

/** An address of IPv4 and a port. */
const IPV4_WIDTH = 21

const STATUS_STYLES = {
  alive: 'green',
  suspected: 'yellow',
  dead: 'red',
  left: 'dim',
} as const satisfies Record<ClusterNode['status'], Format>

/** How a node is, and whether it is drained. */
export function nodeStatus({ status, drain }: ClusterNode): string {
  return drain === undefined ? status : `${status}, ${drain}`
}

export function nodeStyle({ status, drain }: ClusterNode): Format {
  return status === 'alive' && drain !== undefined ? 'yellow' : STATUS_STYLES[status]
}

/** The columns of `p2p nodes`; times are told from now. */
export function nodeColumns(host: CliHost): Column<ClusterNode>[] {
  const since = (iso: string): string => relativeTime(Date.parse(iso), host.wallMs())
  return [
    { title: 'NODE', value: (node) => node.node_id, ...NAME },
    { title: 'ROLE', value: (node) => node.role },
    { title: 'STATUS', value: nodeStatus, style: nodeStyle },
    { title: 'LAST SEEN', value: (node) => (node.status === 'alive' ? 'now' : since(node.last_seen)) },
    {
      title: 'ADDRESS',
      value: (node) => node.address && formatAddress(node.address, node.port),
      widthMin: IPV4_WIDTH,
      isOptional: true,
    },
    { title: 'STARTED', value: (node) => since(node.metadata.started_at), isOptional: true },
    { title: 'VERSION', value: (node) => node.metadata.version, isOptional: true },
    {
      title: 'SERVICES',
      value: (node) => Object.keys(node.services).join(', '),
      widthMin: TEXT_WIDTH_MIN,
      isOptional: true,
    },
  ]
}
