import { EventEmitter, once } from 'node:events'
import type { Timeline, TimelineEvent } from '../../../../src/base/timeline.ts'
import type { WhyTeller } from '../../../../src/service/index.ts'

export function happened(id: number, more: Partial<TimelineEvent> = {}): TimelineEvent {
  return { id, timeMs: id * 1_000, kind: 'deploy', severity: 'info', title: `event ${id}`, ...more }
}

/** A timeline with these events, and those added, that answers every question with all of them, newest first. */
export function stubTimeline(stored: readonly TimelineEvent[] = []) {
  const asked: unknown[] = []
  const events = [...stored]
  const added = new EventEmitter().setMaxListeners(0)
  const timeline: Timeline = {
    query: async (filter, page) => {
      asked.push({ filter, page })
      const told = events.toReversed().slice(0, page.limit)
      const last = told.at(-1)
      const next = told.length < events.length && last ? { timeMs: last.timeMs, id: last.id } : undefined
      return { events: told, next, latest: events.at(-1)?.id ?? 0 }
    },
    subscribe: async function* (filter, { after, signal }) {
      asked.push({ filter, after })
      for (let at = after ?? 0; !signal.aborted; ) {
        const rest = events.filter(({ id }) => id > at)
        if (rest.length > 0) yield rest
        at = rest.at(-1)?.id ?? at
        if (rest.length === 0) await once(added, 'event', { signal }).catch(() => {})
      }
    },
  }
  const add = (event: TimelineEvent): void => {
    events.push(event)
    added.emit('event')
  }
  return { timeline, asked, add }
}

/** Knows one service, `inventory`, and one node, `worker-1`. */
export const stubWhy: WhyTeller = {
  why: async (kind, name) =>
    name === 'inventory' || name === 'worker-1'
      ? { kind, name, state: 'well', summary: `${name} is well.`, before: [], logs: [] }
      : undefined,
}
