import type { Clock } from '../../base/time.ts'

/** Changes of something, numbered, for requests that wait for the next one. */
export interface ChangeFeed {
  /** Number of the latest change; the first is the Unix time of the start in milliseconds (see MemberFeed). */
  readonly index: number
  /** @returns a function that unregisters the listener */
  onChange(listener: () => void): () => void
  /** Aborted when the node stops: nobody needs to wait any more. */
  readonly stopped: AbortSignal
}

/** Counts what `source` tells. Listeners of one change see its number. */
export function createChangeFeed(
  { clock, stopped }: { clock: Clock; stopped: AbortSignal },
  source: { onChange(listener: () => void): () => void },
): ChangeFeed {
  const listeners = new Set<() => void>()
  let index = Math.floor(clock.wallMs())
  const unlisten = source.onChange(() => {
    index++
    for (const listener of listeners) listener()
  })
  stopped.addEventListener('abort', unlisten, { once: true })
  return {
    get index() {
      return index
    },
    onChange(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    stopped,
  }
}
