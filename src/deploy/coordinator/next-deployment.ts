import { isDeepStrictEqual } from 'node:util'
import type { ArtifactDigest, Deployment } from '../model.ts'
import type { DeployRequest } from '../orchestrator.ts'

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

/** A new version that is not healthy for so long does not count as healthy; one that is not healthy after that has failed. */
const HEALTHY_MS = 5_000
const DEADLINE_MS = 30_000

const NOTHING_GRANTED = { net: false, childProcess: false, read: [], write: [] }

/** The deployment a request makes of what is there: what it does not say stays, or gets its default for a new service. */
export function nextDeployment(next: NextDeployment): Deployment {
  const { request, base, generation, artifact, version, secretVersions, by, atMs } = next
  const job = request.job ?? base?.job
  return withProcessGeneration(base, {
    service: request.service,
    generation,
    processGeneration: generation,
    artifact,
    version,
    count: request.count ?? base?.count ?? 1,
    placement: request.placement ?? base?.placement ?? { labels: {} },
    update: request.update ?? base?.update ?? { kind: 'rolling', batch: 1 },
    healthyMs: request.healthyMs ?? base?.healthyMs ?? HEALTHY_MS,
    deadlineMs: request.deadlineMs ?? base?.deadlineMs ?? DEADLINE_MS,
    config: request.config ?? base?.config ?? {},
    secrets: request.secrets ?? base?.secrets ?? {},
    secretVersions,
    granted: request.granted ?? base?.granted ?? NOTHING_GRANTED,
    dependsOn: request.dependsOn ?? base?.dependsOn ?? [],
    reserve: request.reserve ?? base?.reserve ?? { memoryMb: 0, cpus: 0 },
    ...(job && { job }),
    isStopped: false,
    by,
    atMs,
    reason: request.reason ?? (base ? 'deployed' : 'deployed for the first time'),
  })
}

/** Processes are only started anew when what they are made of has changed. */
export function withProcessGeneration(base: Deployment | undefined, next: Deployment): Deployment {
  const isSame =
    base !== undefined &&
    PROCESS_FIELDS.every((field) => isDeepStrictEqual(base[field] ?? undefined, next[field] ?? undefined))
  return isSame ? { ...next, processGeneration: base.processGeneration } : next
}

const PROCESS_FIELDS = ['artifact', 'config', 'secrets', 'secretVersions', 'granted', 'job'] as const
