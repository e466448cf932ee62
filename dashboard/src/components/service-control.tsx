import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { send } from '../api/http.ts'
import { hasRole } from '../api/session.ts'
import type { DeploymentStatus } from '../api/types.ts'
import { useLive } from '../live/use-live.ts'
import { ConfirmButton } from './confirm-button.tsx'
import { DeployButton, RollBackButton } from './deploy.tsx'
import { InstanceCountInput, instanceCountOf, wantedCount } from './instance-count.tsx'

/** What an operator does with a deployed service, everywhere it runs. */
export function DeploymentButtons({ status }: { status: DeploymentStatus }) {
  const { deployment } = status
  const { session } = useLive()
  const queries = useQueryClient()
  const [count, setCount] = useState(instanceCountOf(deployment))
  if (!hasRole(session.me, 'operator')) return null
  const { service } = deployment
  const post = (verb: string, body?: unknown) => () =>
    send('POST', `/api/deployments/${encodeURIComponent(service)}/${verb}`, body)
  const onDone = (): void => void queries.invalidateQueries({ queryKey: ['deployment', service] })
  return (
    <>
      {deployment.is_stopped ? (
        <ConfirmButton text="Start" title={`Start ${service}`} act={post('start')} onDone={onDone}>
          Its instances are started on the nodes that fit.
        </ConfirmButton>
      ) : (
        <>
          <ConfirmButton text="Restart" title={`Restart ${service}`} act={post('restart')} onDone={onDone}>
            Its instances are restarted one after the other; callers notice nothing if there are two or more.
          </ConfirmButton>
          <ConfirmButton
            text="Scale"
            title={`Scale ${service}`}
            act={post('scale', { count: wantedCount(count) })}
            onDone={onDone}
          >
            <InstanceCountInput value={count} onChange={setCount} />
          </ConfirmButton>
          <ConfirmButton
            text="Stop"
            title={`Stop ${service} everywhere`}
            isDangerous
            act={post('stop')}
            onDone={onDone}
          >
            Calls of it fail until it is started again.
          </ConfirmButton>
        </>
      )}
      <DeployButton service={service} status={status} />
      <RollBackButton status={status} />
    </>
  )
}

/** Starts, stops or restarts a service on one node. */
export function NodeServiceButtons({
  nodeId,
  service,
  isRunning,
}: {
  nodeId: string
  service: string
  isRunning: boolean
}) {
  const { session } = useLive()
  if (!hasRole(session.me, 'operator')) return null
  const control = (action: string) => () =>
    send('POST', '/api/dashboard/control-service', { worker_id: nodeId, service_name: service, action })
  return (
    <span className="buttons">
      {isRunning ? (
        <>
          <ConfirmButton text="Restart" title={`Restart ${service} on ${nodeId}`} act={control('restart')}>
            Calls to it on this node wait or go to another one meanwhile.
          </ConfirmButton>
          <ConfirmButton text="Stop" title={`Stop ${service} on ${nodeId}`} isDangerous act={control('stop')}>
            It stays stopped on this node, also after the node restarts, until somebody starts it.
          </ConfirmButton>
        </>
      ) : (
        <ConfirmButton text="Start" title={`Start ${service} on ${nodeId}`} act={control('start')}>
          It runs on this node again.
        </ConfirmButton>
      )}
    </span>
  )
}
