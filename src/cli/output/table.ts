import { type Format, plain } from './style.ts'

/** One column of a table. */
export interface Column<Row> {
  title: string
  value(row: Row): string | number | undefined
  align?: 'right'
  /** It may be cut to so many characters before other columns suffer. */
  widthMin?: number
  /** On a narrow screen it is left out before others are cut further; the rightmost first. */
  isOptional?: boolean
  /** Cut inside: names often differ at their ends. */
  isName?: boolean
  style?(row: Row): Format | undefined
}

/** What columns of names have in common. */
export const NAME = { widthMin: 32, isName: true } as const
/** Less of a sentence or a list says nothing. */
export const TEXT_WIDTH_MIN = 16

const GAP = '  '
const WIDTH_MIN = 6

/**
 * Lines of text columns, a header first. With a width the lines fit into it: columns are cut ("…") to their `widthMin`, then optional
 * ones are left out, then the widest are cut further. Without one, in a pipe, everything is shown.
 */
export function renderTable<Row>(
  rows: readonly Row[],
  columns: readonly Column<Row>[],
  options: { width: number | undefined; style: (format: Format, text: string) => string },
): string {
  const { width } = options
  const all = columns.map((column) => {
    const cells = rows.map((row) => plain(String(column.value(row) ?? '-')))
    return { column, cells, width: Math.max(column.title.length, ...cells.map(lengthOf)) }
  })
  const shown = width === undefined ? all : fitting(all, width)

  const line = (texts: readonly string[], formatOf: (i: number) => Format | undefined): string =>
    texts
      .map((text, i) => {
        const cut = fit(text, shown[i] as Shown<Row>, i === shown.length - 1)
        const format = formatOf(i)
        return format === undefined ? cut : options.style(format, cut)
      })
      .join(GAP)
      .trimEnd()
  const header = line(
    shown.map(({ column }) => column.title),
    () => 'bold',
  )
  const body = rows.map((row, r) =>
    line(
      shown.map(({ cells }) => cells[r] as string),
      (i) => shown[i]?.column.style?.(row),
    ),
  )
  return [header, ...body].map((text) => `${text}\n`).join('')
}

interface Shown<Row> {
  column: Column<Row>
  cells: readonly string[]
  width: number
}

/** What is shown of the columns on so wide a screen. */
function fitting<Row>(all: readonly Shown<Row>[], screen: number): Shown<Row>[] {
  const least = ({ column, width }: Shown<Row>): number => Math.min(width, column.widthMin ?? width)
  const shown = [...all]
  const room = (): number => screen - GAP.length * (shown.length - 1)
  while (sum(shown.map(least)) > room()) {
    const optional = shown.findLastIndex(({ column }) => column.isOptional)
    if (optional === -1) break
    shown.splice(optional, 1)
  }
  const gently = shrunk(shown, room(), least)
  return shrunk(gently, room(), () => WIDTH_MIN)
}

/** The widest is cut first. */
function shrunk<Row>(shown: readonly Shown<Row>[], room: number, least: (one: Shown<Row>) => number): Shown<Row>[] {
  const leasts = shown.map(least)
  const widths = shown.map(({ width }) => width)
  for (let excess = sum(widths) - room; excess > 0; excess--) {
    const cuttable = widths.map((width, i) => (width > (leasts[i] as number) ? width : 0))
    const widest = cuttable.indexOf(Math.max(...cuttable))
    if (cuttable[widest] === 0) break
    widths[widest] = (widths[widest] as number) - 1
  }
  return shown.map((one, i) => ({ ...one, width: widths[i] as number }))
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0)
}

function fit<Row>(text: string, { column, width }: Shown<Row>, isLast: boolean): string {
  const characters = Array.from(text)
  const { length } = characters
  if (length > width) {
    const end = column.isName ? Math.floor((width - 1) / 2) : 0
    return `${characters.slice(0, width - 1 - end).join('')}…${characters.slice(length - end).join('')}`
  }
  if (column.align === 'right') return ' '.repeat(width - length) + text
  return isLast ? text : text + ' '.repeat(width - length)
}

/** Code points: exact for Latin, near enough for the rest. */
function lengthOf(text: string): number {
  return Array.from(text).length
}
