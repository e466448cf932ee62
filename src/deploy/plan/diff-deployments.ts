import { DEPLOYMENT_DEFAULTS } from '../deployment-defaults.ts'
import type { Deployment, JobRule, UpdateStrategy } from '../../base/deployment.ts'
import type { DeployPlan } from '../../base/deployment.ts'

export type Change = DeployPlan['changes'][number]

/** Characters of a value that are shown. */
const TEXT_MAX = 80
/** Also of a new service, whatever they are. */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(['version', 'artifact', 'count', 'job'])
/** A configuration is told apart value by value down to this depth. */
const DEPTH_MAX = 6

/**
 * What changes from one deployment of a service to the next, field by field, as short text in a fixed order. Secrets are shown by
 * name; their values are not in a deployment. What is different every time (generation, who, when) is left out; of a new
 * service also what it gets anyway.
 */
export function diffDeployments(before: Deployment | undefined, after: Deployment): Change[] {
  const [from, to] = [before ? fieldsOf(before) : new Map<string, string>(), fieldsOf(after)]
  if (!before) {
    for (const [path, text] of fieldsOf({ ...after, ...DEPLOYMENT_DEFAULTS })) {
      if (!ALWAYS_SHOWN.has(path) && to.get(path) === text) to.delete(path)
    }
  }
  const paths = new Set([...to.keys(), ...from.keys()])
  return [...paths]
    .filter((path) => from.get(path) !== to.get(path))
    .map((path) => ({ path, from: short(from.get(path)), to: short(to.get(path)) }))
}

function fieldsOf(deployment: Deployment): Map<string, string> {
  const { version, artifact, count, placement, reserve, job, granted, isStopped } = deployment
  const fields = new Map<string, string>([
    ['version', version],
    ['artifact', artifact.slice(0, 12)],
    ['state', isStopped ? 'stopped' : 'running'],
    ['count', String(count)],
  ])
  const add = (path: string, value: unknown): void => {
    if (value !== undefined) fields.set(path, typeof value === 'string' ? value : JSON.stringify(value))
  }
  for (const [name, value] of sorted(placement.labels)) add(`placement.labels.${name}`, value)
  add('placement.spreadBy', placement.spreadBy)
  add('placement.perNodeMax', placement.perNodeMax)
  add('update', updateText(deployment.update))
  add('healthyFor', seconds(deployment.healthyMs))
  add('deadline', seconds(deployment.deadlineMs))
  add('reserve.memoryMb', reserve.memoryMb)
  add('reserve.cpus', reserve.cpus)
  if (job) add('job', jobText(job))
  for (const { service, healthy } of deployment.dependsOn) add(`dependsOn.${service}`, healthy ? 'healthy' : 'running')
  for (const [name, secret] of sorted(deployment.secrets))
    add(`secrets.${name}`, secretText(deployment, String(secret)))
  for (const [name, value] of sorted(granted)) add(`granted.${name}`, value)
  addDeep('config', deployment.config, 0)
  return fields

  function addDeep(path: string, value: unknown, depth: number): void {
    if (typeof value !== 'object' || value === null || Array.isArray(value) || depth >= DEPTH_MAX) {
      add(path, value)
      return
    }
    for (const [name, inner] of sorted(value)) addDeep(`${path}.${name}`, inner, depth + 1)
  }
}

function secretText({ secretVersions }: Deployment, secret: string): string {
  const version = secretVersions?.[secret]
  if (version === 0) return `secret ${secret}, not set`
  return version === undefined ? `secret ${secret}` : `secret ${secret}, value ${version}`
}

function updateText(update: UpdateStrategy): string {
  switch (update.kind) {
    case 'rolling':
      return `rolling, ${update.batch} at a time`
    case 'canary':
      return `canary on ${update.nodes}, watched for ${seconds(update.watchMs)}, then ${update.batch} at a time`
    case 'all-at-once':
      return 'all at once'
  }
}

function seconds(ms: number): string {
  return `${ms / 1_000} s`
}

function jobText(job: JobRule): string {
  const retries = `${job.retries} ${job.retries === 1 ? 'retry' : 'retries'}`
  return job.kind === 'once' ? `once, ${retries}` : `${job.schedule} (${job.timeZone}), ${retries}`
}

function sorted(values: object): [name: string, value: unknown][] {
  return Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1))
}

function short(value: string | undefined): string | undefined {
  return value !== undefined && value.length > TEXT_MAX ? `${value.slice(0, TEXT_MAX - 1)}…` : value
}
