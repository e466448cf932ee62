import { NativeSelect } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useState } from 'react'
import { ApiError, get, messageOf } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type {
  ClusterNode,
  DeploymentHistoryEntry,
  DeploymentStatus,
  Instance,
  MethodDetails,
  ServiceDetails,
  ServiceSummary,
} from '../api/types.ts'
import { CallForm } from '../components/call-form.tsx'
import { DataTable } from '../components/data-table.tsx'
import { Empty, Refusal } from '../components/empty.tsx'
import { amount, milliseconds } from '../components/format.ts'
import { Facts, Section } from '../components/section.tsx'
import { DeploymentButtons, NodeServiceButtons } from '../components/service-control.tsx'
import { serviceTone, State } from '../components/state.tsx'
import { Ago } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import { WhyButton } from '../components/why.tsx'
import { useCluster, useLive } from '../live/use-live.ts'

const route = getRouteApi('/services/$service')
const DEPLOYMENT_EVERY_MS = 3_000

/** One service: what should run and what does, how to change that, and its methods to try. */
export function ServicePage() {
  const { service } = route.useParams()
  const summary = useCluster((view) => view.services.find(({ name }) => name === service))
  const isLoaded = useCluster((view) => view.isLoaded)
  const path = `/api/deployments/${encodeURIComponent(service)}`
  const deployment = useQuery({
    queryKey: ['deployment', service],
    queryFn: ({ signal }) => orUndefined(get<DeploymentStatus>(path, signal)),
    // Nobody deployed it: nothing will change but by a deploy, which is told otherwise.
    refetchInterval: ({ state }) => (state.data === null ? false : DEPLOYMENT_EVERY_MS),
  })
  if (!isLoaded || deployment.isPending) return null
  if (!summary && !deployment.data) {
    return (
      <Empty title={`No node runs ${service}`}>
        <Link to="/services">All services</Link>
      </Empty>
    )
  }
  return (
    <div className="page">
      <div className="page-head">
        <h1>{service}</h1>
        {summary && <State word={`${summary.healthy} of ${summary.wanted} healthy`} tone={serviceTone(summary)} />}
        <span className="actions">
          <WhyButton kind="service" name={service} />
          {deployment.data && <DeploymentButtons status={deployment.data} />}
        </span>
      </div>
      {deployment.data?.problems.map((problem) => (
        <Refusal key={problem}>{visible(problem)}</Refusal>
      ))}
      {deployment.data?.rollout?.state === 'running' && <Rollout status={deployment.data} />}
      <div className="columns">
        <div className="stack">
          <Section title="Facts">
            <div className="panel panel-pad">
              <Facts
                facts={[
                  ['Versions', <span className="mono">{summary?.versions.join(', ') ?? '–'}</span>],
                  ['Instances', summary ? `${summary.running} running of ${summary.wanted} wanted` : '–'],
                  ['Calls', summary ? `${amount(summary.calls_per_s)} per second` : '–'],
                  ['Latency', latencyOf(summary)],
                  ...deploymentFacts(deployment.data),
                ]}
              />
            </div>
          </Section>
          {deployment.data && <History service={service} />}
        </div>
        <Methods service={service} />
      </div>
      <Instances service={service} deployment={deployment.data ?? undefined} />
    </div>
  )
}

/** A service that nobody deployed is no failure. */
async function orUndefined<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null
    throw error
  }
}

function latencyOf(summary: ServiceSummary | undefined): string {
  if (summary?.p50_ms === null || summary?.p50_ms === undefined) return '–'
  return `half within ${milliseconds(summary.p50_ms)}, 99 % within ${milliseconds(summary.p99_ms)}`
}

function deploymentFacts(status: DeploymentStatus | null | undefined): [string, React.ReactNode][] {
  if (!status) return [['Deployed', 'no: it comes with its nodes']]
  const { deployment } = status
  return [
    [
      'Deployed',
      <>
        generation {deployment.generation}, <Ago at={deployment.at_ms} /> by {deployment.by}
      </>,
    ],
    ['Reason', deployment.reason === '' ? 'none given' : visible(deployment.reason)],
  ]
}

function Rollout({ status: { rollout } }: { status: DeploymentStatus }) {
  if (!rollout) return null
  return (
    <div className="note" role="status">
      Rolling out {rollout.to_version}: {rollout.done} of {rollout.wanted} instances are new and healthy.{' '}
      <progress value={rollout.done} max={Math.max(1, rollout.wanted)} aria-label="Rollout" />
    </div>
  )
}

