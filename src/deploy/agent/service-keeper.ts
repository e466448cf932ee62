import { messageOf } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import {
  askedPermissions,
  type MethodCallers,
  type ServiceHost,
  type ServiceSpec,
  type ServiceState,
} from '../../service/index.ts'
import type { Assignment, AssignmentReport } from '../model.ts'
import type { ArtifactDigest, Deployment } from '../../base/deployment.ts'
import { effectivePermissions } from '../permissions.ts'
import type { AgentArtifacts } from './agent-artifacts.ts'
import type { JobRun } from './agent-state.ts'

/** A failed attempt is repeated after this, doubled each time. */
const RETRY_MS_MIN = 1_000
const RETRY_MS_MAX = 60_000

export interface KeeperNeeds {
  clock: Clock
  random: Random
  host: ServiceHost
  artifacts: AgentArtifacts
  /** Values of the deployment's secrets by the service's own names for them. @throws {P2PError} when one cannot be had */
  secretsOf(deployment: Deployment, signal: AbortSignal): Promise<Record<string, string>>
  /** The first service that must be up before and is not. */
  missingDependency(deployment: Deployment): string | undefined
  /** The artifact runs here from now on. */
  onInUse(service: string, digest: ArtifactDigest): Promise<void>
  /** The newest run of a job that was begun here; durable. */
  run(service: string): JobRun | undefined
  keepRun(service: string, run: JobRun): Promise<void>
  /** Who has called it here of late. */
  callers(service: string): MethodCallers | undefined
  /** What {@link ServiceKeeper.report} tells has changed. */
  onChange(): void
}

/**
 * Brings one service on this node to what the plan says, and tries again until it is so. A newer plan ends an attempt that
 * is still under way.
 */
export class ServiceKeeper {
  readonly service: string
  readonly #needs: KeeperNeeds
  #target: Assignment | undefined
  #isStale = false
  #hasStopped = false
  #attempt: AbortController | undefined
  #running: Promise<void> | undefined
  #retry: Timer | undefined
  #failures = 0
  #failure: string | undefined
  #waitsFor: string | undefined
  /** All that the target is made of is here. */
  #isFetched = false

  constructor(service: string, needs: KeeperNeeds) {
    this.service = service
    this.#needs = needs
  }

  /** Why the last attempt failed; it is repeated. */
  get failure(): string | undefined {
    return this.#failure
  }

  /** A service that must be up before this one is started, and is not. */
  get waitsFor(): string | undefined {
    return this.#waitsFor
  }

  /** Nothing is wanted and nothing is left. */
  get isDone(): boolean {
    return this.#target === undefined && !this.#running && !this.#retry
  }

