import type { Component } from '../base/component.ts'

/**
 * Components started one after the other, stopped in reverse. When a start fails everything started before it is stopped,
 * so nothing stays open behind an error.
 */
export class ComponentStack {
  readonly #signal: AbortSignal
  readonly #started: Component[] = []
  #stopping: Promise<void> | undefined

  /** @param signal aborts a start under way, and refuses the next */
  constructor(signal: AbortSignal) {
    this.#signal = signal
  }

  /** Starts the component and puts it on the stack. @returns the component */
  async start<T extends Component>(component: T): Promise<T> {
    try {
      this.#signal.throwIfAborted()
      await component.start(this.#signal)
      this.#started.push(component)
      this.#signal.throwIfAborted()
      return component
    } catch (error) {
      // The failure that began it is what the caller must see, not what broke while clearing up.
      await this.stop().catch(() => {})
      throw error
    }
  }

  /**
   * Stops all, each after the one above it. A failure does not keep the others from stopping. Idempotent.
   * @throws {AggregateError} all failures together
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopAll()
    return this.#stopping
  }

  async #stopAll(): Promise<void> {
    const failures: unknown[] = []
    for (const component of this.#started.toReversed()) {
      try {
        await component.stop()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, 'Some components did not stop cleanly')
  }
}
