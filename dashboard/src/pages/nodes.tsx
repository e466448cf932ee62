import { Link } from '@tanstack/react-router'
import { hasRole } from '../api/session.ts'
import type { ClusterNode } from '../api/types.ts'
import { type Column, DataTable } from '../components/data-table.tsx'
import { Empty } from '../components/empty.tsx'
import { amount, percent } from '../components/format.ts'
import { JoinTokens, PendingNodes } from '../components/joining.tsx'
import { PageLoading } from '../components/loading.tsx'
import { Section } from '../components/section.tsx'
import { NodeState } from '../components/state.tsx'
import { Ago } from '../components/time.tsx'
import type { ClusterView } from '../live/cluster-view.ts'
import { useCluster, useLive } from '../live/use-live.ts'

/** All machines of the cluster, those that want in, and how one more gets in. */
export function NodesPage() {
  const { session } = useLive()
  const nodes = useCluster((view) => view.nodes)
  const metrics = useCluster((view) => view.metrics)
  const isLoaded = useCluster((view) => view.isLoaded)
  const isAdmin = hasRole(session.me, 'admin')
  if (!isLoaded) return <PageLoading />
  return (
    <div className="page">
      <h1>Nodes</h1>
      {hasRole(session.me, 'operator') && <PendingNodes isAdmin={isAdmin} />}
      <Section title="In the cluster" note={`${nodes.length}`}>
        <DataTable
          label="Nodes"
          columns={columnsOf(metrics)}
          rows={nodes}
          keyOf={(node) => node.node_id}
          empty={
            <Empty title="No nodes">
              Make a join token below and run <code>p2p join</code> on a machine.
            </Empty>
          }
        />
      </Section>
      {isAdmin && <JoinTokens />}
    </div>
  )
}

function columnsOf(metrics: ClusterView['metrics']): Column<ClusterNode>[] {
  return [
    {
      title: 'Node',
      cell: ({ node_id }) => (
        <Link to="/nodes/$nodeId" params={{ nodeId: node_id }} className="name name-cell" title={node_id}>
          {node_id}
        </Link>
      ),
      sortBy: (node) => node.node_id,
    },
    {
      title: 'State',
      cell: (node) => <NodeState node={node} />,
      sortBy: ({ status, drain = '' }) => `${status} ${drain}`,
    },
    { title: 'Role', kind: 'wide', cell: ({ role }) => role, sortBy: ({ role }) => role },
    {
      title: 'Address',
      kind: 'wide',
      cell: ({ address, port }) => <span className="mono">{`${address}:${port}`}</span>,
      sortBy: ({ address }) => address,
    },
    {
      title: 'CPU',
      kind: 'num',
      cell: ({ node_id }) => percent(metrics[node_id]?.cpu_percent),
      sortBy: ({ node_id }) => metrics[node_id]?.cpu_percent ?? -1,
    },
    {
      title: 'Memory',
      kind: 'num',
      cell: ({ node_id }) => percent(metrics[node_id]?.memory.percent),
      sortBy: ({ node_id }) => metrics[node_id]?.memory.percent ?? -1,
    },
    {
      title: 'Disk',
      kind: 'num wide',
      cell: ({ node_id }) => percent(metrics[node_id]?.disk?.percent),
      sortBy: ({ node_id }) => metrics[node_id]?.disk?.percent ?? -1,
    },
    {
      title: 'Load',
      kind: 'num wide',
      cell: ({ node_id }) => amount(metrics[node_id]?.load_average?.[0]),
      sortBy: ({ node_id }) => metrics[node_id]?.load_average?.[0] ?? -1,
    },
    {
      title: 'Services',
      kind: 'num wide',
      cell: ({ services }) => Object.keys(services).length,
      sortBy: ({ services }) => Object.keys(services).length,
    },
    { title: 'Version', kind: 'wide', cell: ({ metadata }) => <span className="mono">{metadata.version}</span> },
    {
      title: 'Started',
      kind: 'num wide',
      cell: ({ metadata }) => <Ago at={metadata.started_at} />,
      sortBy: ({ metadata }) => metadata.started_at,
    },
  ]
}
