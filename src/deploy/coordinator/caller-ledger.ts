import { type ControlStore, jsonValue } from '../../base/control-store.ts'
import type { Clock } from '../../base/time.ts'
import { Turns } from '../../base/turns.ts'
import type { NodeReport } from '../model.ts'

/** Whoever has called within so many days is taken for one who will again. */
export const CALLER_DAYS = 7
/** Of one method; those who called last. */
const CALLERS_MAX = 32
const METHODS_MAX = 128
const DAY_MS = 86_400_000
const PREFIX = 'deploy/callers/'

/** Method → caller → the day (since 1970, UTC) on which it called last. */
type Days = Record<string, Record<string, number>>

/** Who has called which methods of the deployed services in the last days, as their nodes told; a caller is stored once a day. */
export class CallerLedger {
  readonly #store: ControlStore
  readonly #clock: Pick<Clock, 'wallMs'>
  readonly #services = new Map<string, Days>()
  /** What is noted is added to what was: reports that come together would lose each other's. */
  readonly #turns = new Turns()

  constructor(store: ControlStore, clock: Pick<Clock, 'wallMs'>) {
    this.#store = store
    this.#clock = clock
  }

  async load(): Promise<void> {
    for (const { key, value } of await this.#store.range(PREFIX)) {
      this.#services.set(key.slice(PREFIX.length), JSON.parse(new TextDecoder().decode(value)) as Days)
    }
  }

  note(report: NodeReport): Promise<void> {
    return this.#turns.run(() => this.#note(report))
  }

  /** Names of services, and `person:<name>`; whoever called last comes first. */
  callersOf(service: string, method: string): string[] {
    const oldest = this.#today() - CALLER_DAYS
    return Object.entries(this.#services.get(service)?.[method] ?? {})
      .filter(([caller, day]) => day >= oldest && caller !== service)
      .sort(([, a], [, b]) => b - a)
      .map(([caller]) => caller)
  }

  forget(service: string): Promise<void> {
    return this.#turns.run(async () => {
      if (!this.#services.has(service)) return
      await this.#store.transact({ operations: [{ type: 'delete', key: PREFIX + service }] })
      this.#services.delete(service)
    })
  }

  async #note({ assignments }: NodeReport): Promise<void> {
    for (const { service, callers } of assignments) {
      if (!callers) continue
      const before = this.#services.get(service) ?? {}
      const after = withCallers(before, callers, this.#today())
      if (after === before) continue
      await this.#store.transact({ operations: [{ type: 'put', key: PREFIX + service, value: jsonValue(after) }] })
      this.#services.set(service, after)
    }
  }

  #today(): number {
    return Math.floor(this.#clock.wallMs() / DAY_MS)
  }
}

/** @returns `before` itself when there is nothing new */
function withCallers(before: Days, told: Readonly<Record<string, readonly string[]>>, today: number): Days {
  const isNew = Object.entries(told).some(([method, callers]) =>
    callers.some((caller) => before[method]?.[caller] !== today),
  )
  if (!isNew) return before
  const after: Days = {}
  for (const method of [...new Set([...Object.keys(told), ...Object.keys(before)])].slice(0, METHODS_MAX)) {
    const now = (told[method] ?? []).map((caller) => [caller, today] as const)
    const days = Object.entries({ ...before[method], ...Object.fromEntries(now) })
    const kept = days
      .filter(([, day]) => day >= today - CALLER_DAYS)
      .sort(([, a], [, b]) => b - a)
      .slice(0, CALLERS_MAX)
    if (kept.length > 0) after[method] = Object.fromEntries(kept)
  }
  return after
}
