import type {
  EventKind,
  EventSeverity,
  HappenedEvent,
  TimelineEvent,
  TimelineFilter,
  TimelinePosition,
} from '../../../base/timeline.ts'

/** Requests of the thread of the timeline, and their answers. */
export type EventCalls = {
  open: { request: { path: string }; answer: { latest: number; states: [key: string, state: string][] } }
  /** Stores all or nothing. */
  commit: { request: { events: HappenedEvent[]; states: [key: string, state: string][] }; answer: { latest: number } }
  query: {
    request: { filter: TimelineFilter; limit: number; before: TimelinePosition | undefined }
    answer: { events: TimelineEvent[]; latest: number }
  }
  /** Events after one, in the order they were stored. `end` is where the search ended, matching or not. */
  after: {
    request: { filter: TimelineFilter; after: number; limit: number }
    answer: { events: TimelineEvent[]; end: number }
  }
  close: { request: null; answer: null }
}

/** A row of the table. */
export interface EventRow {
  id: number
  time: number
  kind: EventKind
  severity: EventSeverity
  node: string
  service: string
  title: string
  detail: string
  trace: string
}
