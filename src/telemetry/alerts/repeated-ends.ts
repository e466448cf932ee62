import type { Condition } from './alert.ts'

const WINDOW_MS = 10 * 60_000
/** So many ends within the window are an alert, although the service is well in between. */
const ENDS_MIN = 5
const SERVICES_MAX = 4_096
/** No more of one service are remembered. */
const TIMES_MAX = 100

/** Which services end again and again, and are started again each time. */
export class RepeatedEnds {
  readonly #services = new Map<string, { times: number[]; reason: string | undefined }>()

  add(service: string, timeMs: number, reason: string | undefined): void {
    let known = this.#services.get(service)
    if (!known) {
      if (this.#services.size >= SERVICES_MAX) return
      this.#services.set(service, (known = { times: [], reason }))
    }
    known.times = [...known.times, timeMs].slice(-TIMES_MAX)
    known.reason = reason
  }

  conditions(nowMs: number): Condition[] {
    const found: Condition[] = []
    for (const [service, known] of this.#services) {
      known.times = known.times.filter((timeMs) => nowMs - timeMs < WINDOW_MS)
      if (known.times.length === 0) this.#services.delete(service)
      if (known.times.length < ENDS_MIN) continue
      found.push({
        id: `service/${service}/ends`,
        severity: 'error',
        title: `Service ${service} ends again and again`,
        detail: `At least ${ENDS_MIN} times within 10 minutes, the last time: ${known.reason ?? 'its node does not say why'}.`,
        service,
        remedy: `See why: p2p why ${service}`,
      })
    }
    return found
  }
}
