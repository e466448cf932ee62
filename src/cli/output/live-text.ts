import type { Output } from '../host.ts'

const CLEAR_BELOW = '\u001B[J'
/** What is wider than the terminal after all is cut by it, so that the lines that were written are the lines that are there. */
const [WRAP_OFF, WRAP_ON] = ['\u001B[?7l', '\u001B[?7h']
const ROWS_DEFAULT = 24
/** A colour, which takes no room. */
const COLOUR = /(\p{Cc}\[[\d;]*m)/u

/** Text on a terminal that takes the place of what was there before. */
export interface LiveText {
  /** @param text whole lines, which are cut ("…") to the screen's width; those it has no room for are counted instead of shown */
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
      output.write(
        `${back}\r${CLEAR_BELOW}${WRAP_OFF}${shown.map((line) => `${cut(line, output.columns)}\n`).join('')}${WRAP_ON}`,
      )
      drawnLines = shown.length
    },
  }
}

/** Cut by code points: exact for Latin, near enough for the rest. */
function cut(line: string, width = 0): string {
  const parts = line.split(COLOUR).map((text) => (COLOUR.test(text) ? text : Array.from(text)))
  const length = parts.reduce((sum, part) => sum + (typeof part === 'string' ? 0 : part.length), 0)
  // A terminal that was never told its size says 0.
  if (width === 0 || length <= width) return line
  let room = width - 1
  const shown = parts.map((part) => {
    if (typeof part === 'string') return part
    if (part.length <= room) {
      room -= part.length
      return part.join('')
    }
    const end = room < 0 ? '' : `${part.slice(0, room).join('')}…`
    room = -1
    return end
  })
  return shown.join('')
}
