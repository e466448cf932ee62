import { NativeSelect } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { getRouteApi, Link } from '@tanstack/react-router'
import { useState } from 'react'
import { ApiError, get, messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { DeploymentStatus, Instance, Rollout, ServiceDetails, ServicePoint, ServiceSummary } from '../api/types.ts'
import { CallForm } from '../components/call-form.tsx'
import { DataTable } from '../components/data-table.tsx'
import { useHistory } from '../components/deploy.tsx'
import { Empty, Refusal } from '../components/empty.tsx'
import { amount, milliseconds } from '../components/format.ts'
import { type GraphOf, HistoryGraphs } from '../components/history-graphs.tsx'
import { PageLoading } from '../components/loading.tsx'
import { RolloutProgress, RolloutState } from '../components/rollout.tsx'
import { Facts, Section } from '../components/section.tsx'
import { DeploymentButtons, NodeServiceButtons } from '../components/service-control.tsx'
import { RateLine } from '../components/sparkline.tsx'
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
  if (!isLoaded || deployment.isPending) return <PageLoading />
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
      {deployment.data?.rollout && isTold(deployment.data.rollout) && (
        <RolloutProgress rollout={deployment.data.rollout} what={service} />
      )}
      <div className="columns">
        <div className="stack">
          <Section title="Facts">
            <div className="panel panel-pad">
              <Facts
                facts={[
                  ['Versions', <span className="mono">{summary?.versions.join(', ') ?? '–'}</span>],
                  ['Instances', summary ? `${summary.running} running of ${summary.wanted} wanted` : '–'],
                  ['Calls', <Calls service={service} summary={summary} />],
                  ['Errors', errorsOf(summary)],
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
      {summary && (
        <HistoryGraphs
          title="Calls"
          path={`/api/dashboard/services/${encodeURIComponent(service)}/history`}
          graphs={GRAPHS}
          log={{ logger: `Service.${service}` }}
          empty="The coordinator takes the figures of all nodes every few seconds."
        />
      )}
      <Instances service={service} deployment={deployment.data ?? undefined} />
    </div>
  )
}

const GRAPHS: readonly GraphOf<ServicePoint>[] = [
  {
    title: 'Calls, per second',
    lines: [
      { name: 'all', field: 'calls_per_s' },
      { name: 'failed', field: 'errors_per_s' },
    ],
    format: amount,
  },
  {
    title: 'Latency',
    lines: [
      { name: '99 % within', field: 'p99_ms' },
      { name: 'half within', field: 'p50_ms' },
    ],
    format: milliseconds,
  },
]

/** A service that nobody deployed is no failure. */
async function orUndefined<T>(answer: Promise<T>): Promise<T | null> {
  try {
    return await answer
  } catch (error) {
    if (error instanceof ApiError && (error.status === 404 || error.status === 403)) return null
    throw error
  }
}

function Calls({ service, summary }: { service: string; summary: ServiceSummary | undefined }) {
  const rates = useCluster((view) => view.callRates[service])
  if (!summary) return '–'
  return (
    <span className="rate rate-left">
      {amount(summary.calls_per_s)} per second <RateLine rates={rates ?? []} />
    </span>
  )
}

function errorsOf(summary: ServiceSummary | undefined) {
  const ratio = summary?.error_ratio
  if (ratio === null || ratio === undefined) return '–'
  return <span className={ratio > 0.01 ? 'bad' : ''}>{(ratio * 100).toFixed(ratio > 0 ? 1 : 0)} % of the calls</span>
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
        generation {deployment.generation}, <Ago at={deployment.at_ms} /> by{' '}
        {visible(deployment.by.replace(/^person:/, ''))}
      </>,
    ],
    ['Why', deployment.reason === '' ? 'none given' : visible(deployment.reason)],
  ]
}

