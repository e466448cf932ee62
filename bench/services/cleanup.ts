import type { Cleanup } from '../../test/e2e/support/node-process.ts'

/** Runs `work`, and then, the last first, what it wanted to be done at the end. */
export async function withCleanup<T>(work: (cleanup: Cleanup) => Promise<T>): Promise<T> {
  const steps: (() => unknown)[] = []
  try {
    return await work({ after: (step) => void steps.push(step) })
  } finally {
    for (const step of steps.reverse()) await step()
  }
}
