import { AsyncLocalStorage } from 'node:async_hooks'
import type { Random } from '../../base/random.ts'
import { callScope } from '../calls/invocation.ts'
import { newTraceId } from '../calls/trace-id.ts'

/** What an event takes along from what caused it. */
export interface EventCause {
  traceId: string
  /** Calls and events that caused one another before. */
  hops: number
}

/** The event on whose behalf code is running: what it publishes is counted on, so that events cannot go in a circle for ever. */
export const eventScope = new AsyncLocalStorage<EventCause>()

/** What the code that runs takes along from the call or the event that it serves; else a cause of its own. */
export function causeOf(random: Random): EventCause {
  const served = callScope.getStore()
  if (served?.hasEnded === false) return { traceId: served.traceId, hops: served.hops + 1 }
  const event = eventScope.getStore()
  return event ? { traceId: event.traceId, hops: event.hops + 1 } : { traceId: newTraceId(random), hops: 0 }
}
