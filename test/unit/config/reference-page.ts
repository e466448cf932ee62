import { readFileSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { describeKeys } from '../../../src/config/index.ts'
import { REMOVED_KEYS } from '../../../src/config/removed-keys.ts'

const PAGE = resolve(import.meta.dirname, '../../../docs/configuration.md')

/** docs/configuration.md as it is, and as the schema says it should be: only what stands between the marks differs. */
export function referencePage(): { written: string; expected: string } {
  const written = readFileSync(PAGE, 'utf8')
  const expected = withBlock(withBlock(written, 'keys', keysTable()), 'removed', removedTable())
  return { written, expected }
}

function withBlock(page: string, name: string, block: string): string {
  const [begin, end] = [`<!-- begin ${name} -->\n`, `<!-- end ${name} -->`]
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from < 0 || to < from) throw new Error(`docs/configuration.md has no place for "${name}"`)
  return page.slice(0, from + begin.length) + block + page.slice(to)
}

function keysTable(): string {
  const rows = describeKeys().map(({ key, value, default: fallback, description }) => {
    const shown = fallback.includes('`') || fallback.includes(' ') ? fallback : `\`${fallback}\``
    return [`\`${key}\``, value, shown, description]
  })
  return tableOf(['Key', 'Value', 'Default', 'What it does'], rows)
}

function removedTable(): string {
  const rows = Object.entries(REMOVED_KEYS).map(([key, reason]) => [`\`${key}\``, reason])
  return tableOf(['Key', 'Why, and what to do instead'], rows)
}

function tableOf(head: string[], rows: string[][]): string {
  const line = (cells: string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`
  return line(head) + line(head.map(() => '---')) + rows.map(line).join('')
}

// Run by itself it writes the page.
if (import.meta.main) writeFileSync(PAGE, referencePage().expected)
