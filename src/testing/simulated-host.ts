import type { Clock, Timer } from '../base/time.ts'

/**
 * `running`; `stopped`: the process hangs (SIGSTOP), its kernel still takes connections; `killed`: the process is gone,
 * its kernel refuses connections; `silent`: the machine is gone and nothing answers.
 */
export type HostState = 'running' | 'stopped' | 'killed' | 'silent'

/** A machine with one process of P2P Core: its state and its clocks. */
export class SimulatedHost {
  readonly #world: Clock
  #state: HostState = 'killed'
  /** Which life of the process this is: what belongs to an earlier one never runs. */
  #life = 0
  #wallOffsetMs = 0
  #missedTimers: (() => void)[] = []
  #missedInputs: (() => void)[] = []

  constructor(world: Clock) {
    this.#world = world
  }

  get state(): HostState {
    return this.#state
  }

  get life(): number {
    return this.#life
  }

  /** A new process. */
  boot(): void {
    this.#life++
    this.#state = 'running'
    this.#missedTimers = []
    this.#missedInputs = []
  }

  die(state: 'killed' | 'silent'): void {
    this.#life++
    this.#state = state
    this.#missedTimers = []
    this.#missedInputs = []
  }

  stop(): void {
    if (this.#state === 'running') this.#state = 'stopped'
  }

  /** The process goes on; what came meanwhile comes now. Timers are first, as in Node's event loop: the harder case. */
  resume(): void {
    if (this.#state !== 'stopped') return
    this.#state = 'running'
    for (const fn of [...this.#missedTimers.splice(0), ...this.#missedInputs.splice(0)]) fn()
  }

  /** Somebody sets the clock. */
  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  /** Runs `fn` in the process of a given life: now, or when it goes on. */
  run(life: number, fn: () => void): void {
    this.#runOr(this.#missedInputs, life, fn)
  }

  /** The clock of the present process. */
  clock(): Clock {
    const life = this.#life
    const inProcess = (fn: () => void, state: { isCancelled: boolean }) => () =>
      this.#runOr(this.#missedTimers, life, () => {
        if (!state.isCancelled) fn()
      })
    const cancellable = (start: (state: { isCancelled: boolean }) => Timer): Timer => {
      const state = { isCancelled: false }
      const timer = start(state)
      return {
        cancel: () => {
          state.isCancelled = true
          timer.cancel()
        },
      }
    }
    return {
      nowMs: () => this.#world.nowMs(),
      wallMs: () => this.#world.wallMs() + this.#wallOffsetMs,
      after: (delayMs, fn) => cancellable((state) => this.#world.after(delayMs, inProcess(fn, state))),
      every: (periodMs, fn) => cancellable((state) => this.#world.every(periodMs, inProcess(fn, state))),
    }
  }

  #runOr(missed: (() => void)[], life: number, fn: () => void): void {
    if (life !== this.#life) return
    if (this.#state === 'stopped') missed.push(() => this.#runOr(missed, life, fn))
    else fn()
  }
}
