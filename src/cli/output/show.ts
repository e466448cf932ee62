import type { CliHost } from '../host.ts'
import { styler } from './style.ts'
import { type Column, renderTable } from './table.ts'

export const OUTPUT_FORMATS = ['table', 'json', 'yaml'] as const
export type OutputFormat = (typeof OUTPUT_FORMATS)[number]

/** Writes data to the output: as it came for programs, or as `forPeople` says it. */
export async function show(host: CliHost, format: OutputFormat, data: unknown, forPeople: () => string): Promise<void> {
  switch (format) {
    case 'json':
      host.output.write(`${JSON.stringify(data, null, 2)}\n`)
      return
    case 'yaml': {
      const { stringify } = await import('yaml')
      host.output.write(stringify(data))
      return
    }
    case 'table':
      host.output.write(forPeople())
  }
}

/** {@link show} for a list; a table without rows is the sentence `empty`, said to the person. */
export async function showRows<Row>(
  host: CliHost,
  format: OutputFormat,
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  empty: string,
): Promise<void> {
  if (format === 'table' && rows.length === 0) {
    host.talk.write(`${empty}\n`)
    return
  }
  await show(host, format, rows, () => table(host, rows, columns))
}

/** A table for the host's output. */
export function table<Row>(host: CliHost, rows: readonly Row[], columns: readonly Column<Row>[]): string {
  const width = host.output.isTTY ? host.output.columns : undefined
  return renderTable(rows, columns, { width, style: styler(host.output, host.environment) })
}

/** Lines `name  value`, for one thing's facts; undefined values are left out. On a terminal long ones go on below themselves. */
export function facts(
  host: CliHost,
  pairs: readonly (readonly [name: string, value: string | number | undefined])[],
): string {
  const style = styler(host.output, host.environment)
  const known = pairs.filter(([, value]) => value !== undefined)
  const width = Math.max(...known.map(([name]) => name.length))
  const indent = width + 2
  const room = host.output.isTTY ? (host.output.columns ?? 0) - indent : 0
  return known
    .map(([name, value]) => {
      const lines = room < VALUE_WIDTH_MIN ? [String(value)] : wrapped(String(value), room)
      return `${style('bold', name.padEnd(width))}  ${lines.join(`\n${' '.repeat(indent)}`)}\n`
    })
    .join('')
}

/** In less room what is wrapped is harder to read than what runs over. */
const VALUE_WIDTH_MIN = 20

/** Broken between words; a word that is too long stays whole, so that it can be copied. */
function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && Array.from(last).length + 1 + Array.from(word).length <= width) {
      lines[lines.length - 1] = `${last} ${word}`
    } else lines.push(word)
  }
  return lines
}