/** Under way, or ended badly: what ended well is in the history. */
function isTold({ state }: Rollout): boolean {
  return state === 'running' || state === 'failed' || state === 'rolled-back'
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
                { title: 'Health', kind: 'wide', cell: ({ health }: Instance) => <State word={health} /> },
                { title: 'Restarts', kind: 'num wide', cell: ({ restarts }: Instance) => restarts },
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
  const [target, setTarget] = useState('')
  const nodes = useCluster((view) => view.nodes)
  const asked = useCluster((view) => view.cluster?.node_id)
  const owners = nodes.filter((node) => node.status === 'alive' && node.services[service]).map((node) => node.node_id)
  const details = useQuery({
    queryKey: ['methods', service, owners[0]],
    queryFn: ({ signal }) => {
      const namesOnly = nodes.find((node) => node.node_id === owners[0])?.services[service]?.methods ?? []
      return describeService(
        service,
        { owners, namesOnly, isHere: asked !== undefined && owners.includes(asked) },
        signal,
      )
    },
  })
  const methods = details.data?.method_details ?? []
  const method = methods.find(({ name }) => name === chosen) ?? methods[0]
  return (
    <Section title="Call a method">
      <div className="panel panel-pad">
        {method ? (
          <div className="form">
            <div className="form-row form-row-even">
              <NativeSelect
                label="Method"
                data={methods.map(({ name }) => name)}
                value={method.name}
                onChange={(event) => setChosen(event.currentTarget.value)}
              />
              <NativeSelect
                label="On"
                data={[{ value: '', label: 'whichever node has it' }, ...owners]}
                value={target}
                onChange={(event) => setTarget(event.currentTarget.value)}
              />
            </div>
            {hasRole(session.me, method.required_role) ? (
              <CallForm key={method.name} service={service} method={method} target={target || owners[0]} />
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

interface RpcAnswer {
  result?: ServiceDetails
  error?: { message: string }
}

/** What the methods take and give: as the node asked knows, else as one that runs the service tells. */
async function describeService(
  service: string,
  { owners, namesOnly, isHere }: { owners: string[]; namesOnly: string[]; isHere: boolean },
  signal: AbortSignal,
): Promise<Pick<ServiceDetails, 'method_details'>> {
  const [owner] = owners
  if (isHere || owner === undefined) return get<ServiceDetails>(`/services/${encodeURIComponent(service)}`, signal)
  const body = { jsonrpc: '2.0', id: 1, method: 'system/describe_service', params: { name: service } }
  const { result, error: refusal } = await send<RpcAnswer>('POST', `/rpc?node=${encodeURIComponent(owner)}`, body)
  if (result) return result
  // A node of an older version does not tell: the names are known from its record, parameters are entered as JSON.
  const method_details = namesOnly.map((name) => ({
    name: name.startsWith(`${service}/`) ? name.slice(service.length + 1) : name,
    description: '',
    params: {},
    result: null,
    required_role: 'viewer' as const,
  }))
  if (method_details.length > 0) return { method_details }
  throw new ApiError(200, 'RPC', refusal?.message ?? `${owner} does not tell what ${service} takes`)
}

function History({ service }: { service: string }) {
  const history = useHistory(service)
  return (
    <Section title="History">
      <DataTable
        label="History"
        rows={history.data ?? []}
        keyOf={({ deployment }) => String(deployment.generation)}
        empty={<Empty title="No history yet" />}
        columns={[
          { title: 'No.', kind: 'num', cell: ({ deployment }) => deployment.generation },
          { title: 'Version', cell: ({ deployment }) => <span className="mono">{deployment.version}</span> },
          {
            title: 'Outcome',
            cell: ({ state }) => <RolloutState state={state} />,
          },
          { title: 'When', cell: ({ deployment }) => <Ago at={deployment.at_ms} /> },
          {
            title: 'Why',
            kind: 'wide grow',
            cell: ({ deployment, reason }) => {
              const text = visible(reason ?? deployment.reason)
              return <span title={text}>{text}</span>
            },
          },
        ]}
      />
    </Section>
  )
}
