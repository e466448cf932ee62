/** A deployment, as far as the order of starting goes. */
export interface Dependent {
  service: string
  dependsOn: readonly { service: string; healthy: boolean }[]
}

/** Instances of a service, on all nodes, whoever started them. */
export interface Presence {
  running: number
  healthy: number
}

/**
 * Services in an order in which each one comes after those it depends on; by name where nothing else decides. Dependencies that are
 * not among them are left out.
 * @returns the cycle when there is one, beginning and ending with the same service
 */
export function startOrder(services: readonly Dependent[]): { order: string[] } | { cycle: string[] } {
  const byName = new Map(services.map((dependent) => [dependent.service, dependent]))
  const order: string[] = []
  const done = new Set<string>()
  const names = [...byName.keys()].sort()
  for (const name of names) {
    // Depth first without recursion: a chain may be as long as there are services.
    const path: string[] = [name]
    while (path.length > 0) {
      const current = path.at(-1) as string
      const next = byName
        .get(current)
        ?.dependsOn.map(({ service }) => service)
        .filter((service) => byName.has(service) && !done.has(service))
        .sort()[0]
      if (next === undefined) {
        path.pop()
        if (done.has(current)) continue
        done.add(current)
        order.push(current)
        continue
      }
      const start = path.indexOf(next)
      if (start >= 0) return { cycle: [...path.slice(start), next] }
      path.push(next)
    }
  }
  return { order }
}

/** Why a service may not be started yet, for people; undefined: it may. */
export function unmetDependency({ dependsOn }: Dependent, present: ReadonlyMap<string, Presence>): string | undefined {
  for (const { service, healthy } of dependsOn) {
    const is = present.get(service)
    if (!is || is.running === 0) return `waits for ${service}, which does not run`
    if (healthy && is.healthy === 0) return `waits for ${service}, which runs but is not healthy`
  }
  return undefined
}
