import type { NodeId } from './identity.ts'
import type { LogLevel } from './log.ts'

/** One line of any node's log, as a coordinator keeps it. All texts are safe to show and bounded. */
export interface LogLine {
  /** Its place in the coordinator's log: a line stored later has a higher one. */
  cursor: number
  /** The node that wrote it, by its certificate. */
  nodeId: NodeId
  /** The node's own number of the line; lines of one node are kept in this order. */
  seq: number
  /** Unix milliseconds: the node's clock, corrected by `clockOffsetMs`. */
  timeMs: number
  /** Unix milliseconds, the coordinator's clock. */
  receivedMs: number
  /** What was added to the node's time because its clock was more than a minute off; 0 otherwise. */
  clockOffsetMs: number
  level: LogLevel
  logger: string
  message: string
  /** A JSON object. */
  fieldsJson: string
  /** 32 hex digits; empty when the line belongs to no call. */
  traceId: string
}

/** Which lines; what is absent leaves all in. */
export interface LogFilter {
  nodeId?: NodeId | undefined
  /** This level and above. */
  level?: LogLevel | undefined
  /** Part of the logger's name, whatever the case. */
  logger?: string | undefined
  /** Words that all must begin a word of the message or of the fields, whatever the case. */
  search?: string | undefined
  /** Lines of this call, wherever it went: 32 hex digits. */
  traceId?: string | undefined
  /** Unix milliseconds, both included. */
  sinceMs?: number | undefined
  untilMs?: number | undefined
}

/** Which part of what matches, newest first. */
export interface LogPageRequest {
  limit: number
  /** Newest matching lines to pass over. */
  offset?: number | undefined
  /** Only lines with a lower cursor: stable while lines are added. */
  before?: number | undefined
}

export interface LogPage {
  /** Newest first. */
  lines: LogLine[]
  /** How many lines match, counted up to {@link LOG_TOTAL_MAX}. */
  total: number
  /** Cursor of the newest line there was when the question was answered: following begins after it. */
  latest: number
}

/** Counting goes no further: nobody needs the difference, and it takes long. */
export const LOG_TOTAL_MAX = 10_000

export interface LogSources {
  nodes: NodeId[]
  loggers: string[]
}

/** Read side of a coordinator's log. Questions are answered off the event loop. All throw StorageError when the disk fails. */
export interface LogReader {
  query(filter: LogFilter, page: LogPageRequest, signal?: AbortSignal): Promise<LogPage>
  sources(nodeId?: NodeId): Promise<LogSources>
  /**
   * Lines that match as they are stored, each once and in order, in groups as they come, until the signal aborts. Nothing is
   * kept for a reader: one that is slow gets its lines from disk, at its own pace.
   * @param after begin after the line with this cursor; by default with the next line
   */
  subscribe(filter: LogFilter, options: { after?: number; signal: AbortSignal }): AsyncIterable<readonly LogLine[]>
}
