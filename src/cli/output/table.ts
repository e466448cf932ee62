import { type Format, plain } from './style.ts'

/** One column of a table. */
export interface Column<Row> {
  title: string
  value(row: Row): string | number | undefined
  align?: 'right'
  style?(row: Row): Format | undefined
}

const GAP = '  '
const WIDTH_MIN = 6

/**
 * Lines of text columns, a header first. With a width the widest columns are cut ("…") until the lines fit;
 * without one, in a pipe, everything is shown.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: { width: number | undefined; style: (format: Format, text: string) => string },
): string {
  const cells = rows.map((row) => columns.map((column) => plain(String(column.value(row) ?? '-'))))
  const widths = columns.map((column, i) =>
    Math.max(column.title.length, ...cells.map((line) => lengthOf(line[i] as string))),
  )
  if (options.width !== undefined) shrink(widths, options.width - GAP.length * (columns.length - 1))

  const line = (texts: readonly string[], formatOf: (i: number) => Format | undefined): string =>
    texts
      .map((text, i) => {
        const isLast = i === columns.length - 1
        const cut = fit(text, widths[i] as number, columns[i]?.align === 'right', isLast)
        const format = formatOf(i)
        return format === undefined ? cut : options.style(format, cut)
      })
      .join(GAP)
      .trimEnd()
  const header = line(
    columns.map((column) => column.title),
    () => 'bold',
  )
  const body = rows.map((row, r) => line(cells[r] as string[], (i) => columns[i]?.style?.(row)))
  return [header, ...body].map((text) => `${text}\n`).join('')
}

function shrink(widths: number[], room: number): void {
  for (let excess = widths.reduce((sum, width) => sum + width, 0) - room; excess > 0; excess--) {
    const widest = widths.indexOf(Math.max(...widths))
    if ((widths[widest] as number) <= WIDTH_MIN) return
    widths[widest] = (widths[widest] as number) - 1
  }
}

function fit(text: string, width: number, isRight: boolean, isLast: boolean): string {
  const length = lengthOf(text)
  if (length > width)
    return `${Array.from(text)
      .slice(0, width - 1)
      .join('')}…`
  if (isRight) return ' '.repeat(width - length) + text
  return isLast ? text : text + ' '.repeat(width - length)
}

/** Code points: exact for Latin, near enough for the rest. */
function lengthOf(text: string): number {
  return Array.from(text).length
}
