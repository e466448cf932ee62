import type { NodeId } from '../../../base/identity.ts'
import type { LogFilter, LogLine, LogPage, LogPageRequest, LogSources } from '../../../base/log-line.ts'

/*
 * What the store says to its two threads. Each request has one answer. Lines travel as rows: arrays are copied between
 * threads at a fraction of what objects cost.
 */

/** Cursor, node, seq, time, received, clock offset, level's rank, logger, message, fields, trace. */
export type LineRow = [
  cursor: number,
  nodeId: NodeId,
  seq: number,
  timeMs: number,
  receivedMs: number,
  clockOffsetMs: number,
  rank: number,
  logger: string,
  message: string,
  fieldsJson: string,
  traceId: string,
]

/** Lines of one node that are stored wholly or not at all, together with how far its run has come. */
export interface CommitJob {
  nodeId: NodeId
  epoch: string
  /** Number of the last line. */
  last: number
  rows: LineRow[]
}

/** What was stored when the file was opened. */
export interface StoreState {
  latest: number
  nodes: { nodeId: NodeId; lines: number }[]
  /** Of each node the latest runs, the newest last. */
  epochs: { nodeId: NodeId; epoch: string; last: number }[]
}

export interface LineCounts {
  /** Lines of each node that were removed to make room, or for their age. */
  removed: [NodeId, number][]
}

/** Requests of the writing thread and their answers. */
export type WriterCalls = {
  open: { request: { path: string; bytesMax: number }; answer: StoreState }
  commit: { request: { jobs: CommitJob[] }; answer: LineCounts }
  /** Removes what was received before that moment, a part at a time. */
  expire: { request: { beforeMs: number }; answer: LineCounts & { isDone: boolean } }
  /** A part at a time, as `expire`. */
  clear: { request: { nodeId: NodeId | undefined; upTo: number }; answer: LineCounts & { isDone: boolean } }
  close: { request: null; answer: null }
}

/** Requests of the reading thread and their answers. */
export type ReaderCalls = {
  open: { request: { path: string; wordsPath: string }; answer: null }
  query: { request: { filter: LogFilter; page: LogPageRequest }; answer: Omit<LogPage, 'lines'> & { rows: LineRow[] } }
  /** Lines after a cursor, oldest first. `end` is where the search ended, matching or not. */
  after: { request: { filter: LogFilter; after: number; limit: number }; answer: { rows: LineRow[]; end: number } }
  sources: { request: { nodeId: NodeId | undefined }; answer: LogSources }
  /** Brings the words a step nearer to the lines. */
  index: { request: null; answer: { isDone: boolean } }
  close: { request: null; answer: null }
}

export type ThreadFailure = { kind: 'full' | 'damaged' | 'failed'; message: string }

export interface ThreadRequest {
  id: number
  type: string
  request: unknown
}

export type ThreadAnswer = { id: number; answer: unknown } | { id: number; failure: ThreadFailure }

export function rowOf(line: LogLine, rank: number): LineRow {
  const { cursor, nodeId, seq, timeMs, receivedMs, clockOffsetMs, logger, message, fieldsJson, traceId } = line
  return [cursor, nodeId, seq, timeMs, receivedMs, clockOffsetMs, rank, logger, message, fieldsJson, traceId]
}
