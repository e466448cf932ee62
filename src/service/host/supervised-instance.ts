import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { Random } from '../../base/random.ts'
import type { Clock, Timer } from '../../base/time.ts'
import { formatBytes } from '../../base/bytes.ts'
import {
  HEARTBEAT_DEFAULT,
  type HealthCheck,
  PROCESSES_MAX,
  RESTART_DEFAULT,
  TCP_DEFAULT,
} from '../definition/manifest.ts'
import type { InstanceFacts, ServiceSpec } from '../definition/service-spec.ts'
import { type InstanceAction, type InstanceEvent, InstanceMachine } from '../supervision/instance-machine.ts'
import type { RestartRule } from '../supervision/restart-counter.ts'
import { HealthLoop } from './health-loop.ts'
import type { HealthProbe } from './health-probe.ts'
import type { Driver, RunFacts, RunOrder, RunUsage, ServiceRun } from './run.ts'

/** For a host to say that its service has not cleaned up in time, before it is killed. */
const END_MARGIN_MS = 1_000
/** Memory and processor time are looked at this often. */
const SAMPLE_MS = 5_000
const MIB = 1024 * 1024

export interface SupervisedNeeds {
  clock: Clock
  random: Random
  log: Logger
  driver: Driver
  /** How the run is asked for the check. */
  probe(check: HealthCheck, run: ServiceRun, order: RunOrder): HealthProbe
}

/** Whom an instance belongs to. */
export interface InstanceOwner {
  /** The instance's code says its name. @throws {RpcError} when it cannot have it */
  claim(name: string): void
  /** What `facts`, `isReady` and `runFacts` tell has changed. */
  changed(): void
}

/** One instance of a service, kept running: started again when it ends, ended when it is ill, until it is stopped. */
export class SupervisedInstance {
  readonly id: string
  readonly #needs: SupervisedNeeds
  #order: RunOrder
  readonly #owner: InstanceOwner
  readonly #machine: InstanceMachine
  #spec: ServiceSpec
  /** Times it was started again before its present generation. */
  #restartsBefore = 0
  #run: ServiceRun | undefined
  #runFacts: RunFacts | undefined
  #wake: Timer | undefined
  #loops: HealthLoop[] = []
  #sampling: Timer | undefined
  #usage: (RunUsage & { atMs: number; cpuPercent: number | undefined }) | undefined
  #reported: string | undefined
  #told: string | undefined
  #startedAtMs: number | undefined
  readonly #stateWaiters = new Set<() => void>()

