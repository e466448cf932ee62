import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link, useNavigate } from '@tanstack/react-router'
import { useMemo, useState } from 'react'
import { get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { CaFacts, ClusterNode, HistoryPoint } from '../api/types.ts'
import { ConfirmButton } from '../components/confirm-button.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty } from '../components/empty.tsx'
import { amount, bytes, dateTime, milliseconds, momentMs, percent } from '../components/format.ts'
import { Graph } from '../components/graph.tsx'
import { PageLoading } from '../components/loading.tsx'
import { Facts, Section } from '../components/section.tsx'
import { Segments } from '../components/segments.tsx'
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

const RANGES = [
  { value: '15m', text: '15 m' },
  { value: '1h', text: '1 h' },
  { value: '6h', text: '6 h' },
  { value: '1d', text: '1 d' },
  { value: '7d', text: '7 d' },
  { value: '30d', text: '30 d' },
] as const
type Range = (typeof RANGES)[number]['value']

/** Newest points come with the connection; a range is asked for again every so often. */
const HISTORY_EVERY_MS = 15_000

/** Marks of a scale of bytes: powers of two, so that they are round in KB and MB. */
const BYTE_STEPS = Array.from({ length: 50 }, (_, power) => 2 ** power)

function History({ nodeId }: { nodeId: string }) {
  const navigate = useNavigate()
  const toLog = (time: number): void => {
    void navigate({ to: '/logs', search: { node: nodeId, at: new Date(time * 1000).toISOString() } })
  }
  const [range, setRange] = useState<Range>('15m')
  const live = useCluster((view) => view.history[nodeId])
  const asked = useQuery({
    queryKey: ['history', nodeId, range],
    queryFn: ({ signal }) =>
      get<{ history: HistoryPoint[] }>(
        `/api/dashboard/history/${encodeURIComponent(nodeId)}?range=${range}&points=300`,
        signal,
      ),
    refetchInterval: HISTORY_EVERY_MS,
    placeholderData: (before) => before,
  })
  const points = asked.data?.history ?? live ?? NO_POINTS
  const times = useMemo(() => points.map((point) => momentMs(point.timestamp) / 1000), [points])
  const values = (name: keyof HistoryPoint) => points.map((point) => (point[name] as number | null | undefined) ?? null)
  return (
    <Section
      title="History"
      note="choose a moment to see its log"
      actions={<Segments label="Range" options={RANGES} value={range} onChange={setRange} />}
    >
      {points.length === 0 ? (
        <div className="panel">
          <Empty title="Nothing measured yet">
            {asked.error ? messageOf(asked.error) : 'A node tells its figures every few seconds once it runs.'}
          </Empty>
        </div>
      ) : (
        <div className="graphs">
          <Graph
            title="CPU"
            times={times}
            onChoose={toLog}
            series={[{ name: 'CPU', values: values('cpu_percent') }]}
            format={percent}
            max={100}
          />
          <Graph
            title="Memory"
            times={times}
            onChoose={toLog}
            series={[{ name: 'Memory', values: values('memory_percent') }]}
            format={percent}
            max={100}
          />
          <Graph
            title="Network, per second"
            times={times}
            onChoose={toLog}
            series={[
              { name: 'in', values: values('network_rx_bytes_s') },
              { name: 'out', values: values('network_tx_bytes_s') },
            ]}
            format={bytes}
            steps={BYTE_STEPS}
          />
          <Graph
            title="Disk"
            times={times}
            onChoose={toLog}
            series={[{ name: 'Disk', values: values('disk_percent') }]}
            format={percent}
            max={100}
          />
          <Graph
            title="Load"
            times={times}
            onChoose={toLog}
            series={[{ name: 'Load', values: values('load_1') }]}
            format={amount}
          />
          <Graph
            title="Event loop delay"
            times={times}
            onChoose={toLog}
            series={[{ name: 'Delay', values: values('loop_lag_ms') }]}
            format={milliseconds}
          />
        </div>
      )}
    </Section>
  )
}

const NO_POINTS: HistoryPoint[] = []

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
