export interface HealthRule {
  /** After so many failures in a row it is `failing`. */
  failures: number
  /** After so many good answers in a row it is `healthy` again. */
  successes: number
  /** After so many failures in a row it is to be started anew; 0: never. */
  restartAfter: number
}

/** Makes a verdict of single answers, so that one lost answer is no illness. */
export class HealthMeter {
  readonly #rule: HealthRule
  #failuresInARow = 0
  #successesInARow = 0
  #reason: string | undefined

  constructor(rule: HealthRule) {
    this.#rule = rule
  }

  /** Why it is failing; undefined while it is healthy. */
  get reason(): string | undefined {
    return this.#reason
  }

  /** To be started anew. */
  get isHopeless(): boolean {
    const { restartAfter } = this.#rule
    return restartAfter > 0 && this.#failuresInARow >= restartAfter
  }

  succeeded(): void {
    this.#failuresInARow = 0
    this.#successesInARow++
    if (this.#successesInARow >= this.#rule.successes) this.#reason = undefined
  }

  failed(reason: string): void {
    this.#successesInARow = 0
    this.#failuresInARow++
    if (this.#failuresInARow >= this.#rule.failures || this.#reason !== undefined) this.#reason = reason
  }
}
