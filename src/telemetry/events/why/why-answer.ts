import type { LogLine } from '../../../base/log-line.ts'
import type { TimelineEvent } from '../../../base/timeline.ts'
import { timelineEventWire, type WhyAnswer } from '../../../service/index.ts'
import { type Cause, remedyOf, sentence } from './cause.ts'
import type { WhyContext } from './why-facts.ts'

/** Events told beside a cause, and log lines. */
const EVENTS_MAX = 8
const LINES_MAX = 10
/** How long before the cause something may have to do with it. */
const BEFORE_MS = 30 * 60_000

export function answerOf(
  subject: Pick<WhyAnswer, 'kind' | 'name'>,
  { state, sentences }: { state: WhyAnswer['state']; sentences: readonly string[] },
  cause: Cause | undefined,
  { events, lines }: WhyContext,
  { remedy, background }: { remedy?: string | undefined; background?: TimelineEvent | undefined } = {},
): WhyAnswer {
  const isWell = state === 'well'
  return {
    ...subject,
    state,
    summary: sentences.map(sentence).join(' '),
    ...(cause && {
      cause: {
        what: cause.what,
        text: sentence(cause.text),
        ...(cause.sinceMs !== undefined && { since: new Date(cause.sinceMs).toISOString() }),
      },
    }),
    before: eventsBefore(events, cause, background).map(timelineEventWire),
    logs: lines.slice(0, LINES_MAX).toReversed().map(lineWire),
    // What is over needs no remedy.
    ...(cause && !isWell && { remedy: remedy ?? remedyOf(cause.what, subject.name) }),
  }
}

/** What happened up to the cause, and a little before it, always with what it began with; without a cause what happened last. */
function eventsBefore(
  events: readonly TimelineEvent[],
  cause: Cause | undefined,
  background: TimelineEvent | undefined,
): TimelineEvent[] {
  const sinceMs = cause?.sinceMs
  const told =
    sinceMs === undefined
      ? events
      : events.filter(({ timeMs }) => timeMs <= sinceMs + 1_000 && timeMs >= sinceMs - BEFORE_MS)
  const shown = told.slice(0, EVENTS_MAX)
  if (!background || shown.includes(background)) return shown
  return [...shown.slice(0, EVENTS_MAX - 1), background]
}

function lineWire({ timeMs, nodeId, level, logger, message, fieldsJson }: LogLine): WhyAnswer['logs'][number] {
  const { reason, error } = JSON.parse(fieldsJson) as { reason?: unknown; error?: { message?: unknown } | null }
  const why = reason ?? error?.message
  return {
    timestamp: new Date(timeMs).toISOString(),
    node_id: nodeId,
    level,
    logger_name: logger,
    message: typeof why === 'string' ? `${message}: ${why}` : message,
  }
}