  want(target: Assignment | undefined): void {
    const isSame = JSON.stringify(target) === JSON.stringify(this.#target)
    if (isSame && this.#failure === undefined) return
    if (!isSame) {
      this.#failure = undefined
      this.#waitsFor = undefined
      this.#isFetched = false
      this.#attempt?.abort(new Error('a newer plan has come'))
    }
    this.#target = target
    this.poke()
  }

  /** Something it may wait for has changed. */
  poke(): void {
    this.#failures = 0
    this.#go()
  }

  /** Gives up what is under way; what runs is left to the host. */
  async stop(): Promise<void> {
    this.#hasStopped = true
    this.#retry?.cancel()
    this.#attempt?.abort(new Error('the node is stopping'))
    await this.#running
  }

  /** Resolves when no attempt is under way. */
  async settled(): Promise<void> {
    await this.#running
  }

  /** The host's states have changed: a job may have ended. */
  hostChanged(): void {
    if (this.#target?.deployment.job && this.#needs.run(this.service)?.state === 'running') this.#go()
  }

  report(): AssignmentReport {
    const state = this.#onHost()
    const run = this.#needs.run(this.service)
    const callers = this.#needs.callers(this.service)
    return {
      service: this.service,
      generation: this.#target?.generation ?? state?.generation ?? 0,
      hasArtifact: this.#isFetched,
      instances: (state?.instances ?? []).map(({ id, generation, state: is, health, restarts, reason, ports }) => ({
        id,
        generation,
        state: is,
        health,
        restarts,
        ...(reason !== undefined && { reason }),
        ...(ports && { ports }),
      })),
      ...(run && { run }),
      ...(this.#failure !== undefined && { failure: this.#failure }),
      ...(this.#waitsFor !== undefined && { waitsFor: this.#waitsFor }),
      // One that is being taken away is stopped by the plan, not by a person.
      ...(state?.isStopped && this.#target && { isStoppedHere: true }),
      ...(callers && { callers }),
    }
  }

  #go(): void {
    if (this.#hasStopped) return
    this.#retry?.cancel()
    this.#retry = undefined
    this.#isStale = true
    this.#running ??= this.#run()
  }

  async #run(): Promise<void> {
    while (this.#isStale && !this.#hasStopped) {
      this.#isStale = false
      await this.#tryOnce()
    }
    this.#running = undefined
    this.#needs.onChange()
  }

  async #tryOnce(): Promise<void> {
    const attempt = new AbortController()
    this.#attempt = attempt
    try {
      await this.#converge(attempt.signal)
      if (attempt.signal.aborted) return
      this.#failure = undefined
      this.#failures = 0
    } catch (error) {
      if (!attempt.signal.aborted) this.#failed(error)
    } finally {
      this.#attempt = undefined
    }
  }

  async #converge(signal: AbortSignal): Promise<void> {
    const { host } = this.#needs
    const target = this.#target
    if (!target || target.deployment.isStopped || target.instances === 0) {
      this.#waitsFor = undefined
      if (this.#onHost()) await host.remove(this.service)
      return
    }
    if (target.deployment.job) await this.#convergeJob(target, signal)
    else await this.#deploy(target, signal)
  }

  async #deploy(target: Assignment, signal: AbortSignal): Promise<void> {
    const { host } = this.#needs
    const { deployment } = target
    // What runs already is not taken down because something it once waited for is away.
    this.#waitsFor = this.#onHost() ? undefined : this.#needs.missingDependency(deployment)
    if (this.#waitsFor !== undefined) return
    const spec = await this.#specOf(target, signal)
    await host.deploy(spec, { signal, readyTimeoutMs: deployment.deadlineMs })
    await this.#needs.onInUse(this.service, deployment.artifact)
  }

  /** A run is begun once, whatever becomes of it; what a run that ended with the node did is unknown, so it has failed. */
  async #convergeJob(target: Assignment, signal: AbortSignal): Promise<void> {
    const { host } = this.#needs
    const { run, deployment } = target
    const last = this.#needs.run(this.service)
    if (last?.state === 'running') {
      const end = this.#endOfRun()
      if (!end) return
      await this.#keepRun({ ...last, ...end })
    }
    if (!run || run.id === last?.id) return
    this.#waitsFor = this.#needs.missingDependency(deployment)
    if (this.#waitsFor !== undefined) return
    const spec = await this.#specOf(target, signal)
    if (this.#onHost()) await host.remove(this.service)
    await this.#keepRun({ id: run.id, state: 'running' })
    await this.#needs.onInUse(this.service, deployment.artifact)
    const once = { ...spec.manifest, restart: { ...spec.manifest.restart, policy: 'never' } } as ServiceSpec['manifest']
    try {
      await host.deploy({ ...spec, manifest: once }, { signal, readyTimeoutMs: deployment.deadlineMs })
    } catch (error) {
      // It may have ended, well or not, before it was ready to be asked.
      if (this.#endOfRun()?.state === 'succeeded') return
      await this.#keepRun({ id: run.id, state: 'failed', exit: messageOf(error) })
    }
  }

  async #keepRun(run: JobRun): Promise<void> {
    await this.#needs.keepRun(this.service, run)
  }

  /** @returns undefined while it goes on */
  #endOfRun(): Pick<JobRun, 'state' | 'exit'> | undefined {
    const { isStopped = false, instances = [] } = this.#onHost() ?? {}
    if (isStopped) return { state: 'failed', exit: 'a person stopped it on this node' }
    if (instances.length === 0) return { state: 'failed', exit: 'the node was restarted while it ran' }
    if (instances.some(({ state }) => state !== 'stopped' && state !== 'failed')) return undefined
    const failed = instances.find(({ state }) => state === 'failed')
    if (failed) return { state: 'failed', ...(failed.reason !== undefined && { exit: failed.reason }) }
    return { state: 'succeeded' }
  }

  async #specOf({ deployment, instances }: Assignment, signal: AbortSignal): Promise<ServiceSpec> {
    const secrets = await this.#needs.secretsOf(deployment, signal)
    const { folder, manifest, kind } = await this.#needs.artifacts.ensure(deployment.artifact, signal)
    signal.throwIfAborted()
    // What kept it from being fetched is over: told beside what was fetched, it would be taken for a fault of the version.
    if (!this.#isFetched) this.#failure = undefined
    this.#isFetched = true
    this.#needs.onChange()
    const { granted } = deployment
    return {
      name: this.service,
      version: deployment.version,
      folder,
      kind,
      instances,
      manifest,
      // Its own folder needs no grant.
      permissions: effectivePermissions(askedPermissions(manifest, folder), {
        ...granted,
        read: [folder, ...granted.read],
      }),
      config: { ...manifest.config, ...deployment.config },
      secrets,
      generation: deployment.processGeneration,
    }
  }

  #onHost(): ServiceState | undefined {
    return this.#needs.host.states().find(({ name, origin }) => name === this.service && origin === 'deployed')
  }

  #failed(error: unknown): void {
    this.#failure = messageOf(error)
    const pauseMs = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** Math.min(this.#failures++, 10))
    this.#retry = this.#needs.clock.after(pauseMs * (0.5 + this.#needs.random.float() / 2), () => this.#go())
  }
}
