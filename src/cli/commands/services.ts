import { codeOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { relativeTime, spanText } from '../output/relative-time.ts'
import { facts, type OutputFormat, show, showRows, table } from '../output/show.ts'
import { type Format, plain, styler } from '../output/style.ts'
import { type Column, NAME, TEXT_WIDTH_MIN } from '../output/table.ts'
import { allServices, findDeployment } from '../session/all-services.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { DeploymentInstance, DeploymentStatusView } from '../session/deployments.ts'
import { findService } from '../session/find-service.ts'
import type { InstanceView, ServiceDetails } from '../session/wire.ts'

type Flags = ConnectionFlags & { output: OutputFormat }

/** `p2p services [NAME]` */
export async function services(host: CliHost, name: string | undefined, flags: Flags): Promise<void> {
  if (name === undefined) await listServices(host, flags)
  else await showService(host, name, flags)
}

const STATUS_STYLES: Readonly<Record<string, Format>> = {
  healthy: 'green',
  failing: 'red',
  degraded: 'yellow',
  updating: 'cyan',
  stopped: 'dim',
}
const NODES_SHOWN_MAX = 2

async function listServices(host: CliHost, flags: Flags): Promise<void> {
  const found = await allServices(await connect(host, flags))
  await showRows(
    host,
    flags.output,
    found,
    [
      { title: 'SERVICE', value: (row) => row.service, ...NAME },
      { title: 'STATUS', value: (row) => row.status, style: (row) => STATUS_STYLES[row.status] },
      {
        title: 'HEALTHY',
        value: (row) => (row.status === 'job' ? undefined : `${row.healthy}/${row.wanted}`),
        align: 'right',
      },
      { title: 'VERSION', value: (row) => row.versions.join(', ') },
      { title: 'RESTARTS', value: (row) => row.restarts, align: 'right', isOptional: true },
      {
        title: 'NODES',
        value: ({ nodes }) =>
          (nodes.length > NODES_SHOWN_MAX ? `${nodes.length} nodes` : nodes.join(', ')) || undefined,
        widthMin: TEXT_WIDTH_MIN,
      },
      {
        title: 'DESCRIPTION',
        value: (row) => row.description || undefined,
        widthMin: TEXT_WIDTH_MIN,
        isOptional: true,
      },
    ],
    'No node runs a service',
  )
  if (flags.output !== 'table') return
  const style = styler(host.talk, host.environment)
  for (const { service, problems } of found) {
    for (const problem of problems) host.talk.write(`${style('yellow', `${plain(service)}:`)} ${plain(problem)}\n`)
  }
}

/** Its deployment as the coordinator has it, how it runs, and its methods as a node that runs it tells them. */
async function showService(host: CliHost, name: string, flags: Flags): Promise<void> {
  const session = await connect(host, flags)
  const deployment = await findDeployment(session, name)
  let service: ServiceDetails | undefined
  try {
    service = await findService(session, name)
  } catch (error) {
    // What was deployed may run nowhere at the moment.
    if (!deployment || codeOf(error) !== 'P2P_CLI_USAGE') throw error
  }
  await show(host, flags.output, { ...service, ...(deployment && { deployment }) }, () =>
    [
      service && serviceFacts(host, service),
      deployment ? deployed(host, deployment) : ownInstances(host, service?.runtime?.instances ?? []),
      service && methods(host, name, service),
    ]
      .filter((part) => part !== undefined && part !== '')
      .join('\n'),
  )
}

function serviceFacts(host: CliHost, { info, status, health, runtime }: ServiceDetails): string {
  const { metadata, version, description } = info
  const started = metadata.started_at
  return facts(host, [
    ['Service', plain(info.name)],
    ['Version', plain(version)],
    ['Status', `${status}${health === null ? '' : `, ${health}`}`],
    ['Failure', metadata.failure === null ? undefined : plain(metadata.failure)],
    ['Runs as', runtime && `${runtime.kind}, ${ORIGINS[runtime.origin] ?? runtime.origin}`],
    ['Started', started === null ? undefined : relativeTime(Date.parse(started), host.wallMs())],
    ['About', plain(description) || undefined],
  ])
}

const ORIGINS: Readonly<Record<string, string>> = {
  builtin: 'part of P2P Core',
  folder: 'from a folder of the node',
  deployed: 'deployed',
}

function deployed(host: CliHost, { deployment, healthy, running, wanted, instances, problems }: DeploymentStatusView) {
  const head = facts(host, [
    ['Deployed', `${plain(deployment.version)}, generation ${deployment.generation}`],
    ['By', `${plain(deployment.by)}, ${relativeTime(deployment.at_ms, host.wallMs())}`],
    ['Why', deployment.reason === '' ? undefined : plain(deployment.reason)],
    [
      'Instances',
      `${healthy} healthy, ${running} running, ${wanted} wanted${deployment.is_stopped ? '; stopped' : ''}`,
    ],
    ...problems.map((problem) => ['Problem', plain(problem)] as const),
  ])
  if (instances.length === 0) return head
  return `${head}\n${table<DeploymentInstance>(host, instances, [
    { title: 'INSTANCE', value: (instance) => instance.id, ...NAME },
    { title: 'NODE', value: (instance) => instance.node_id, ...NAME },
    { title: 'VERSION', value: (instance) => instance.version },
    { title: 'GENERATION', value: (instance) => instance.generation, align: 'right', isOptional: true },
    ...stateColumns(instances),
  ])}`
}

function ownInstances(host: CliHost, instances: readonly InstanceView[]): string {
  if (instances.length === 0) return ''
  return table<InstanceView>(host, instances, [
    { title: 'INSTANCE', value: (instance) => instance.id, ...NAME },
    { title: 'PROCESS', value: (instance) => instance.pid, align: 'right' },
    ...stateColumns(instances),
  ])
}

type InstanceState = Pick<InstanceView, 'state' | 'health' | 'restarts' | 'reason' | 'ports'>

/** Of programs with ports also where they listen. */
function stateColumns(instances: readonly InstanceState[]): Column<InstanceState>[] {
  const hasPorts = instances.some(({ ports }) => ports)
  return hasPorts ? [{ title: 'PORTS', value: portsText }, ...STATE_COLUMNS] : STATE_COLUMNS
}

/** `web 43217` */
function portsText({ ports = {} }: InstanceState): string | undefined {
  const texts = Object.entries(ports).map(([name, port]) => `${plain(name)} ${port}`)
  return texts.length === 0 ? undefined : texts.join(', ')
}

const STATE_COLUMNS: Column<InstanceState>[] = [
  { title: 'STATE', value: (instance: InstanceState) => instance.state },
  {
    title: 'HEALTH',
    value: (instance: InstanceState) => instance.health,
    style: (instance: InstanceState) => STATUS_STYLES[instance.health],
  },
  {
    title: 'RESTARTS',
    value: (instance: InstanceState) => instance.restarts,
    align: 'right',
    isOptional: true,
  },
  { title: 'WHY', value: (instance: InstanceState) => instance.reason, widthMin: TEXT_WIDTH_MIN },
]

function methods(host: CliHost, name: string, { method_details: found }: ServiceDetails): string {
  if (found.length === 0) return ''
  return table(host, found, [
    { title: 'METHOD', value: (method) => `${name}/${method.name}`, style: () => 'cyan', ...NAME },
    { title: 'ROLE', value: (method) => method.required_role },
    {
      title: 'CACHED',
      value: (method) => (method.cache_ttl_ms > 0 ? spanText(method.cache_ttl_ms) : undefined),
      isOptional: true,
    },
    { title: 'DESCRIPTION', value: (method) => method.description, widthMin: TEXT_WIDTH_MIN },
  ])
}
