import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { CaFacts, ClusterNode, HistoryPoint } from '../api/types.ts'
import { ConfirmButton } from '../components/confirm-button.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty } from '../components/empty.tsx'
import { amount, bytes, dateTime, milliseconds, percent } from '../components/format.ts'
import { type GraphOf, HistoryGraphs } from '../components/history-graphs.tsx'
import { PageLoading } from '../components/loading.tsx'
import { Facts, Section } from '../components/section.tsx'
import { NodeServiceButtons } from '../components/service-control.tsx'
import { NodeState, State } from '../components/state.tsx'
import { ShortLog } from '../components/short-log.tsx'
import { Ago } from '../components/time.tsx'
import { WhyButton } from '../components/why.tsx'
import { useCluster, useLive } from '../live/use-live.ts'

const route = getRouteApi('/nodes/$nodeId')

/** One machine: what it is, how it does, what it runs, what it says. */
export function NodePage() {
  const { nodeId } = route.useParams()
  const node = useCluster((view) => view.nodes.find((node) => node.node_id === nodeId))
  const isLoaded = useCluster((view) => view.isLoaded)
  if (!isLoaded) return <PageLoading />
  if (!node) {
    return (
      <Empty title={`The cluster has no node ${nodeId}`}>
        It may have left. <Link to="/nodes">All nodes</Link>
      </Empty>
    )
  }
  return (
    <div className="page">
      <div className="page-head">
        <h1>{nodeId}</h1>
        <NodeState node={node} />
        <span className="actions">
          <WhyButton kind="node" name={nodeId} />
          <NodeActions node={node} />
        </span>
      </div>
      <div className="columns">
        <Section title="Facts">
          <div className="panel panel-pad">
            <NodeFacts node={node} />
          </div>
        </Section>
        <Certificate nodeId={nodeId} />
      </div>
      <History nodeId={nodeId} />
      <NodeServices node={node} />
      <ShortLog title="Log" nodeId={nodeId} />
    </div>
  )
}

function NodeActions({ node: { node_id: nodeId, drain } }: { node: ClusterNode }) {
  const { session } = useLive()
  if (!hasRole(session.me, 'operator')) return null
  const path = `/api/nodes/${encodeURIComponent(nodeId)}`
  if (drain === undefined) {
    return (
      <ConfirmButton key="drain" text="Drain" title={`Drain ${nodeId}`} act={() => send('POST', `${path}/drain`)}>
        Every deployed service moves to other nodes, and nothing is placed here until it is used again.
      </ConfirmButton>
    )
  }
  return (
    <ConfirmButton
      key="undrain"
      text="Use again"
      title={`Place services on ${nodeId} again`}
      act={() => send('POST', `${path}/undrain`)}
    >
      Services may be placed here again.
    </ConfirmButton>
  )
}

function NodeFacts({ node }: { node: ClusterNode }) {
  const { metadata } = node
  const metrics = useCluster((view) => view.metrics[node.node_id])
  const labels = Object.entries(metadata.labels)
  return (
    <Facts
      facts={[
        ['Role', node.role],
        [
          'Addresses',
          <span className="mono">{node.addresses.map((address) => `${address}:${node.port}`).join('  ')}</span>,
        ],
        ['Version', <span className="mono">{metadata.version}</span>],
        ['Started', <Ago at={metadata.started_at} />],
        ['Last seen', lastSeen(node)],
        ['Processors', metadata.cpus],
        [
          'Memory',
          metrics ? `${bytes(metrics.memory.used)} of ${bytes(metrics.memory.total)}` : bytes(metadata.memory_bytes),
        ],
        ['Disk', metrics?.disk ? `${bytes(metrics.disk.free)} free of ${bytes(metrics.disk.total)}` : '–'],
        ['Labels', labels.length > 0 ? labels.map(([key, value]) => `${key}=${value}`).join('  ') : 'none'],
      ]}
    />
  )
}

