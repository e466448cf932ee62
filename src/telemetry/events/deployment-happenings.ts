import type { HappenedEvent } from '../../base/timeline.ts'
import type { EventRecorder } from './event-store.ts'

/** What is asked of a coordinator's orchestrator; it fits by its structure. */
export interface DeploymentSource {
  list(): readonly DeployedService[]
  onChange(listener: () => void): () => void
}

export interface DeployedService {
  deployment: { service: string; version: string; by: string; reason: string; isStopped: boolean }
  rollout:
    | {
        generation: number
        fromVersion: string | undefined
        toVersion: string
        state: 'running' | 'succeeded' | 'rolled-back' | 'failed' | 'superseded'
        reason: string | undefined
        done: number
        wanted: number
      }
    | undefined
}

/** Tells what is new of a service's deployment: a rollout that begins or ends, a stop, a start. */
export function tellDeployment(recorder: EventRecorder, deployed: DeployedService, nowMs: number): void {
  const { deployment, rollout } = deployed
  const { service, by, isStopped } = deployment
  const about = { timeMs: nowMs, kind: 'deploy', service } as const
  if (rollout) {
    recorder.observe(`rollout/${service}`, `${rollout.generation} ${rollout.state}`, () => {
      const told = rolloutEvent(service, deployment, rollout)
      return told && { ...about, ...told }
    })
  }
  recorder.observe(`stopped/${service}`, String(isStopped), (previous) => {
    if (isStopped) return { ...about, severity: 'info', title: `${person(by)} stopped ${service}` }
    return previous === undefined
      ? undefined
      : { ...about, severity: 'info', title: `${person(by)} started ${service}` }
  })
}

function rolloutEvent(
  service: string,
  { by, reason: why }: DeployedService['deployment'],
  { state, fromVersion, toVersion, reason, done, wanted, generation }: NonNullable<DeployedService['rollout']>,
): Pick<HappenedEvent, 'severity' | 'title' | 'detail'> | undefined {
  const isSameVersion = fromVersion === toVersion
  switch (state) {
    case 'running': {
      const what = isSameVersion ? `changed ${service} ${toVersion}` : `deployed ${service} ${toVersion}`
      const from = fromVersion === undefined || isSameVersion ? '' : `${fromVersion} ran before. `
      return {
        severity: 'info',
        title: `${person(by)} ${what}`,
        detail: `${from}Generation ${generation}${why && `: ${why}`}`,
      }
    }
    case 'succeeded':
      return {
        severity: 'info',
        title: `${service} ${toVersion} is deployed`,
        detail: `${done} of ${wanted} run and are healthy.`,
      }
    case 'rolled-back':
      return {
        severity: 'error',
        title: `${service} ${toVersion} was taken back${fromVersion === undefined ? '' : ` to ${fromVersion}`}`,
        detail: reason,
      }
    case 'failed':
      return { severity: 'error', title: `The deployment of ${service} ${toVersion} failed`, detail: reason }
    case 'superseded':
      return undefined
  }
}

/** `person:ada` as people say it. */
export function person(label: string): string {
  const name = label.replace(/^(?:person|node):/, '')
  return name === '' || name === 'anonymous' ? 'Somebody' : name
}
