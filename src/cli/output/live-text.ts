import type { Output } from '../host.ts'

const CLEAR_BELOW = '\u001B[J'
/** Lines longer than the terminal is wide are cut by it, so that the lines that were written are the lines that are there. */
const [WRAP_OFF, WRAP_ON] = ['\u001B[?7l', '\u001B[?7h']
const ROWS_DEFAULT = 24

/** Text on a terminal that takes the place of what was there before. */
export interface LiveText {
  /** @param text whole lines; those that do not fit on the screen are counted instead of shown */
  draw(text: string): void
}

export function createLiveText(output: Output): LiveText {
  let drawnLines = 0
  return {
    draw(text) {
      const lines = text.split('\n').slice(0, -1)
      // A terminal that was never told its size says 0.
      const room = (output.rows || ROWS_DEFAULT) - 1
      const shown =
        lines.length <= room ? lines : [...lines.slice(0, room - 1), `… and ${lines.length - room + 1} more`]
      const back = drawnLines > 0 ? `\u001B[${drawnLines}A` : ''
      output.write(`${back}\r${CLEAR_BELOW}${WRAP_OFF}${shown.map((line) => `${line}\n`).join('')}${WRAP_ON}`)
      drawnLines = shown.length
    },
  }
}
