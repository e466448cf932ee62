import type { LogEntry } from '../../base/log.ts'
import type { CliHost } from '../host.ts'
import { plain, styler } from '../output/style.ts'
import { codeFrame, placeIn } from './code-frame.ts'

const FRAMES_MAX = 5

/** What `p2p dev` shows: the lines of the service, what came of each save, and where an error is. */
export class DevScreen {
  readonly #host: CliHost
  readonly #folder: string
  readonly #style: ReturnType<typeof styler>
  /** While a version is being loaded: the places that have been shown, so that what says the same twice shows it once. */
  #shownPlaces: Set<string> | undefined

  /** @param folder of the service, without links */
  constructor(host: CliHost, folder: string) {
    this.#host = host
    this.#folder = folder
    this.#style = styler(host.talk, host.environment)
  }

  say(text: string): void {
    this.#host.talk.write(`${text}\n`)
  }

  /** Those of the service; of the node itself only what is wrong. */
  line({ timeMs, level, logger, message, fields }: LogEntry): void {
    const isService = logger.startsWith('Service.')
    const isWrong = level === 'WARNING' || level === 'ERROR' || level === 'CRITICAL'
    if (!isService && !isWrong) return
    // What came of the reload is said at its end.
    if (!isService && this.#shownPlaces && 'instance' in fields) return
    const { error, ...others } = fields
    const shown = Object.entries(others).map(
      ([name, value]) => ` ${this.#style('dim', `${name}=`)}${plain(valueText(value))}`,
    )
    const time = this.#style('dim', new Date(timeMs).toTimeString().slice(0, 8))
    const word = isWrong ? this.#style(level === 'WARNING' ? 'yellow' : 'red', level) : this.#style('dim', level)
    this.say(`${time} ${word} ${plain(message)}${shown.join('')}`)
    if (isWrong) this.#place(error, others)
  }

  reloading(): void {
    this.#shownPlaces = new Set()
  }

  reloaded(name: string, tookMs: number): void {
    this.#shownPlaces = undefined
    this.say(this.#style('green', `${name} reloaded in ${Math.round(tookMs)} ms`))
  }

  /** @param runsOn whether an earlier version goes on answering */
  refused(reason: string, runsOn: boolean): void {
    this.say(`${this.#style('red', 'Not reloaded:')} ${plain(reason)}`)
    this.#frame(reason)
    this.#shownPlaces = undefined
    if (runsOn) this.say(this.#style('dim', 'What ran before runs on; save again.'))
  }

  /** The stack as far as it is in the service's own files, and the lines of the first place. */
  #place(error: unknown, fields: Readonly<Record<string, unknown>>): void {
    const { name, message, stack } = (error ?? {}) as { name?: unknown; message?: unknown; stack?: unknown }
    if (message !== undefined) this.say(`  ${this.#style('red', plain(`${valueText(name)}: ${valueText(message)}`))}`)
    const frames = Array.isArray(stack) ? stack.map(String) : []
    const own = frames.filter((frame) => placeIn(frame, this.#folder) !== undefined)
    for (const frame of own.slice(0, FRAMES_MAX)) this.say(this.#style('dim', `  ${plain(frame.trim())}`))
    this.#frame(own[0] ?? [message, fields['reason']].map(valueText).join(' '))
  }

  #frame(text: string): void {
    const place = placeIn(text, this.#folder)
    if (!place || this.#shownPlaces?.has(`${place.file}:${place.line}`)) return
    this.#shownPlaces?.add(`${place.file}:${place.line}`)
    const frame = codeFrame(place, this.#folder)
    if (frame !== undefined) this.say(frame)
  }
}

function valueText(value: unknown): string {
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? '')
}
