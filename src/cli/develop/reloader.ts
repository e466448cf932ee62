/** Reloads when it is asked to, once for everything that was asked meanwhile. */
export class Reloader {
  readonly #reload: () => Promise<void>
  readonly #debounceMs: number
  #timer: NodeJS.Timeout | undefined
  #isAsked = false
  #running: Promise<void> | undefined

  /**
   * @param reload never rejects
   * @param debounceMs an editor that saves a file writes more than once
   */
  constructor(reload: () => Promise<void>, debounceMs: number) {
    this.#reload = reload
    this.#debounceMs = debounceMs
  }

  ask(): void {
    this.#isAsked = true
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      this.#running ??= this.#run()
    }, this.#debounceMs)
  }

  /** Forgets what was asked, and waits for the reload that runs. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    this.#isAsked = false
    await this.#running
  }

  async #run(): Promise<void> {
    while (this.#isAsked) {
      this.#isAsked = false
      await this.#reload()
    }
    this.#running = undefined
  }
}
