/** What a side tells of one round; travels as JSON. */
export interface Round {
  count: number
  seconds: number
  /** Milliseconds, of one call in eight. */
  latencies: number[]
}

const SAMPLE_EVERY = 8

/** Keeps `inFlight` calls going for a time. */
export async function measure(call: () => Promise<unknown>, inFlight: number, seconds: number): Promise<Round> {
  const beginMs = performance.now()
  const endMs = beginMs + seconds * 1_000
  const latencies: number[] = []
  let count = 0
  const caller = async (): Promise<void> => {
    for (let nowMs = performance.now(); nowMs < endMs; ) {
      const sentMs = nowMs
      await call()
      nowMs = performance.now()
      if (++count % SAMPLE_EVERY === 0) latencies.push(nowMs - sentMs)
    }
  }
  await Promise.all(Array.from({ length: inFlight }, caller))
  return { count, seconds: (performance.now() - beginMs) / 1_000, latencies }
}
