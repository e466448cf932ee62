import type { CliHost } from '../host.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { facts, type OutputFormat, show, showRows, table } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import { findService } from '../session/find-service.ts'
import type { ClusterNodes } from '../session/wire.ts'

type Flags = ConnectionFlags & { output: OutputFormat }

/** `p2p services [NAME]` */
export async function services(host: CliHost, name: string | undefined, flags: Flags): Promise<void> {
  if (name === undefined) await listServices(host, flags)
  else await showService(host, name, flags)
}

const HEALTH_STYLES: Readonly<Record<string, 'green' | 'red' | 'yellow'>> = { healthy: 'green', failing: 'red' }

async function listServices(host: CliHost, flags: Flags): Promise<void> {
  const session = await connect(host, flags)
  const { nodes } = await session.call<ClusterNodes>({ method: 'GET', path: '/cluster/nodes' })
  const rows = nodes
    .filter((node) => node.status === 'alive' || node.status === 'suspected')
    .flatMap((node) =>
      Object.entries(node.services).map(([service, facts]) => ({ service, node: node.node_id, ...facts })),
    )
    .toSorted((a, b) => a.service.localeCompare(b.service) || a.node.localeCompare(b.node))
  await showRows(
    host,
    flags.output,
    rows,
    [
      { title: 'SERVICE', value: (row) => row.service },
      { title: 'NODE', value: (row) => row.node },
      { title: 'STATUS', value: (row) => row.status, style: (row) => HEALTH_STYLES[row.status] ?? 'yellow' },
      { title: 'VERSION', value: (row) => row.version },
      { title: 'DESCRIPTION', value: (row) => row.description },
    ],
    'No node runs a service',
  )
}

async function showService(host: CliHost, name: string, flags: Flags): Promise<void> {
  const service = await findService(await connect(host, flags), name)
  const { metadata, version, description } = service.info
  const started = metadata.started_at
  await show(host, flags.output, service, () => {
    const head = facts(host, [
      ['Service', plain(service.info.name)],
      ['Version', plain(version)],
      ['Status', `${service.status}${service.health === null ? '' : `, ${service.health}`}`],
      ['Failure', metadata.failure === null ? undefined : plain(metadata.failure)],
      ['Started', started === null ? undefined : relativeTime(Date.parse(started), host.wallMs())],
      ['About', plain(description)],
    ])
    const methods = table(host, service.method_details, [
      { title: 'METHOD', value: (method) => `${name}/${method.name}`, style: () => 'cyan' },
      { title: 'ROLE', value: (method) => method.required_role },
      { title: 'CACHED', value: (method) => (method.cache_ttl_ms > 0 ? spanText(method.cache_ttl_ms) : undefined) },
      { title: 'DESCRIPTION', value: (method) => method.description },
    ])
    return `${head}\n${methods}`
  })
}