function lastSeen({ status, last_seen: at }: ClusterNode) {
  if (status === 'alive') return 'now'
  return at === undefined ? '–' : <Ago at={at} />
}

function Certificate({ nodeId }: { nodeId: string }) {
  const ca = useQuery({ queryKey: ['ca'], queryFn: ({ signal }) => get<CaFacts>('/api/ca', signal) })
  const newest = ca.data?.issued
    .filter((certificate) => certificate.node_id === nodeId && certificate.revoked_at_ms === undefined)
    .sort((a, b) => b.not_after_ms - a.not_after_ms)[0]
  return (
    <Section title="Certificate">
      <div className="panel panel-pad">
        {newest ? (
          <Facts
            facts={[
              ['Serial', <span className="mono">{newest.serial}</span>],
              ['Valid from', dateTime(newest.not_before_ms)],
              ['Valid until', dateTime(newest.not_after_ms)],
              ['Ends', <Ago at={newest.not_after_ms} />],
              ['Kept by', <Link to="/certificates">the cluster’s authority, renewed by itself</Link>],
            ]}
          />
        ) : (
          <p className="muted">
            {ca.error
              ? messageOf(ca.error)
              : ca.data
                ? 'The authority has no valid certificate of this node.'
                : 'Asking…'}
          </p>
        )}
      </div>
    </Section>
  )
}

/** Marks of a scale of bytes: powers of two, so that they are round in KB and MB. */
const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power)

const GRAPHS: readonly GraphOf<HistoryPoint>[] = [
  { title: 'CPU', lines: [{ name: 'CPU', field: 'cpu_percent' }], format: percent, max: 100 },
  { title: 'Memory', lines: [{ name: 'Memory', field: 'memory_percent' }], format: percent, max: 100 },
  {
    title: 'Network, per second',
    lines: [
      { name: 'in', field: 'network_rx_bytes_s' },
      { name: 'out', field: 'network_tx_bytes_s' },
    ],
    format: bytes,
    steps: BYTE_STEPS,
  },
  { title: 'Disk', lines: [{ name: 'Disk', field: 'disk_percent' }], format: percent, max: 100 },
  { title: 'Load', lines: [{ name: 'Load', field: 'load_1' }], format: amount },
  { title: 'Event loop delay', lines: [{ name: 'Delay', field: 'loop_lag_ms' }], format: milliseconds },
]

function History({ nodeId }: { nodeId: string }) {
  const known = useCluster((view) => view.history[nodeId])
  return (
    <HistoryGraphs
      title="History"
      path={`/api/dashboard/history/${encodeURIComponent(nodeId)}`}
      graphs={GRAPHS}
      log={{ node: nodeId }}
      known={known}
      empty="A node tells its figures every few seconds once it runs."
    />
  )
}

function NodeServices({ node }: { node: ClusterNode }) {
  const rows = Object.entries(node.services).sort(([a], [b]) => a.localeCompare(b))
  return (
    <Section title="Services" note={`${rows.length}`}>
      <DataTable
        label="Services of this node"
        rows={rows}
        keyOf={([name]) => name}
        empty={
          <Empty title="No service answers on this node">
            Deploy one with <code>p2p deploy</code>.
          </Empty>
        }
        columns={[
          {
            title: 'Service',
            cell: ([name]) => (
              <Link to="/services/$service" params={{ service: name }} className="name name-cell">
                {name}
              </Link>
            ),
            sortBy: ([name]) => name,
          },
          { title: 'State', cell: ([, { status }]) => <State word={status} />, sortBy: ([, { status }]) => status },
          { title: 'Version', kind: 'wide', cell: ([, { version }]) => <span className="mono">{version}</span> },
          { title: 'What it does', kind: 'wide grow', cell: ([, { description }]) => description },
          {
            title: '',
            cell: ([name, { status }]) => (
              <NodeServiceButtons nodeId={node.node_id} service={name} isRunning={status !== 'stopped'} />
            ),
          },
        ]}
      />
    </Section>
  )
}
