/**
 * Lifeguard's local health (section 4.1): how far this node distrusts itself. 0 is healthy; each point stretches the
 * probe period once more, so that a slow node accuses others later.
 */
export class Awareness {
  readonly #max: number
  #score = 0

  /** @param max the score stays below this */
  constructor(max: number) {
    this.#max = max
  }

  get score(): number {
    return this.#score
  }

  /** Positive when this node seems at fault, negative after a probe that went well. */
  applyDelta(delta: number): void {
    this.#score = Math.min(Math.max(this.#score + delta, 0), this.#max - 1)
  }

  scaleTimeout(timeoutMs: number): number {
    return timeoutMs * (this.#score + 1)
  }
}
