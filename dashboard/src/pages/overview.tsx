import { Link } from '@tanstack/react-router'
import type { Attention, ClusterNode } from '../api/types.ts'
import { FiringAlerts, useAlerts } from '../components/alerts.tsx'
import { CallList, ClusterMap } from '../components/cluster-map.tsx'
import { counted, percent } from '../components/format.ts'
import { PageLoading } from '../components/loading.tsx'
import { Section } from '../components/section.tsx'
import { ServiceTable } from '../components/service-table.tsx'
import { Sparkline } from '../components/sparkline.tsx'
import { Mark, type Tone, toneOf } from '../components/state.tsx'
import { Ago } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import type { ClusterView } from '../live/cluster-view.ts'
import { useServiceKinds } from '../live/use-built-in.ts'
import { useCluster } from '../live/use-live.ts'

/** The cluster at a glance: is it well, and if not, what first. */
export function OverviewPage() {
  const view = useCluster((view) => view)
  const alerts = useAlerts()
  const { brought, builtIn } = useServiceKinds(view.services)
  if (!view.isLoaded) return <PageLoading />
  const members = view.nodes.filter(({ status }) => status !== 'left')
  const cards = [...members].sort((a, b) => urgencyOf(b, view) - urgencyOf(a, view)).slice(0, CARDS_MAX)
  const { word, tone, sentence } = healthOf(view)
  // What fires is told above.
  const firing = new Set(alerts?.alerts.flatMap(({ state, title }) => (state === 'firing' ? [title] : [])))
  const attention = view.attention.filter(({ title }) => !firing.has(title))
  return (
    <div className="page">
      <div>
        <h1 className="headline">
          <Mark tone={tone} />
          {word}
        </h1>
        <p className="muted">{sentence}</p>
      </div>
      <FiringAlerts alerts={alerts} />
      {attention.length > 0 && (
        <Section title="Needs attention">
          <div className="panel">
            {attention.map((item) => (
              <AttentionRow key={`${item.title}${item.node_id}${item.service}`} item={item} />
            ))}
          </div>
        </Section>
      )}
      {members.length > 1 && (
        <Section title="Map">
          <div className="panel map-panel">
            <ClusterMap nodes={members} calls={view.calls} cpuOf={(nodeId) => view.metrics[nodeId]?.cpu_percent} />
            <CallList calls={view.calls} />
          </div>
        </Section>
      )}
      <Section title="Nodes" note={<Link to="/nodes">all {view.nodes.length}</Link>}>
        <div className="cards">
          {cards.map((node) => (
            <NodeCard key={node.node_id} node={node} view={view} />
          ))}
        </div>
        {cards.length < members.length && (
          <p className="muted small">
            The busiest, and those that are not well. <Link to="/nodes">All {members.length} nodes</Link>
          </p>
        )}
      </Section>
      <Section title="Services" note={<Link to="/services">all {view.services.length}</Link>}>
        <ServiceTable
          services={[...brought, ...builtIn.filter(({ healthy, wanted }) => healthy < wanted)]}
          rates={view.callRates}
        />
        {builtIn.length > 0 && (
          <p className="muted small">
            <Link to="/services">{counted(builtIn.length, 'service')} of P2P Core itself</Link>, and how they are, under
            Services.
          </p>
        )}
      </Section>
    </div>
  )
}

/** The state of the cluster in one line. */
function healthOf({ nodes, services, attention }: ClusterView): { word: string; tone: Tone; sentence: string } {
  const members = nodes.filter(({ status }) => status !== 'left')
  const alive = members.filter(({ status }) => status === 'alive').length
  const healthy = services.filter((service) => service.healthy >= service.wanted).length
  const errors = attention.some(({ severity }) => severity === 'error')
  const warnings = attention.some(({ severity }) => severity === 'warning')
  return {
    word: errors ? 'Something is broken' : warnings ? 'Running, with warnings' : 'Everything is running',
    tone: errors ? 'bad' : warnings ? 'warn' : 'ok',
    sentence: `${alive} of ${members.length} nodes up, ${healthy} of ${services.length} services healthy`,
  }
}

function AttentionRow({ item }: { item: Attention }) {
  return (
    <div className="attention">
      <span className="state">
        <Mark tone={item.severity === 'info' ? 'off' : toneOf(item.severity)} />
        <span className="hidden-text">{item.severity}</span>
      </span>
      <b className="wrap">
        {item.service !== undefined ? (
          <Link to="/services/$service" params={{ service: item.service }}>
            {visible(item.title)}
          </Link>
        ) : item.node_id !== undefined ? (
          <Link to="/nodes/$nodeId" params={{ nodeId: item.node_id }}>
            {visible(item.title)}
          </Link>
        ) : (
          visible(item.title)
        )}
      </b>
      <span className="muted small">{item.since !== undefined && <Ago at={item.since} />}</span>
      {item.detail && <p className="muted wrap">{visible(item.detail)}</p>}
      {item.remedy && <p className="wrap">{visible(item.remedy)}</p>}
    </div>
  )
}

const SPARK_POINTS = 60
/** More cards are no glance any more. */
const CARDS_MAX = 12

/** Nodes that are not well first, then the busiest; with few nodes all are shown in their order. */
function urgencyOf({ node_id: nodeId, status }: ClusterNode, { nodes, metrics }: ClusterView): number {
  if (nodes.length <= CARDS_MAX) return 0
  return status === 'alive' ? (metrics[nodeId]?.cpu_percent ?? 0) : 1_000
}

function NodeCard({ node, view }: { node: ClusterNode; view: ClusterView }) {
  const points = (view.history[node.node_id] ?? []).slice(-SPARK_POINTS)
  const metrics = view.metrics[node.node_id]
  return (
    <Link className="card" to="/nodes/$nodeId" params={{ nodeId: node.node_id }}>
      <div className="card-head">
        <Mark tone={toneOf(node.status)} />
        <b>{node.node_id}</b>
        <span className="muted">{node.status === 'alive' ? node.role : node.status}</span>
      </div>
      <div className="meters">
        <Meter name="CPU" now={metrics?.cpu_percent} values={points.map((point) => point.cpu_percent)} />
        <Meter name="Memory" now={metrics?.memory.percent} values={points.map((point) => point.memory_percent)} />
      </div>
    </Link>
  )
}

function Meter({ name, now, values }: { name: string; now: number | undefined; values: (number | null)[] }) {
  return (
    <div className="meter">
      <div className="meter-head">
        <span className="muted">{name}</span>
        <span>{percent(now)}</span>
      </div>
      <Sparkline values={values} label={`${name} ${percent(now)}`} />
    </div>
  )
}
