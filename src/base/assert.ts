/** Thrown when the program contradicts itself: always our bug, never the caller's mistake. */
export class AssertionError extends Error {
  override readonly name = 'AssertionError'
}

/**
 * States what must hold. Never used for bad input: input gets a {@link P2PError} that teaches.
 * @throws {AssertionError} the claim does not hold
 */
export function assert(claim: unknown, message: string): asserts claim {
  if (!claim) throw new AssertionError(`Assertion failed (a bug in P2P Core): ${message}`)
}

/** For the default branch of an exhaustive `switch`: fails at compile time when a case is missing. */
export function assertNever(value: never): never {
  throw new AssertionError(`Assertion failed (a bug in P2P Core): unexpected value ${String(value)}`)
}
