import type { LogLine } from '../../../base/log-line.ts'
import type { TimelineEvent } from '../../../base/timeline.ts'
import { logLineText } from '../log-wire.ts'
import { timelineEventWire } from '../timeline-wire.ts'
import type { FeedMessage } from './shared-feed.ts'
import { TextMessage } from './text-message.ts'

/** A message for the lines of each node, as the Python program's pages expect; only the last one moves the cursor to the end. */
export function logMessages(group: readonly LogLine[], before: number): FeedMessage[] {
  const byNode = Map.groupBy(group, ({ nodeId }) => nodeId)
  const end = group.at(-1)?.cursor ?? before
  const timestamp = new Date(group.at(-1)?.receivedMs ?? 0).toISOString()
  return [...byNode].map(([nodeId, lines], index) => {
    const cursor = index === byNode.size - 1 ? end : before
    const head = JSON.stringify({ type: 'new_logs', node_id: nodeId, timestamp, cursor: String(cursor) })
    const message = new TextMessage(`${head.slice(0, -1)},"logs":[${lines.map(logLineText).join()}]}`)
    return { message, count: lines.length, cursor }
  })
}

/** The events, oldest first. */
export function eventMessages(group: readonly TimelineEvent[]): FeedMessage[] {
  const last = group.at(-1)
  if (!last) return []
  const timestamp = new Date(last.timeMs).toISOString()
  return [{ message: eventMessage(group, { cursor: last.id, timestamp }), count: group.length, cursor: last.id }]
}

/** @param isMissed what lies between the page's cursor and this is too much to be sent */
export function eventMessage(
  group: readonly TimelineEvent[],
  { cursor, timestamp, isMissed }: { cursor: number; timestamp: string; isMissed?: boolean },
): TextMessage {
  const message = {
    type: 'new_events',
    timestamp,
    events: group.map(timelineEventWire),
    cursor: String(cursor),
    ...(isMissed && { missed: true }),
  }
  return new TextMessage(JSON.stringify(message))
}
