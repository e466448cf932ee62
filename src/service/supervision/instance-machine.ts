import { type EndCause, RestartCounter, type RestartRule } from './restart-counter.ts'

/** As in the facts that are told of an instance. */
export type MachineState = 'starting' | 'running' | 'stopping' | 'backoff' | 'failed' | 'stopped'

export interface InstanceTimes {
  /** To become ready. */
  startTimeoutMs: number
  /** For the calls that are under way when it is stopped. */
  drainTimeoutMs: number
  /** To end after it was asked to. */
  endTimeoutMs: number
}

export type InstanceEvent =
  | { type: 'start' }
  /** It takes calls. */
  | { type: 'ready' }
  /** Nothing of the run is left. `chance` in [0, 1). */
  | { type: 'ended'; cause: EndCause; reason: string; chance: number }
  /** It must be started anew: it is ill, or uses too much. `isDeaf`: asking it to end is no use. */
  | { type: 'unusable'; reason: string; isDeaf: boolean }
  | { type: 'stop' }
  /** No call is under way any more. */
  | { type: 'drained' }
  /** `wakeAtMs` has come. */
  | { type: 'tick' }

/** `drain`: give it no more calls and say when the last one has ended. `end`: ask it to end. `kill`: end it. */
export type InstanceAction = 'spawn' | 'drain' | 'end' | 'kill'

/**
 * The life of one instance: from its start, over ends and new starts, to its stop or until it is given up. It takes events
 * and the time, and says what is to be done; after each step it wants to be woken at `wakeAtMs`.
 */
export class InstanceMachine {
  readonly #times: InstanceTimes
  readonly #counter: RestartCounter
  #state: MachineState = 'stopped'
  #reason: string | undefined
  #restarts = 0
  #wakeAtMs: number | undefined
  /** Since it is ready; undefined before. */
  #readyMs: number | undefined
  /** Why the run that is being ended will have ended; undefined: it was stopped. */
  #fault: string | undefined
  #isDraining = false

  constructor(rule: RestartRule, times: InstanceTimes) {
    this.#times = times
    this.#counter = new RestartCounter(rule)
  }

  get state(): MachineState {
    return this.#state
  }

  /** Why it backs off or has failed, or how it ended last. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** Starts after it ended by itself. */
  get restarts(): number {
    return this.#restarts
  }

  /** When `tick` is wanted, on the clock of `nowMs`. */
  get wakeAtMs(): number | undefined {
    return this.#wakeAtMs
  }

  step(nowMs: number, event: InstanceEvent): InstanceAction[] {
    switch (event.type) {
      case 'start':
        return this.#start(nowMs)
      case 'ready':
        return this.#ready(nowMs)
      case 'ended':
        return this.#ended(nowMs, event)
      case 'unusable':
        return this.#unusable(nowMs, event)
      case 'stop':
        return this.#stop(nowMs)
      case 'drained':
        return this.#state === 'stopping' && this.#isDraining ? this.#end(nowMs) : []
      case 'tick':
        return this.#wakeAtMs !== undefined && nowMs >= this.#wakeAtMs ? this.#timeIsOver(nowMs) : []
    }
  }

  #start(nowMs: number): InstanceAction[] {
    if (this.#state !== 'stopped' && this.#state !== 'failed' && this.#state !== 'backoff') return []
    this.#counter.reset()
    return this.#spawn(nowMs)
  }

  #spawn(nowMs: number): InstanceAction[] {
    this.#become('starting', nowMs + this.#times.startTimeoutMs)
    this.#readyMs = undefined
    return ['spawn']
  }

  #ready(nowMs: number): InstanceAction[] {
    if (this.#state !== 'starting') return []
    this.#become('running', undefined)
    this.#readyMs = nowMs
    this.#reason = undefined
    return []
  }

  #ended(nowMs: number, end: { cause: EndCause; reason: string; chance: number }): InstanceAction[] {
    const wasAsked = this.#state === 'stopping' && this.#fault === undefined
    if (this.#state === 'stopped' || this.#state === 'failed' || this.#state === 'backoff') return []
    if (wasAsked) {
      this.#become('stopped', undefined)
      return []
    }
    const cause = this.#fault === undefined ? end.cause : 'fault'
    this.#reason = this.#fault ?? end.reason
    this.#fault = undefined
    const ranMs = this.#readyMs === undefined ? 0 : nowMs - this.#readyMs
    const verdict = this.#counter.ended(nowMs, { cause, ranMs, reason: this.#reason }, end.chance)
    switch (verdict.kind) {
      case 'again':
        this.#become('backoff', nowMs + verdict.delayMs)
        break
      case 'done':
        this.#become('stopped', undefined)
        break
      case 'give-up':
        this.#become('failed', undefined)
        this.#reason = verdict.reason
        break
    }
    return []
  }

  #unusable(nowMs: number, { reason, isDeaf }: { reason: string; isDeaf: boolean }): InstanceAction[] {
    if (this.#state !== 'running' && this.#state !== 'starting') return []
    this.#fault = reason
    this.#reason = reason
    return isDeaf ? this.#kill() : this.#end(nowMs)
  }

  #stop(nowMs: number): InstanceAction[] {
    switch (this.#state) {
      case 'running':
        this.#become('stopping', nowMs + this.#times.drainTimeoutMs)
        this.#isDraining = true
        return ['drain']
      case 'starting':
        return this.#end(nowMs)
      case 'backoff':
      case 'failed':
        this.#become('stopped', undefined)
        return []
      case 'stopping':
        // It is being ended because it was unusable; now it stays ended.
        this.#fault = undefined
        return []
      case 'stopped':
        return []
    }
  }

  #timeIsOver(nowMs: number): InstanceAction[] {
    switch (this.#state) {
      case 'backoff':
        this.#restarts++
        return this.#spawn(nowMs)
      case 'starting':
        this.#fault = `it was not ready within ${this.#times.startTimeoutMs} ms`
        this.#reason = this.#fault
        return this.#kill()
      case 'stopping':
        return this.#isDraining ? this.#end(nowMs) : this.#kill()
      case 'running':
      case 'failed':
      case 'stopped':
        return []
    }
  }

  #end(nowMs: number): InstanceAction[] {
    this.#isDraining = false
    this.#become('stopping', nowMs + this.#times.endTimeoutMs)
    return ['end']
  }

  #kill(): InstanceAction[] {
    this.#isDraining = false
    this.#become('stopping', undefined)
    return ['kill']
  }

  #become(state: MachineState, wakeAtMs: number | undefined): void {
    this.#state = state
    this.#wakeAtMs = wakeAtMs
  }
}
