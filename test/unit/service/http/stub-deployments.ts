import { createHash } from 'node:crypto'
import { DeployError } from '../../../../src/base/errors.ts'
import type { ArtifactUploads, StoredArtifact, UploadStatus } from '../../../../src/base/artifact-uploads.ts'
import type { Deployment, DeployPlan, RolloutStatus, ServiceStatus } from '../../../../src/base/deployment.ts'
import type { DrainState, Orchestrator } from '../../../../src/base/orchestrator.ts'
import type { SecretFacts, Secrets } from '../../../../src/base/secrets.ts'

export const DIGEST = 'a1'.repeat(32)

export const DEPLOYMENT: Deployment = {
  service: 'shop',
  generation: 3,
  processGeneration: 3,
  artifact: DIGEST,
  version: '1.3.0',
  count: 2,
  placement: { labels: { rack_name: 'a' }, spreadBy: 'rack', perNodeMax: 1 },
  update: { kind: 'canary', nodes: 1, watchMs: 60_000, batch: 2 },
  healthyMs: 5_000,
  deadlineMs: 30_000,
  config: { pageSize: 10, deep_key: { innerKey: 1 } },
  secrets: { dbPassword: 'shop/db' },
  granted: { net: true, childProcess: false, read: ['/srv'], write: [] },
  dependsOn: [{ service: 'stock', healthy: true }],
  reserve: { memoryMb: 64, cpus: 0.5 },
  job: { kind: 'cron', schedule: '0 3 * * *', timeZone: 'Europe/Berlin', retries: 1 },
  isStopped: false,
  by: 'person:admin',
  atMs: 1_000,
  reason: 'first',
}

export const ROLLOUT: RolloutStatus = {
  service: 'shop',
  generation: 3,
  fromVersion: '1.2.0',
  toVersion: '1.3.0',
  state: 'running',
  reason: undefined,
  done: 1,
  wanted: 2,
  nodes: [
    { nodeId: 'worker-1', state: 'done' },
    { nodeId: 'worker-2', state: 'failed', reason: 'no disk' },
  ],
  startedAtMs: 1_000,
  endedAtMs: undefined,
}

export const PLAN: DeployPlan = {
  service: 'shop',
  fromVersion: '1.2.0',
  toVersion: '1.3.0',
  changes: [
    { path: 'version', from: '1.2.0', to: '1.3.0' },
    { path: 'config.page', from: undefined, to: '10' },
  ],
  nodes: [{ nodeId: 'worker-1', from: 1, to: 1, replaces: true }],
  incompatible: [{ method: 'shop/buy', what: 'vanishes', callers: ['cart'] }],
  refusals: [],
  warnings: ['it has one instance only'],
}

const STATUS: ServiceStatus = {
  deployment: DEPLOYMENT,
  healthy: 1,
  running: 2,
  wanted: 2,
  instances: [
    {
      nodeId: 'worker-1',
      id: 'shop#1',
      version: '1.3.0',
      generation: 3,
      state: 'running',
      health: 'healthy',
      restarts: 0,
    },
  ],
  rollout: ROLLOUT,
  problems: ['worker-2 has no room'],
  job: { nextRunMs: 5_000, runs: [{ atMs: 1, nodeId: 'worker-1', state: 'failed', exit: '1' }] },
}

/** Knows one service, shop; writes down what it was told to do. */
export class StubDeployments implements Orchestrator {
  readonly done: unknown[] = []
  readonly listeners = new Set<() => void>()
  readonly drained = new Map<string, DrainState>()
  status: ServiceStatus = STATUS
  /** What `follow` gives, one after the other; then it ends. */
  readonly followed: RolloutStatus[] = []
  /** Holds back what follows until it resolves. */
  more: Promise<void> = Promise.resolve()

  list(): ServiceStatus[] {
    return [this.status]
  }

  get(service: string): ServiceStatus {
    if (service === 'shop') return this.status
    throw new DeployError('P2P_DEPLOY_UNKNOWN_SERVICE', `No service ${service} was deployed`)
  }

  async plan(request: object): Promise<DeployPlan> {
    this.done.push(['plan', request])
    return PLAN
  }

  async deploy(request: object, by: string): Promise<RolloutStatus> {
    this.done.push(['deploy', request, by])
    return ROLLOUT
  }

  async scale(...all: unknown[]): Promise<RolloutStatus> {
    this.done.push(['scale', ...all])
    return ROLLOUT
  }

  async rollback(...all: unknown[]): Promise<RolloutStatus> {
    this.done.push(['rollback', ...all])
    return ROLLOUT
  }

  async start(...all: unknown[]): Promise<RolloutStatus> {
    this.done.push(['start', ...all])
    return ROLLOUT
  }

