import { Link } from '@tanstack/react-router'
import type { ServiceSummary } from '../api/types.ts'
import { type Column, DataTable } from './data-table.tsx'
import { Empty } from './empty.tsx'
import { amount, milliseconds } from './format.ts'
import { RateLine } from './sparkline.tsx'
import { serviceTone, State } from './state.tsx'

/** Services over the whole cluster. */
export function ServiceTable(props: {
  services: ServiceSummary[]
  /** Calls per second lately, by service. */
  rates: Record<string, number[]>
  label?: string
}) {
  const { services, rates, label = 'Services' } = props
  return (
    <DataTable
      label={label}
      columns={columnsOf(rates)}
      rows={services}
      keyOf={({ name }) => name}
      empty={
        <Empty title="No services yet">
          Make one with <code>p2p init service</code> and deploy it with <code>p2p deploy</code>.
        </Empty>
      }
    />
  )
}

const columnsOf = (rates: Record<string, number[]>): Column<ServiceSummary>[] => [
  {
    title: 'Service',
    cell: ({ name }) => (
      <Link to="/services/$service" params={{ service: name }} className="name name-cell" title={name}>
        {name}
      </Link>
    ),
    sortBy: ({ name }) => name,
  },
  {
    title: 'State',
    cell: (service) => <State word={wordOf(service)} tone={serviceTone(service)} />,
    sortBy: ({ wanted, healthy }) => (wanted === 0 ? 1 : healthy / wanted),
  },
  {
    title: 'Running',
    kind: 'num',
    cell: ({ running, wanted }) => (
      <>
        {running}
        <span className="muted"> of {wanted}</span>
      </>
    ),
    sortBy: ({ running }) => running,
  },
  { title: 'Version', kind: 'wide', cell: ({ versions }) => <span className="mono">{versions.join(', ')}</span> },
  {
    title: 'Calls/s',
    kind: 'num wide',
    cell: (service) => (
      <span className="rate">
        <RateLine rates={rates[service.name] ?? []} />
        {amount(service.calls_per_s)}
      </span>
    ),
    sortBy: (service) => service.calls_per_s ?? -1,
  },
  {
    title: 'Errors',
    kind: 'num wide',
    cell: ({ error_ratio: ratio }) => (
      <span className={ratio && ratio > 0.01 ? 'bad' : ''}>
        {ratio === null || ratio === undefined ? '–' : `${(ratio * 100).toFixed(ratio > 0 ? 1 : 0)} %`}
      </span>
    ),
    sortBy: (service) => service.error_ratio ?? -1,
  },
  { title: 'p50', kind: 'num wide', cell: (service) => milliseconds(service.p50_ms) },
  {
    title: 'p99',
    kind: 'num wide',
    cell: (service) => milliseconds(service.p99_ms),
    sortBy: (service) => service.p99_ms ?? -1,
  },
]

function wordOf({ wanted, healthy }: ServiceSummary): string {
  if (wanted === 0) return 'stopped'
  if (healthy >= wanted) return 'healthy'
  return healthy === 0 ? 'failing' : 'degraded'
}
