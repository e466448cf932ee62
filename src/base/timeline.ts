import type { NodeId } from './identity.ts'

/** What an event is about. */
export const EVENT_KINDS = ['member', 'deploy', 'health', 'certificate', 'log', 'alert', 'person'] as const
export type EventKind = (typeof EVENT_KINDS)[number]

export const EVENT_SEVERITIES = ['info', 'warning', 'error'] as const
export type EventSeverity = (typeof EVENT_SEVERITIES)[number]

/** Something that happened in the cluster, in words for people. All texts are bounded. */
export interface HappenedEvent {
  /** Unix milliseconds, the coordinator's clock. */
  timeMs: number
  kind: EventKind
  severity: EventSeverity
  title: string
  detail?: string | undefined
  nodeId?: NodeId | undefined
  service?: string | undefined
  traceId?: string | undefined
}

/** One that is stored. */
export interface TimelineEvent extends HappenedEvent {
  /** Its place: an event stored later has a higher one. */
  id: number
}

/** Which events; what is absent leaves all in. */
export interface TimelineFilter {
  nodeId?: NodeId | undefined
  service?: string | undefined
  kinds?: readonly EventKind[] | undefined
  /** Unix milliseconds, both included. */
  sinceMs?: number | undefined
  untilMs?: number | undefined
}

/** The place of an event in the order of time. */
export interface TimelinePosition {
  timeMs: number
  id: number
}

export interface TimelinePage {
  /** Newest first. */
  events: TimelineEvent[]
  /** Where the next page begins; undefined on the last one. */
  next: TimelinePosition | undefined
  /** Id of the event stored last, when the question was answered: following begins after it. */
  latest: number
}

/** What happened in the cluster, on a coordinator. What is told here is on disk. All throw StorageError when the disk fails. */
export interface Timeline {
  query(filter: TimelineFilter, page: { limit: number; before?: TimelinePosition | undefined }): Promise<TimelinePage>
  /**
   * Events that match as they are stored, each once and in the order they were stored, until the signal aborts. Nothing is
   * kept for a reader that is slow: it gets its events from disk.
   * @param after begin after the event with this id; by default with the next one
   */
  subscribe(
    filter: TimelineFilter,
    options: { after?: number | undefined; signal: AbortSignal },
  ): AsyncIterable<readonly TimelineEvent[]>
}
