import { Button, Checkbox, NativeSelect, TextInput } from '@mantine/core'
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { get, messageOf, send } from '../api/http.ts'
import type { Artifact, DeploymentHistoryEntry, DeploymentStatus, DeployPlan } from '../api/types.ts'
import { Dialog } from './confirm-button.tsx'
import { Refusal } from './empty.tsx'
import { counted, dateTime } from './format.ts'
import { type InstanceCount, InstanceCountInput, instanceCountOf, wantedCount } from './instance-count.tsx'
import { visible } from './visible-text.ts'

/** The bundles the cluster keeps, newest first. */
export function useArtifacts() {
  return useQuery({
    queryKey: ['artifacts'],
    queryFn: async ({ signal }) => (await get<{ artifacts: Artifact[] }>('/api/artifacts', signal)).artifacts,
  })
}

/** Deploys a version that the cluster keeps: which, how many, what that changes, then the act. */
export function DeployButton({ service, status }: { service: string; status?: DeploymentStatus | undefined }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <Button size="compact-sm" variant="default" onClick={() => setOpen(true)}>
        Deploy
      </Button>
      <Dialog title={`Deploy ${visible(service)}`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <DeployForm service={service} status={status} onClose={() => setOpen(false)} />
      </Dialog>
    </>
  )
}

function DeployForm(props: { service: string; status: DeploymentStatus | undefined; onClose: () => void }) {
  const { service, status, onClose } = props
  const queries = useQueryClient()
  const artifacts = useArtifacts()
  const kept = (artifacts.data ?? []).filter((artifact) => artifact.service === service)
  const [chosen, setChosen] = useState<string>()
  const [count, setCount] = useState<InstanceCount>(status ? instanceCountOf(status.deployment) : 1)
  const [reason, setReason] = useState('')
  const [isForced, setForced] = useState(false)
  const digest = chosen ?? kept[0]?.digest
  const path = `/api/deployments/${encodeURIComponent(service)}`
  const wanted = { artifact: digest, count: wantedCount(count), ...(isForced && { force: true }) }
  const plan = useQuery({
    queryKey: ['plan', service, wanted],
    queryFn: () => send<DeployPlan>('POST', `${path}/plan`, wanted),
    enabled: digest !== undefined,
    placeholderData: (before) => before,
    staleTime: 0,
  })
  const deploying = useMutation({
    mutationFn: () => send('PUT', path, { ...wanted, ...(reason.trim() !== '' && { reason: reason.trim() }) }),
    onSuccess: () => {
      void queries.invalidateQueries()
      onClose()
    },
  })
  if (artifacts.isPending) return <p className="muted">Asking…</p>
  if (kept.length === 0) {
    return (
      <p className="muted">
        {artifacts.error ? messageOf(artifacts.error) : 'The cluster keeps no bundle of it. '}
        Bring one from the folder of the service: <code>p2p deploy ./{visible(service)}</code>
      </p>
    )
  }
  const refusals = plan.data?.refusals ?? []
  const canForce = plan.data !== undefined && (plan.data.incompatible.length > 0 || refusals.length > 0 || isForced)
  return (
    <form
      className="form"
      onSubmit={(event) => {
        event.preventDefault()
        deploying.mutate()
      }}
    >
      <NativeSelect
        label="Version"
        value={digest}
        onChange={(event) => setChosen(event.currentTarget.value)}
        data={kept.map((artifact) => ({
          value: artifact.digest,
          label: `${artifact.version}, brought ${dateTime(artifact.stored_at_ms).slice(0, 16)}${
            artifact.digest === status?.deployment.artifact ? ' (deployed now)' : ''
          }`,
        }))}
      />
      <InstanceCountInput value={count} onChange={setCount} />
      <TextInput
        label="Why, for the history"
        value={reason}
        maxLength={500}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      <div className="note" aria-live="polite">
        <PlanText plan={plan.data} error={plan.error} />
      </div>
      {canForce && (
        <Checkbox
          label="Although a caller would break, or it goes back to an older version"
          checked={isForced}
          onChange={(event) => setForced(event.currentTarget.checked)}
        />
      )}
      {deploying.error && <Refusal>{messageOf(deploying.error)}</Refusal>}
      <div className="form-row">
        <Button type="submit" loading={deploying.isPending} disabled={!plan.data || refusals.length > 0}>
          Deploy
        </Button>
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
      </div>
    </form>
  )
}

