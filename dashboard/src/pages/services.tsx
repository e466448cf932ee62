import { Section } from '../components/section.tsx'
import { ServiceTable } from '../components/service-table.tsx'
import { useCluster } from '../live/use-live.ts'

/** All services of the cluster. */
export function ServicesPage() {
  const services = useCluster((view) => view.services)
  const isLoaded = useCluster((view) => view.isLoaded)
  return (
    <div className="page">
      <h1>Services</h1>
      {isLoaded && (
        <Section title="In the cluster" note={`${services.length}`}>
          <ServiceTable services={services} />
        </Section>
      )}
    </div>
  )
}