  constructor(needs: SupervisedNeeds, order: RunOrder, owner: InstanceOwner) {
    this.id = order.id
    this.#needs = needs
    this.#order = order
    this.#owner = owner
    this.#spec = order.spec
    const { processStartMs, startTimeoutMs, stopTimeoutMs } = order
    this.#machine = new InstanceMachine(ruleOf(order.spec), {
      // The host has its own limits, for the module and again for `initialize`, which know what it was that took so long.
      startTimeoutMs: processStartMs + startTimeoutMs * 2,
      drainTimeoutMs: stopTimeoutMs,
      // Likewise for `cleanup`.
      endTimeoutMs: order.spec.kind === 'exec' ? stopTimeoutMs : stopTimeoutMs + END_MARGIN_MS,
    })
  }

  /** Takes calls. */
  get isReady(): boolean {
    return this.#machine.state === 'running'
  }

  get isHealthy(): boolean {
    return this.#failing() === undefined
  }

  /** What the present run said of itself; undefined before it was ready. */
  get runFacts(): RunFacts | undefined {
    return this.isReady ? this.#runFacts : undefined
  }

  get run(): ServiceRun | undefined {
    return this.#run
  }

  facts(): InstanceFacts {
    const { state, restarts, reason } = this.#machine
    const isAlive = state === 'starting' || state === 'running' || state === 'stopping'
    const failing = this.#failing()
    const { ports } = this.#run ?? {}
    return {
      id: this.id,
      state,
      version: this.#runFacts?.version || this.#spec.version,
      generation: this.#spec.generation,
      kind: this.#spec.kind,
      pid: isAlive ? this.#run?.pid : undefined,
      restarts: Math.max(0, restarts - this.#restartsBefore),
      health: failing === undefined ? 'healthy' : 'failing',
      reason: failing ?? this.#waitsBecause() ?? reason,
      startedAtMs: isAlive ? this.#startedAtMs : undefined,
      memoryBytes: isAlive ? this.#usage?.memoryBytes : undefined,
      cpuPercent: isAlive ? this.#usage?.cpuPercent : undefined,
      ...(isAlive && ports && Object.keys(ports).length > 0 && { ports }),
    }
  }

  /** The same content under another generation, or only with other settings. */
  relabel(spec: ServiceSpec): void {
    if (spec.generation !== this.#spec.generation) this.#restartsBefore = this.#machine.restarts
    this.#spec = spec
    this.#order = { ...this.#order, spec }
  }

  /**
   * Has these settings from now on, and at each start to come. What does not run has nothing to be told.
   * @throws {Error} why the service does not take them; it has those it had
   */
  async reconfigure(spec: ServiceSpec): Promise<void> {
    if (this.#machine.state === 'starting') await this.settled()
    if (this.isReady) await this.#run?.reconfigure({ config: spec.config, secrets: spec.secrets })
    this.relabel(spec)
  }

  start(): void {
    this.#step({ type: 'start' })
  }

  /** Lets running calls end, then ends it. Resolves when nothing of it is left. */
  async stop(): Promise<void> {
    this.#step({ type: 'stop' })
    await this.#until(() => this.#machine.state === 'stopped')
  }

  /**
   * Resolves when it takes calls.
   * @returns why it does not, when its start has failed; undefined when it does
   */
  async settled(signal?: AbortSignal): Promise<string | undefined> {
    await this.#until(() => this.#machine.state !== 'starting', signal)
    return this.isReady ? undefined : (this.#machine.reason ?? `it is ${this.#machine.state}`)
  }

  #until(isReached: () => boolean, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        if (!isReached()) return
        this.#stateWaiters.delete(look)
        signal?.removeEventListener('abort', giveUp)
        resolve()
      }
      const giveUp = (): void => {
        this.#stateWaiters.delete(look)
        reject(signal?.reason)
      }
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      signal?.addEventListener('abort', giveUp, { once: true })
      this.#stateWaiters.add(look)
      look()
    })
  }

  #step(event: InstanceEvent): void {
    const { clock } = this.#needs
    const before = this.#machine.state
    const actions = this.#machine.step(clock.nowMs(), event)
    const { state } = this.#machine
    if (before !== state) this.#entered(state)
    for (const action of actions) this.#perform(action)
    this.#wake?.cancel()
    const { wakeAtMs } = this.#machine
    this.#wake =
      wakeAtMs === undefined
        ? undefined
        : clock.after(Math.max(0, wakeAtMs - clock.nowMs()), () => this.#step({ type: 'tick' }))
    if (before === state) return
    for (const look of this.#stateWaiters) look()
    this.#owner.changed()
  }

  #perform(action: InstanceAction): void {
    const run = this.#run
    switch (action) {
      case 'spawn':
        this.#spawn()
        break
      case 'drain':
        run?.idle().then(
          () => this.#step({ type: 'drained' }),
          (error: unknown) => this.#needs.log.error('A service was not drained', { instance: this.id, error }),
        )
        break
      case 'end':
        run?.end()
        break
      case 'kill':
        run?.kill()
        break
    }
  }

  #spawn(): void {
    const { driver, clock, random } = this.#needs
    this.#reported = undefined
    this.#told = undefined
    this.#usage = undefined
    this.#runFacts = undefined
    this.#startedAtMs = clock.wallMs()
    const run = driver.start(this.#order, {
      loaded: (name) => this.#owner.claim(name),
      ready: (facts) => this.#begun(run, facts),
      health: (health, reason) => {
        this.#reported = health === 'failing' ? (reason ?? 'it says so itself') : undefined
        this.#owner.changed()
      },
      ended: ({ cause, reason }) => this.#step({ type: 'ended', cause, reason, chance: random.float() }),
    })
    this.#run = run
  }

  /** A program is ready when its check says so for the first time; code when it says so itself. */
  #begun(run: ServiceRun, facts: RunFacts): void {
    if (this.#machine.state !== 'starting') return
    this.#runFacts = facts
    const checks = checksOf(this.#spec)
    const isProgram = this.#spec.kind === 'exec'
    this.#loops = checks.map((check) => {
      const probe = this.#needs.probe(check, run, this.#order)
      const onAnswer = (loop: HealthLoop): void => this.#answered(check, loop)
      return new HealthLoop(this.#needs.clock, rhythmOf(check), { probe, isPatient: isProgram, onAnswer })
    })
    for (const loop of this.#loops) loop.start()
    if (!isProgram || checks.length === 0) this.#step({ type: 'ready' })
  }

  #answered(check: HealthCheck, loop: HealthLoop): void {
    if (this.#machine.state === 'starting' && loop.hasSucceeded) this.#step({ type: 'ready' })
    else if (loop.isHopeless) {
      const reason = `its health check (${check.kind}) failed: ${loop.reason}`
      this.#step({ type: 'unusable', reason, isDeaf: check.kind === 'heartbeat' })
    } else this.#tellHealth()
  }

  /** A check is asked often, and mostly says what it said before. */
  #tellHealth(): void {
    const told = this.#failing() ?? this.#waitsBecause()
    if (told === this.#told) return
    this.#told = told
    this.#owner.changed()
  }

  #entered(state: InstanceFacts['state']): void {
    const { log, clock } = this.#needs
    const { reason } = this.#machine
    const fields = { instance: this.id, reason }
    if (state === 'running') {
      this.#sampling = clock.every(SAMPLE_MS, () => void this.#sample())
      void this.#sample()
      return
    }
    for (const loop of this.#loops.splice(0)) loop.stop()
    this.#sampling?.cancel()
    if (state === 'backoff') log.warning('A service ended and is started again', fields)
    else if (state === 'failed') log.error('A service is not started again', fields)
    else if (state === 'stopping' && reason !== undefined) log.warning('A service is ended', fields)
  }

  /** Never rejects. */
  async #sample(): Promise<void> {
    const run = this.#run
    try {
      const usage = await run?.usage()
      if (!usage || this.#run !== run || !this.isReady) return
      const atMs = this.#needs.clock.nowMs()
      const last = this.#usage
      const cpuPercent = last && ((usage.cpuMs - last.cpuMs) / (atMs - last.atMs)) * 100
      this.#usage = { ...usage, atMs, cpuPercent }
      const { memoryMb, processes = PROCESSES_MAX } = this.#spec.manifest.limits ?? {}
      if (usage.processes !== undefined && usage.processes > processes) {
        const reason = `it has ${usage.processes} processes; limits.processes in manifest.json is ${processes}`
        this.#step({ type: 'unusable', reason, isDeaf: false })
        return
      }
      if (memoryMb === undefined || usage.memoryBytes <= memoryMb * MIB) return
      const reason = `it uses ${formatBytes(usage.memoryBytes)}; limits.memoryMb in manifest.json is ${memoryMb}`
      this.#step({ type: 'unusable', reason, isDeaf: false })
    } catch (error) {
      this.#needs.log.debug('What a service uses could not be read', { instance: this.id, reason: messageOf(error) })
    }
  }

  /** Of what starts and whose check has not passed yet. */
  #waitsBecause(): string | undefined {
    const reason = this.#loops.find(({ waitsBecause }) => waitsBecause !== undefined)?.waitsBecause
    return reason === undefined ? undefined : `its health check does not pass: ${reason}`
  }

  #failing(): string | undefined {
    return this.#reported ?? this.#loops.find(({ reason }) => reason !== undefined)?.reason
  }
}

function ruleOf({ manifest }: ServiceSpec): RestartRule {
  const { policy, backoffMs, backoffMsMax, attempts, windowMs, healthyMs } = manifest.restart ?? RESTART_DEFAULT
  return { policy, backoffMsMin: backoffMs, backoffMsMax, endsMax: attempts, windowMs, healthyMs }
}

/** The heartbeat of what has a link, and what the manifest says. */
function checksOf({ kind, manifest }: ServiceSpec): Exclude<HealthCheck, { kind: 'none' }>[] {
  const { health } = manifest
  const own = health && health.kind !== 'none' && health.kind !== 'heartbeat' ? [health] : []
  if (kind === 'process' || kind === 'thread') {
    return [health?.kind === 'heartbeat' ? health : HEARTBEAT_DEFAULT, ...own]
  }
  if (kind === 'exec' && health === undefined && Object.keys(manifest.ports ?? {}).length === 1) return [TCP_DEFAULT]
  return own
}

function rhythmOf(check: Exclude<HealthCheck, { kind: 'none' }>) {
  const { restartAfter = check.failures * 2 } = check
  return { ...check, restartAfter }
}