/** What would change, before it does. */
function PlanText({ plan, error }: { plan: DeployPlan | undefined; error: unknown }) {
  if (error) return <span className="bad">{messageOf(error)}</span>
  if (!plan) return <span className="muted">Seeing what that would change…</span>
  const { from_version: from, to_version: to, changes, nodes, incompatible, refusals, warnings } = plan
  const touched = nodes.filter((node) => node.from !== node.to || node.replaces)
  return (
    <>
      <p>
        {from === undefined
          ? `${visible(to)}, for the first time`
          : from === to
            ? visible(to)
            : `${visible(from)} → ${visible(to)}`}
        {touched.length > 0
          ? `, on ${counted(touched.length, 'node')}: ${touched.map(nodeChange).join(', ')}`
          : changes.length === 0 && ': nothing would change'}
      </p>
      {refusals.map(({ code, message }) => (
        <p key={code} className="bad wrap">
          {visible(message)}
        </p>
      ))}
      {incompatible.map(({ method, what, callers }) => (
        <p key={`${method} ${what}`} className="warn wrap">
          {visible(method)}: {visible(what)} ({visible(callers.join(', '))})
        </p>
      ))}
      {warnings.map((warning) => (
        <p key={warning} className="warn wrap">
          {visible(warning)}
        </p>
      ))}
    </>
  )
}

function nodeChange({ node_id: node, from, to, replaces }: DeployPlan['nodes'][number]): string {
  const name = visible(node)
  if (from === to) return replaces ? `${name} new` : name
  return from === 0 ? `${name} +${to}` : `${name} ${from} → ${to}`
}

/** Takes a service back to a generation that ran. */
export function RollBackButton({ status: { deployment } }: { status: DeploymentStatus }) {
  const [isOpen, setOpen] = useState(false)
  return (
    <>
      <Button size="compact-sm" variant="default" disabled={deployment.generation < 2} onClick={() => setOpen(true)}>
        Roll back
      </Button>
      <Dialog title={`Roll back ${visible(deployment.service)}`} isOpen={isOpen} onClose={() => setOpen(false)}>
        <RollBackForm service={deployment.service} present={deployment.generation} onClose={() => setOpen(false)} />
      </Dialog>
    </>
  )
}

function RollBackForm({ service, present, onClose }: { service: string; present: number; onClose: () => void }) {
  const queries = useQueryClient()
  const [chosen, setChosen] = useState('')
  const history = useHistory(service)
  const earlier = (history.data ?? []).filter(({ deployment }) => deployment.generation < present)
  const rolling = useMutation({
    mutationFn: () =>
      send('POST', `/api/deployments/${encodeURIComponent(service)}/rollback`, {
        ...(chosen !== '' && { generation: Number(chosen) }),
      }),
    onSuccess: () => {
      void queries.invalidateQueries()
      onClose()
    },
  })
  return (
    <div className="form">
      <NativeSelect
        label="To"
        value={chosen}
        onChange={(event) => setChosen(event.currentTarget.value)}
        data={[
          { value: '', label: 'The last one that succeeded' },
          ...earlier.map(({ deployment, state }) => ({
            value: String(deployment.generation),
            label: `${deployment.generation}: ${deployment.version}, ${dateTime(deployment.at_ms).slice(0, 16)}, ${state}`,
          })),
        ]}
      />
      <p className="muted">
        Version, settings and number of instances become what they were then, as a new generation.
      </p>
      {rolling.error && <Refusal>{messageOf(rolling.error)}</Refusal>}
      <div className="form-row">
        <Button loading={rolling.isPending} onClick={() => rolling.mutate()}>
          Roll back
        </Button>
        <Button variant="default" onClick={onClose}>
          Cancel
        </Button>
      </div>
    </div>
  )
}

/** Every generation of a service, newest first. */
export function useHistory(service: string) {
  return useQuery({
    queryKey: ['deployment', service, 'history'],
    queryFn: async ({ signal }) => {
      const path = `/api/deployments/${encodeURIComponent(service)}/history`
      return (await get<{ history: DeploymentHistoryEntry[] }>(path, signal)).history
    },
  })
}