function Instances({ service, deployment }: { service: string; deployment: DeploymentStatus | undefined }) {
  const nodes = useCluster((view) => view.nodes)
  const rows: Instance[] =
    deployment?.instances ??
    nodes.flatMap((node) => {
      const found = node.services[service]
      if (!found) return []
      const { version, status } = found
      return [{ node_id: node.node_id, id: '', version, state: status, health: status, restarts: 0 }]
    })
  return (
    <Section title="Instances" note={`${rows.length}`}>
      <DataTable
        label="Instances"
        rows={rows}
        keyOf={({ node_id, id }) => `${node_id} ${id}`}
        empty={<Empty title="No instance runs">Start the service, or look above for the reason.</Empty>}
        columns={[
          {
            title: 'Node',
            cell: ({ node_id }) => (
              <Link to="/nodes/$nodeId" params={{ nodeId: node_id }} className="name name-cell">
                {node_id}
              </Link>
            ),
            sortBy: ({ node_id }) => node_id,
          },
          { title: 'State', cell: ({ state }) => <State word={state} />, sortBy: ({ state }) => state },
          ...(deployment
            ? [
                { title: 'Health', cell: ({ health }: Instance) => <State word={health} /> },
                { title: 'Restarts', kind: 'num', cell: ({ restarts }: Instance) => restarts },
              ]
            : []),
          { title: 'Version', kind: 'wide', cell: ({ version }) => <span className="mono">{version}</span> },
          {
            title: 'Why',
            kind: 'wide grow',
            cell: ({ reason }) => <span title={reason}>{visible(reason ?? '')}</span>,
          },
          {
            title: '',
            cell: ({ node_id, state }) => (
              <NodeServiceButtons nodeId={node_id} service={service} isRunning={state !== 'stopped'} />
            ),
          },
        ]}
      />
    </Section>
  )
}

function Methods({ service }: { service: string }) {
  const { session } = useLive()
  const [chosen, setChosen] = useState<string>()
  const details = useQuery({
    queryKey: ['methods', service],
    queryFn: ({ signal }) => get<ServiceDetails>(`/services/${encodeURIComponent(service)}`, signal),
    retry: false,
  })
  const nodes = useCluster((view) => view.nodes)
  const methods = details.data?.method_details ?? (details.error ? methodsElsewhere(service, nodes) : [])
  const method = methods.find(({ name }) => name === chosen) ?? methods[0]
  return (
    <Section title="Call a method">
      <div className="panel panel-pad">
        {method ? (
          <div className="form">
            <NativeSelect
              label="Method"
              data={methods.map(({ name }) => name)}
              value={method.name}
              onChange={(event) => setChosen(event.currentTarget.value)}
            />
            {hasRole(session.me, method.required_role) ? (
              <CallForm key={method.name} service={service} method={method} />
            ) : (
              <p className="muted">
                This method is for the role {method.required_role}; you are {session.me.role}.
              </p>
            )}
          </div>
        ) : (
          <p className="muted">
            {details.error
              ? messageOf(details.error)
              : details.data
                ? 'It has no method that people may call.'
                : 'Asking…'}
          </p>
        )}
      </div>
    </Section>
  )
}

/** Methods of a service that only other nodes run: their names are known here, what they take is not. */
function methodsElsewhere(service: string, nodes: ClusterNode[]): MethodDetails[] {
  const names = nodes.flatMap((node) => node.services[service]?.methods ?? [])
  return [...new Set(names)].sort().map((name) => ({
    name: name.startsWith(`${service}/`) ? name.slice(service.length + 1) : name,
    description: '',
    params: {},
    result: null,
    required_role: 'viewer',
  }))
}

function History({ service }: { service: string }) {
  const history = useQuery({
    queryKey: ['deployment', service, 'history'],
    queryFn: ({ signal }) =>
      get<{ history: DeploymentHistoryEntry[] }>(`/api/deployments/${encodeURIComponent(service)}/history`, signal),
  })
  return (
    <Section title="History">
      <DataTable
        label="History"
        rows={history.data?.history ?? []}
        keyOf={({ deployment }) => String(deployment.generation)}
        empty={<Empty title="No history yet" />}
        columns={[
          { title: 'No.', kind: 'num', cell: ({ deployment }) => deployment.generation },
          { title: 'Version', cell: ({ deployment }) => <span className="mono">{deployment.version}</span> },
          {
            title: 'Outcome',
            cell: ({ state }) => (state === 'running' ? <State word="rolling out" /> : <State word={state} />),
          },
          { title: 'When', cell: ({ deployment }) => <Ago at={deployment.at_ms} /> },
          {
            title: 'Why',
            kind: 'wide grow',
            cell: ({ deployment, reason }) => visible(reason ?? deployment.reason),
          },
        ]}
      />
    </Section>
  )
}
