import { useQuery } from '@tanstack/react-query'
import { Link } from '@tanstack/react-router'
import { messageOf, send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { ClusterNode, DeploymentStatus, Rollout } from '../api/types.ts'
import { DataTable } from '../components/data-table.tsx'
import { DeployButton, RollBackButton, useArtifacts } from '../components/deploy.tsx'
import { Empty, Refusal } from '../components/empty.tsx'
import { bytes, counted } from '../components/format.ts'
import { PageLoading } from '../components/loading.tsx'
import { RolloutProgress, RolloutState } from '../components/rollout.tsx'
import { Facts, Section } from '../components/section.tsx'
import { Mark } from '../components/state.tsx'
import { Ago } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import { useDeployments } from '../live/use-deployments.ts'
import { useCluster, useLive } from '../live/use-live.ts'

/** What is being brought to the nodes, what was, and what could be: of services, and of P2P Core itself. */
export function UpdatesPage() {
  const { session } = useLive()
  const isLoaded = useCluster((view) => view.isLoaded)
  const deployments = useDeployments()
  const upgrade = useUpgrade()
  if (!isLoaded || deployments.isPending) return <PageLoading />
  const rows = deployments.data ?? []
  const running = rows.filter(({ rollout }) => rollout?.state === 'running')
  const isUpgrading = upgrade.data?.state === 'running'
  return (
    <div className="page">
      <h1>Updates</h1>
      {deployments.error && <Refusal>{messageOf(deployments.error)}</Refusal>}
      {(running.length > 0 || isUpgrading) && (
        <Section title="Under way">
          {upgrade.data && isUpgrading && <RolloutProgress rollout={upgrade.data} what="P2P Core" />}
          {running.map(
            ({ deployment, rollout }) =>
              rollout && (
                <RolloutProgress key={deployment.service} rollout={rollout} what={visible(deployment.service)} />
              ),
          )}
        </Section>
      )}
      <Deployments rows={rows} isOperator={hasRole(session.me, 'operator')} />
      <Program upgrade={upgrade.data ?? undefined} />
      <Bundles deployments={rows} isOperator={hasRole(session.me, 'operator')} />
    </div>
  )
}

const UPGRADE_EVERY_MS = 3_000

/** The latest upgrade of the nodes' own program; null before the first. */
function useUpgrade() {
  return useQuery({
    queryKey: ['upgrade'],
    queryFn: async () => {
      const body = { jsonrpc: '2.0', id: 1, method: 'upgrades/get_upgrade', params: {} }
      return (await send<{ result?: Rollout | null }>('POST', '/rpc?node=local', body)).result ?? null
    },
    refetchInterval: ({ state }) => (state.data?.state === 'running' ? UPGRADE_EVERY_MS : false),
  })
}

function Deployments({ rows, isOperator }: { rows: DeploymentStatus[]; isOperator: boolean }) {
  return (
    <Section title="Deployed services" note={`${rows.length}`}>
      <DataTable
        label="Deployed services"
        rows={rows}
        keyOf={({ deployment }) => deployment.service}
        empty={
          <Empty title="Nothing was deployed yet">
            Bring a service from its folder: <code>p2p deploy ./my-service</code>
          </Empty>
        }
        columns={[
          {
            title: 'Service',
            cell: ({ deployment: { service } }) => (
              <Link to="/services/$service" params={{ service }} className="name name-cell">
                {visible(service)}
              </Link>
            ),
            sortBy: ({ deployment }) => deployment.service,
          },
          { title: 'Version', cell: ({ deployment }) => <span className="mono">{visible(deployment.version)}</span> },
          {
            title: 'Last rollout',
            cell: ({ rollout }) =>
              rollout ? <RolloutState state={rollout.state} /> : <span className="muted">–</span>,
            sortBy: ({ rollout }) => rollout?.state ?? '',
          },
          {
            title: 'When',
            kind: 'num wide',
            cell: ({ deployment }) => <Ago at={deployment.at_ms} />,
            sortBy: ({ deployment }) => deployment.at_ms,
          },
          { title: 'By', kind: 'wide', cell: ({ deployment }) => personOf(deployment.by) },
          {
            title: 'Why',
            kind: 'wide grow',
            cell: ({ deployment, rollout }) => {
              const text = visible(rollout?.reason ?? deployment.reason)
              return <span title={text}>{text}</span>
            },
          },
          {
            title: '',
            cell: (status) =>
              isOperator && (
                <span className="buttons">
                  <DeployButton service={status.deployment.service} status={status} />
                  <span className="wide">
                    <RollBackButton status={status} />
                  </span>
                </span>
              ),
          },
        ]}
      />
    </Section>
  )
}

/** `person:ada` is Ada. */
function personOf(label: string): string {
  return visible(label.replace(/^person:/, ''))
}

/** Which version of P2P Core runs where. */
function Program({ upgrade }: { upgrade: Rollout | undefined }) {
  const nodes = useCluster((view) => view.nodes).filter(({ status }) => status !== 'left')
  const versions = versionsOf(nodes)
  return (
    <Section title="P2P Core itself">
      <div className="panel panel-pad form">
        <Facts
          facts={versions.map(([version, members]) => [
            version,
            <>
              <Mark tone={versions.length === 1 ? 'ok' : 'warn'} /> {counted(members.length, 'node')}
              {versions.length > 1 && (
                <span className="muted">: {members.map(({ node_id: id }) => id).join(', ')}</span>
              )}
            </>,
          ])}
        />
        {upgrade && upgrade.state !== 'running' && (
          <p>
            <RolloutState state={upgrade.state} /> {visible(upgrade.to_version)}{' '}
            {upgrade.ended_at_ms !== undefined && (
              <span className="muted">
                <Ago at={upgrade.ended_at_ms} />
              </span>
            )}
            {upgrade.reason !== undefined && <span className="bad wrap">: {visible(upgrade.reason)}</span>}
          </p>
        )}
        <p className="muted">
          An admin brings the next version with <code>p2p upgrade p2p-core-VERSION.tgz</code>: one node alone first,
          then the others one after the other, the coordinators last. What does not run well goes back by itself.
        </p>
      </div>
    </Section>
  )
}

function versionsOf(nodes: ClusterNode[]): [version: string, nodes: ClusterNode[]][] {
  const byVersion = new Map<string, ClusterNode[]>()
  for (const node of nodes) {
    const { version } = node.metadata
    byVersion.set(version, [...(byVersion.get(version) ?? []), node])
  }
  return [...byVersion].sort(([a], [b]) => b.localeCompare(a, 'en', { numeric: true }))
}

/** Every version that can be deployed, also of services that were removed. */
function Bundles({ deployments, isOperator }: { deployments: DeploymentStatus[]; isOperator: boolean }) {
  const artifacts = useArtifacts()
  const rows = artifacts.data ?? []
  if (rows.length === 0) return null
  const statusOf = (service: string) => deployments.find(({ deployment }) => deployment.service === service)
  return (
    <Section title="Versions the cluster keeps" note={`${rows.length}`}>
      <DataTable
        label="Versions the cluster keeps"
        rows={rows}
        keyOf={({ digest }) => digest}
        empty={null}
        columns={[
          {
            title: 'Service',
            cell: ({ service }) => <span className="name name-cell">{visible(service)}</span>,
            sortBy: ({ service }) => service,
          },
          { title: 'Version', cell: ({ version }) => <span className="mono">{visible(version)}</span> },
          {
            title: 'Use',
            cell: ({ service, digest }) => (
              <span className="muted">{statusOf(service)?.deployment.artifact === digest ? 'deployed now' : '–'}</span>
            ),
          },
          { title: 'Size', kind: 'num wide', cell: (row) => bytes(row.size_bytes), sortBy: (row) => row.size_bytes },
          {
            title: 'Brought',
            kind: 'num wide',
            cell: (row) => <Ago at={row.stored_at_ms} />,
            sortBy: (row) => row.stored_at_ms,
          },
          {
            title: 'SHA-256',
            kind: 'wide grow',
            cell: ({ digest }) => (
              <span className="mono muted" title={digest}>
                {digest}
              </span>
            ),
          },
          ...(isOperator
            ? [
                {
                  title: '',
                  cell: ({ service }: { service: string }) =>
                    !statusOf(service) && service !== 'p2p-core' && <DeployButton service={service} />,
                },
              ]
            : []),
        ]}
      />
    </Section>
  )
}
