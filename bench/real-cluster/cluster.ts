/** What a member of a cluster under measurement sees happen to another one. */
export type Sight = 'joined' | 'failed' | 'changed'

/** One member was told that something happened to another. */
export interface Sighting {
  observer: string
  subject: string
  sight: Sight
  /** `performance.now()` of this process. */
  atMs: number
}

/** A cluster of real processes on this machine, the same for P2P Core and for what it is measured beside. */
export interface RealCluster {
  readonly label: string
  /** Names of all members; the first one is not to be killed. */
  readonly names: readonly string[]
  pid(name: string): number
  /** TCP and UDP ports the members talk to each other over. */
  readonly ports: readonly number[]
  /** Starts all members, few at a time, and resolves when each knows all. */
  start(): Promise<void>
  /** Calls `listener` for whatever any member sees from now on. @returns a function that ends it */
  onSight(listener: (sighting: Sighting) => void): () => void
  /** Starts a member that was killed. Resolves when its process is up. */
  restart(name: string): Promise<void>
  /** Makes a member say something else of itself. */
  change(name: string): Promise<void>
  /** From here to `watchAgain` nothing is asked of the members: their traffic is their own. */
  stopWatching(): void
  watchAgain(): Promise<void>
  /** What the members count of what they sent themselves, all together; undefined where they do not count. */
  bytesSent(): Promise<number | undefined>
  /** Ends every process it started. */
  stop(): Promise<void>
}

/** Collects sightings of one kind about one member, until all others have had it. */
export function awaitAll(
  cluster: RealCluster,
  subject: string,
  sight: Sight,
  withinMs: number,
): Promise<Map<string, number>> {
  const seenMs = new Map<string, number>()
  const { promise, resolve, reject } = Promise.withResolvers<Map<string, number>>()
  const late = setTimeout(() => {
    const missing = cluster.names.filter((name) => name !== subject && !seenMs.has(name))
    reject(
      new Error(
        `${cluster.label}: after ${withinMs / 1_000} s not known to ${missing.join(', ')}: ${subject} ${sight}`,
      ),
    )
  }, withinMs)
  const unlisten = cluster.onSight((sighting) => {
    if (sighting.subject !== subject || sighting.observer === subject || sighting.sight !== sight) return
    if (!seenMs.has(sighting.observer)) seenMs.set(sighting.observer, sighting.atMs)
    if (seenMs.size === cluster.names.length - 1) resolve(seenMs)
  })
  return promise.finally(() => {
    clearTimeout(late)
    unlisten()
  })
}
