import { Link } from '@tanstack/react-router'
import { PageLoading } from '../components/loading.tsx'
import { Section } from '../components/section.tsx'
import { ServiceTable } from '../components/service-table.tsx'
import { Mark } from '../components/state.tsx'
import { Ago } from '../components/time.tsx'
import { visible } from '../components/visible-text.ts'
import { useServiceKinds } from '../live/use-built-in.ts'
import { useDeployments } from '../live/use-deployments.ts'
import { useCluster } from '../live/use-live.ts'

/** All services of the cluster. */
export function ServicesPage() {
  const services = useCluster((view) => view.services)
  const rates = useCluster((view) => view.callRates)
  const isLoaded = useCluster((view) => view.isLoaded)
  const { brought, builtIn } = useServiceKinds(services)
  if (!isLoaded) return <PageLoading />
  return (
    <div className="page">
      <div className="page-head">
        <h1>Services</h1>
        <span className="actions">
          <Link to="/updates" className="quiet-link">
            Deploy a version
          </Link>
        </span>
      </div>
      <NotRunning known={services.map(({ name }) => name)} />
      <Section title="Yours" note={`${brought.length}`}>
        <ServiceTable services={brought} rates={rates} />
      </Section>
      {builtIn.length > 0 && (
        <Section title="Of P2P Core itself" note={`${builtIn.length}`}>
          <ServiceTable services={builtIn} rates={rates} label="Services of P2P Core itself" />
        </Section>
      )}
    </div>
  )
}

/** Deployments of which no node runs anything, and so no node speaks: their first rollout failed. */
function NotRunning({ known }: { known: string[] }) {
  const deployments = useDeployments()
  const missing = (deployments.data ?? []).filter(({ deployment }) => !known.includes(deployment.service))
  if (missing.length === 0) return null
  return (
    <Section title="Never ran" note={`${missing.length}`}>
      <div className="panel">
        {missing.map(({ deployment: { service, version, at_ms: at }, rollout }) => (
          <div key={service} className="attention">
            <span className="state">
              <Mark tone={rollout?.state === 'running' ? 'off' : 'bad'} />
            </span>
            <b className="wrap">
              <Link to="/services/$service" params={{ service }}>
                {visible(service)} {visible(version)}
              </Link>
            </b>
            <span className="muted small">
              <Ago at={at} />
            </span>
            <p className="muted wrap">
              {rollout?.state === 'running'
                ? 'It is on its way.'
                : visible(rollout?.reason ?? 'No instance was healthy.')}
            </p>
          </div>
        ))}
      </div>
    </Section>
  )
}
