/**
 * Asks the system, and while it cannot say answers what it said before: many questions take a descriptor, and a process that
 * has none left for a moment must live through it.
 * @returns throws what `ask` throws as long as it never answered
 */
export function lastKnown<T>(ask: () => T): () => T {
  let known: { answer: T } | undefined
  return () => {
    try {
      known = { answer: ask() }
    } catch (error) {
      if (known === undefined) throw error
    }
    return known.answer
  }
}
