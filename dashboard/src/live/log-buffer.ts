import type { LogLine } from '../api/types.ts'

/** Lines kept in the page. */
export const LOG_LINES_MAX = 100_000
/** Cut off at once, so that the cutting costs little per line. */
const CUT = 10_000

/** Log lines in order of time, each once, the newest `LOG_LINES_MAX`. Changes come from the server, in bursts. */
export class LogBuffer {
  #lines: LogLine[] = []
  readonly #keys = new Set<string>()
  #version = 0

  /** Oldest first. The array is the buffer's own: read it, and read it again when `version` has changed. */
  get lines(): readonly LogLine[] {
    return this.#lines
  }

  /** Grows with every change. */
  get version(): number {
    return this.#version
  }

  /** @returns how many of the lines were new */
  add(lines: readonly LogLine[]): number {
    const fresh: LogLine[] = []
    for (const line of lines) {
      const key = keyOf(line)
      if (this.#keys.has(key)) continue
      this.#keys.add(key)
      fresh.push(line)
    }
    if (fresh.length === 0) return 0
    fresh.sort(byTime)
    const last = this.#lines.at(-1)
    const isNewer = last === undefined || byTime(last, fresh[0] as LogLine) <= 0
    if (isNewer) for (const line of fresh) this.#lines.push(line)
    else this.#lines = [...this.#lines, ...fresh].sort(byTime)
    if (this.#lines.length > LOG_LINES_MAX + CUT) {
      const cut = this.#lines.length - LOG_LINES_MAX
      for (const line of this.#lines.slice(0, cut)) this.#keys.delete(keyOf(line))
      this.#lines = this.#lines.slice(cut)
    }
    this.#version++
    return fresh.length
  }

  clear(): void {
    this.#lines = []
    this.#keys.clear()
    this.#version++
  }
}

/** The node numbers its lines; without a number, what a line says is what it is. */
export function keyOf(line: LogLine): string {
  return line.seq === undefined
    ? `${line.node_id} ${line.timestamp} ${line.logger_name} ${line.message}`
    : `${line.node_id} ${line.seq}`
}

/** ISO 8601 in UTC sorts as text; the sequence decides within the same millisecond of a node. */
function byTime(a: LogLine, b: LogLine): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1
  return (a.seq ?? 0) - (b.seq ?? 0)
}
