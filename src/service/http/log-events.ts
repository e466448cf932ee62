import type { Readable } from 'node:stream'
import type { LogFilter, LogLine, LogReader } from '../../base/log-line.ts'
import { groupStream } from './group-stream.ts'
import { logLineText } from './log-wire.ts'
import type { StreamLifeNeeds } from './stream-life.ts'

export interface LogEventsNeeds extends StreamLifeNeeds {
  logs: LogReader
}

/** Lines as server-sent events: `lines` with an array of them, oldest first, its id the cursor of the last one. */
export function logEvents({ logs, ...needs }: LogEventsNeeds, filter: LogFilter, after: number | undefined): Readable {
  return groupStream(
    needs,
    (signal) => logs.subscribe(filter, { ...(after !== undefined && { after }), signal }),
    eventText,
  )
}

/** JSON has no line breaks, so one data line is enough. */
function eventText(lines: readonly LogLine[]): string {
  return `event: lines\nid: ${lines.at(-1)?.cursor}\ndata: [${lines.map(logLineText).join()}]\n\n`
}
