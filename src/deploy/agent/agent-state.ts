import { type ControlStore, getJson, jsonValue, type Operation } from '../../base/control-store.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { SignedPlan } from '../signed-plan.ts'

/** One version of a secret: services on one node may have different ones, while one is being updated or was rolled back. */
export interface SecretVersion {
  name: string
  version: number
}

/** As it is in the vault. */
interface KeptSecret {
  version: number
  value: string
}

/** The newest run of a job that was begun on this node. `exit`: how it ended, for people. */
export interface JobRun {
  id: string
  state: 'running' | 'succeeded' | 'failed'
  exit?: string
}

const PLAN = 'agent/plan'
const SECRETS = 'agent/secrets/'
const ARTIFACTS = 'agent/artifacts/'
const RUNS = 'agent/run/'
/** Of one commit; the rest is forgotten with the next plan. */
const FORGOTTEN_MAX = 100

/**
 * What a node must know to go on alone, in its own encrypted vault: its plan, the secrets it needs, and which artifacts a
 * service used last. All in memory too; a change is durable when its promise resolves.
 */
export class AgentState {
  readonly #store: ControlStore
  #plan: SignedPlan | undefined
  /** By name and version; `key`: where the vault has it. */
  readonly #secrets = new Map<string, { key: string; value: string }>()
  readonly #artifacts = new Map<string, ArtifactDigest[]>()
  readonly #runs = new Map<string, JobRun>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    this.#plan = await getJson<SignedPlan>(this.#store, PLAN)
    for (const [id, { version, value }] of await this.#entries<KeptSecret>(SECRETS)) {
      // Earlier versions of this program kept one value of each, by its name alone.
      const [name = ''] = id.split('@')
      this.#secrets.set(idOf({ name, version }), { key: keyOf(SECRETS, id), value })
    }
    for (const [name, digests] of await this.#entries<ArtifactDigest[]>(ARTIFACTS)) this.#artifacts.set(name, digests)
    for (const [name, run] of await this.#entries<JobRun>(RUNS)) this.#runs.set(name, run)
  }

  get plan(): SignedPlan | undefined {
    return this.#plan
  }

  /** @param secrets that the plan still needs: others are forgotten with the same commit */
  async keepPlan(plan: SignedPlan, secrets: readonly SecretVersion[]): Promise<void> {
    const needed = new Set(secrets.map(idOf))
    const gone = [...this.#secrets].filter(([id]) => !needed.has(id)).slice(0, FORGOTTEN_MAX)
    await this.#commit(
      { type: 'put', key: PLAN, value: jsonValue(plan) },
      ...gone.map(([, { key }]): Operation => ({ type: 'delete', key })),
    )
    this.#plan = plan
    for (const [id] of gone) this.#secrets.delete(id)
  }

  secret(wanted: SecretVersion): string | undefined {
    return this.#secrets.get(idOf(wanted))?.value
  }

  async keepSecret(secret: SecretVersion, value: string): Promise<void> {
    const id = idOf(secret)
    const key = keyOf(SECRETS, id)
    const kept: KeptSecret = { version: secret.version, value }
    await this.#commit({ type: 'put', key, value: jsonValue(kept) })
    this.#secrets.set(id, { key, value })
  }

  /** The artifact each service uses, and the one it used before: what it may go back to. */
  artifacts(): ReadonlyMap<string, readonly ArtifactDigest[]> {
    return this.#artifacts
  }

  /** @returns whether that changed anything */
  async setArtifact(service: string, digest: ArtifactDigest): Promise<boolean> {
    const present = this.#artifacts.get(service) ?? []
    if (present[0] === digest) return false
    const digests = [digest, ...present.filter((other) => other !== digest)].slice(0, 2)
    await this.#commit({ type: 'put', key: keyOf(ARTIFACTS, service), value: jsonValue(digests) })
    this.#artifacts.set(service, digests)
    return true
  }

  run(service: string): JobRun | undefined {
    return this.#runs.get(service)
  }

  async keepRun(service: string, run: JobRun): Promise<void> {
    await this.#commit({ type: 'put', key: keyOf(RUNS, service), value: jsonValue(run) })
    this.#runs.set(service, run)
  }

  /** The service is nothing to this node any more. */
  async forget(service: string): Promise<void> {
    await this.#commit(
      { type: 'delete', key: keyOf(ARTIFACTS, service) },
      { type: 'delete', key: keyOf(RUNS, service) },
    )
    this.#artifacts.delete(service)
    this.#runs.delete(service)
  }

  async #entries<T>(prefix: string): Promise<[name: string, value: T][]> {
    const entries = await this.#store.range(prefix)
    return entries.map(({ key, value }) => [
      decodeURIComponent(key.slice(prefix.length)),
      JSON.parse(new TextDecoder().decode(value)) as T,
    ])
  }

  async #commit(...operations: Operation[]): Promise<void> {
    await this.#store.transact({ operations })
  }
}

/** A secret's name has no `@`. */
function idOf({ name, version }: SecretVersion): string {
  return `${name}@${version}`
}

/** A secret's name may have a `/`. */
function keyOf(prefix: string, name: string): string {
  return prefix + encodeURIComponent(name)
}
