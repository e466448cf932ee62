import { plain, type styler } from './style.ts'
import type { ClusterEvent } from '../session/wire.ts'

const MARKS = { info: ['dim', '·'], warning: ['yellow', '!'], error: ['red', '✗'] } as const
const KIND_WIDTH = 'certificate'.length

/** One event on a line or two: when, how grave, what about, what happened, why. */
export function eventText(event: ClusterEvent, style: ReturnType<typeof styler>): string {
  const { time, severity, kind, title, detail } = event
  const [format, mark] = MARKS[severity] ?? MARKS.info
  const when = style('dim', plain(time).slice(0, 19).replace('T', ' '))
  const head = `${when} ${style(format, mark)} ${style('cyan', plain(kind).padEnd(KIND_WIDTH))} `
  const what = severity === 'info' ? plain(title) : style(format, plain(title))
  const why =
    detail === undefined ? '' : `\n${' '.repeat(22)}${style('dim', `${''.padEnd(KIND_WIDTH)} ${plain(detail)}`)}`
  return `${head}${what}${why}\n`
}