  async stop(...all: unknown[]): Promise<void> {
    this.done.push(['stop', ...all])
  }

  async restart(...all: unknown[]): Promise<RolloutStatus> {
    this.done.push(['restart', ...all])
    return ROLLOUT
  }

  async remove(...all: unknown[]): Promise<void> {
    this.done.push(['remove', ...all])
  }

  async drain(...all: unknown[]): Promise<void> {
    this.done.push(['drain', ...all])
  }

  async undrain(...all: unknown[]): Promise<void> {
    this.done.push(['undrain', ...all])
  }

  drains(): ReadonlyMap<string, DrainState> {
    return new Map(this.drained)
  }

  async history() {
    return [{ deployment: DEPLOYMENT, state: 'succeeded' as const, reason: undefined, endedAtMs: 2_000 }]
  }

  async *follow(_service: string, signal: AbortSignal): AsyncGenerator<RolloutStatus> {
    for (const status of this.followed) yield status
    const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.more, aborted])
  }

  onChange(listener: () => void): () => void {
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  change(): void {
    for (const listener of this.listeners) listener()
  }
}

const STORED: StoredArtifact = { digest: DIGEST, sizeBytes: 10, service: 'shop', version: '1.3.0', storedAtMs: 1 }

/** Keeps uploads in memory; the stored bundle of {@link DIGEST} is there from the start. */
export class StubUploads implements ArtifactUploads {
  readonly #parts = new Map<string, { sizeBytes: number; bytes: Buffer; artifact?: StoredArtifact }>()

  constructor() {
    this.#parts.set(DIGEST, { sizeBytes: 10, bytes: Buffer.alloc(10), artifact: STORED })
  }

  async list(): Promise<StoredArtifact[]> {
    return [STORED]
  }

  async status(digest: string): Promise<UploadStatus | undefined> {
    const part = this.#parts.get(digest)
    return part && { digest, sizeBytes: part.sizeBytes, offset: part.bytes.length, ...pickArtifact(part) }
  }

  async begin({ digest, sizeBytes }: { digest: string; sizeBytes: number }): Promise<UploadStatus> {
    if (!this.#parts.has(digest)) this.#parts.set(digest, { sizeBytes, bytes: Buffer.alloc(0) })
    return (await this.status(digest)) as UploadStatus
  }

  async append(digest: string, offset: number, source: AsyncIterable<Uint8Array>): Promise<UploadStatus> {
    const part = this.#parts.get(digest)
    if (!part) throw new DeployError('P2P_ARTIFACT_UNKNOWN', 'No such upload')
    if (offset !== part.bytes.length) {
      throw new DeployError('P2P_ARTIFACT_OFFSET_MISMATCH', `The upload is at ${part.bytes.length}, not ${offset}`, {
        offset: part.bytes.length,
      })
    }
    for await (const chunk of source) {
      if (part.bytes.length + chunk.length > part.sizeBytes) {
        throw new DeployError('P2P_ARTIFACT_TOO_LARGE', `More than the announced ${part.sizeBytes} bytes`)
      }
      part.bytes = Buffer.concat([part.bytes, chunk])
    }
    return (await this.status(digest)) as UploadStatus
  }

  async commit(digest: string): Promise<UploadStatus> {
    const part = this.#parts.get(digest)
    if (!part) throw new DeployError('P2P_ARTIFACT_UNKNOWN', 'No such upload')
    if (createHash('sha256').update(part.bytes).digest('hex') !== digest) {
      this.#parts.delete(digest)
      throw new DeployError('P2P_ARTIFACT_DIGEST_MISMATCH', 'The bytes have another digest')
    }
    part.artifact = { ...STORED, digest, sizeBytes: part.sizeBytes }
    return (await this.status(digest)) as UploadStatus
  }
}

function pickArtifact(part: { artifact?: StoredArtifact }): { artifact?: StoredArtifact } {
  return part.artifact ? { artifact: part.artifact } : {}
}

export class StubSecrets implements Secrets {
  readonly values = new Map<string, string>([['shop/db', 'hunter2']])

  list(): SecretFacts[] {
    return [...this.values.keys()].map((name) => this.#facts(name, 'person:admin'))
  }

  async set(name: string, value: string, by: string): Promise<SecretFacts> {
    this.values.set(name, value)
    return this.#facts(name, by)
  }

  async delete(name: string): Promise<void> {
    if (!this.values.delete(name)) throw new DeployError('P2P_DEPLOY_SECRET_UNKNOWN', `There is no secret ${name}`)
  }

  #facts(name: string, by: string): SecretFacts {
    return { name, version: 1, updatedAtMs: 1, by, usedBy: ['shop'] }
  }
}
