import { type ControlStore, getJson, jsonValue, type Operation } from '../../base/control-store.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import type { SignedPlan } from '../signed-plan.ts'

/** The value of a secret as this node got it. */
export interface KeptSecret {
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
  readonly #secrets = new Map<string, KeptSecret>()
  readonly #artifacts = new Map<string, ArtifactDigest[]>()
  readonly #runs = new Map<string, JobRun>()

  constructor(store: ControlStore) {
    this.#store = store
  }

  async load(): Promise<void> {
    this.#plan = await getJson<SignedPlan>(this.#store, PLAN)
    for (const [name, secret] of await this.#entries<KeptSecret>(SECRETS)) this.#secrets.set(name, secret)
    for (const [name, digests] of await this.#entries<ArtifactDigest[]>(ARTIFACTS)) this.#artifacts.set(name, digests)
    for (const [name, run] of await this.#entries<JobRun>(RUNS)) this.#runs.set(name, run)
  }

  get plan(): SignedPlan | undefined {
    return this.#plan
  }

  /** @param secrets names that the plan still needs: others are forgotten with the same commit */
  async keepPlan(plan: SignedPlan, secrets: ReadonlySet<string>): Promise<void> {
    const gone = [...this.#secrets.keys()].filter((name) => !secrets.has(name)).slice(0, FORGOTTEN_MAX)
    await this.#commit(
      { type: 'put', key: PLAN, value: jsonValue(plan) },
      ...gone.map((name): Operation => ({ type: 'delete', key: keyOf(SECRETS, name) })),
    )
    this.#plan = plan
    for (const name of gone) this.#secrets.delete(name)
  }

  secret(name: string): KeptSecret | undefined {
    return this.#secrets.get(name)
  }

  async keepSecret(name: string, secret: KeptSecret): Promise<void> {
    await this.#commit({ type: 'put', key: keyOf(SECRETS, name), value: jsonValue(secret) })
    this.#secrets.set(name, secret)
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

/** A secret's name may have a `/`. */
function keyOf(prefix: string, name: string): string {
  return prefix + encodeURIComponent(name)
}
