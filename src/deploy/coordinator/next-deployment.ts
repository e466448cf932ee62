import { isDeepStrictEqual } from 'node:util'
import { DEPLOYMENT_DEFAULTS } from '../deployment-defaults.ts'
import type { ArtifactDigest, Deployment } from '../../base/deployment.ts'
import type { DeployRequest } from '../../base/deployment.ts'

export interface NextDeployment {
  request: DeployRequest
  /** What is deployed now; undefined for a new service. */
  base: Deployment | undefined
  generation: number
  artifact: ArtifactDigest
  version: string
  /** By the cluster's name of the secret. */
  secretVersions: Readonly<Record<string, number>>
  by: string
  atMs: number
}

/** The deployment a request makes of what is there: what it does not say stays, or gets its default for a new service. */
export function nextDeployment(next: NextDeployment): Deployment {
  const { request, base, generation, artifact, version, secretVersions, by, atMs } = next
  const job = request.job === undefined ? base?.job : request.job
  const present = base ?? DEPLOYMENT_DEFAULTS
  return withProcessGeneration(base, {
    service: request.service,
    generation,
    processGeneration: generation,
    artifact,
    version,
    count: request.count ?? present.count,
    placement: request.placement ?? present.placement,
    update: request.update ?? present.update,
    healthyMs: request.healthyMs ?? present.healthyMs,
    deadlineMs: request.deadlineMs ?? present.deadlineMs,
    config: request.config ?? present.config,
    secrets: request.secrets ?? present.secrets,
    secretVersions,
    granted: request.granted ?? present.granted,
    dependsOn: request.dependsOn ?? present.dependsOn,
    reserve: request.reserve ?? present.reserve,
    ...(job && { job }),
    isStopped: false,
    by,
    atMs,
    reason: request.reason ?? (base ? 'deployed' : 'deployed for the first time'),
  })
}

/** Processes are only started anew when what they are made of has changed. */
function withProcessGeneration(base: Deployment | undefined, next: Deployment): Deployment {
  const isSame =
    base !== undefined &&
    PROCESS_FIELDS.every((field) => isDeepStrictEqual(base[field] ?? undefined, next[field] ?? undefined))
  return isSame ? { ...next, processGeneration: base.processGeneration } : next
}

const PROCESS_FIELDS = ['artifact', 'config', 'secrets', 'secretVersions', 'granted', 'job'] as const
