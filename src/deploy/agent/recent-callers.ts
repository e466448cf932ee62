import type { MethodCallers } from '../../service/index.ts'

/** Who called within this hour or the one before is told. */
const HOUR_MS = 3_600_000
/** Callers of one method that are told, and callers in all that are remembered. */
const CALLERS_MAX = 32
const REMEMBERED_MAX = 16_384

/** Who has called the services of this node of late, so that it is told in every report, and a report that got lost is no loss. */
export class RecentCallers {
  /** `service/method caller` → the hour, since the node's start, in which it called last. */
  readonly #hours = new Map<string, number>()

  /** @returns whether there is something new to tell */
  note(nowMs: number, taken: ReadonlyMap<string, MethodCallers>): boolean {
    const hour = Math.floor(nowMs / HOUR_MS)
    let isNew = false
    for (const [key, last] of this.#hours) if (last < hour - 1) this.#hours.delete(key)
    for (const [service, methods] of taken) {
      for (const [method, callers] of Object.entries(methods)) {
        for (const caller of callers) {
          const key = `${service}/${method} ${caller}`
          if (this.#hours.get(key) === hour || this.#hours.size >= REMEMBERED_MAX) continue
          this.#hours.set(key, hour)
          isNew = true
        }
      }
    }
    return isNew
  }

  of(service: string): MethodCallers | undefined {
    const methods: Record<string, string[]> = {}
    const prefix = `${service}/`
    for (const key of this.#hours.keys()) {
      if (!key.startsWith(prefix)) continue
      const space = key.indexOf(' ')
      const callers = (methods[key.slice(prefix.length, space)] ??= [])
      if (callers.length < CALLERS_MAX) callers.push(key.slice(space + 1))
    }
    return Object.keys(methods).length > 0 ? methods : undefined
  }
}
