/** Schemas come with bundles, which anybody may have written: more work than this is not done for one comparison. */
const STEPS_MAX = 10_000
const DEPTH_MAX = 64

/** What one comparison may cost. */
export class Budget {
  #left = STEPS_MAX

  /** Whether another step is possible, so deep inside the schema. */
  spend(depth: number): boolean {
    return this.#left-- > 0 && depth <= DEPTH_MAX
  }
}
