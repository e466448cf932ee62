import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { relativeTime, spanText } from '../../../src/cli/output/relative-time.ts'
import { plain, styler } from '../../../src/cli/output/style.ts'
import { renderTable } from '../../../src/cli/output/table.ts'

const noStyle = (_format: unknown, text: string): string => text

suite('table', () => {
  const columns = [
    { title: 'NAME', value: (row: { name: string; size?: number }) => row.name },
    { title: 'SIZE', value: (row: { name: string; size?: number }) => row.size, align: 'right' as const },
  ]

  test('columns are as wide as their widest cell, numbers to the right, nothing after the last', () => {
    const rows = [{ name: 'a', size: 5 }, { name: 'longer', size: 1234 }, { name: 'none' }]
    assert.equal(
      renderTable(rows, columns, { width: undefined, style: noStyle }),
      'NAME    SIZE\na          5\nlonger  1234\nnone       -\n',
    )
  })

  test('a narrow terminal cuts the widest column only', () => {
    const rows = [{ name: 'x'.repeat(50), size: 1 }]
    const lines = renderTable(rows, columns, { width: 20, style: noStyle }).split('\n')
    assert.equal(lines[1], `${'x'.repeat(13)}…     1`)
    assert.ok(lines.every((line) => line.length <= 20))
  })

  test('no terminal is so narrow that a column vanishes', () => {
    const lines = renderTable([{ name: 'abcdefgh', size: 1 }], columns, { width: 1, style: noStyle }).split('\n')
    assert.equal(lines[1], 'abcde…     1')
  })

  test('columns that may be are cut first, then optional ones are left out, names are cut inside', () => {
    const row = { name: 'worker-frankfurt-17', about: 'Sells all kinds of things', version: '3.0.0', state: 'alive' }
    const wide = [
      { title: 'NAME', value: ({ name }: typeof row) => name, widthMin: 12, isName: true },
      { title: 'STATE', value: ({ state }: typeof row) => state },
      { title: 'ABOUT', value: ({ about }: typeof row) => about, widthMin: 10, isOptional: true },
      { title: 'VERSION', value: ({ version }: typeof row) => version, isOptional: true },
    ]
    const at = (width: number): string => renderTable([row], wide, { width, style: noStyle }).split('\n')[1] as string
    assert.equal(at(80), 'worker-frankfurt-17  alive  Sells all kinds of things  3.0.0')
    assert.equal(at(50), 'worker-f…furt-17  alive  Sells all kinds…  3.0.0')
    assert.equal(at(35), 'worker…urt-17  alive  Sells all ki…')
    assert.equal(at(20), 'worker…urt-17  alive')
    assert.equal(at(15), 'work…-17  alive')
  })

  test('a cell never steers the terminal nor breaks its line', () => {
    const rows = [{ name: 'evil\u001b[2J\r\nname\u202e' }]
    const text = renderTable(rows, columns, { width: undefined, style: noStyle })
    assert.equal(text.split('\n')[1], 'evil\uFFFD[2J name\uFFFD     -')
  })
})

test('plain text keeps what is harmless', () => {
  assert.equal(plain('Zürich – 東京 ✓'), 'Zürich – 東京 ✓')
})

test('colours appear on a terminal only, and NO_COLOR and TERM=dumb turn them off', () => {
  const terminal = { write: () => {}, isTTY: true }
  assert.notEqual(styler(terminal, {})('red', 'x'), 'x')
  assert.equal(styler({ write: () => {} }, {})('red', 'x'), 'x')
  assert.equal(styler(terminal, { NO_COLOR: '1' })('red', 'x'), 'x')
  assert.equal(styler(terminal, { TERM: 'dumb' })('red', 'x'), 'x')
})

test('a moment is told from now, in its largest unit', () => {
  const now = 1_000_000_000_000
  assert.equal(relativeTime(now, now), 'now')
  assert.equal(relativeTime(now - 999, now), 'now')
  assert.equal(relativeTime(now - 1_000, now), '1 s ago')
  assert.equal(relativeTime(now - 58_700, now), '59 s ago')
  assert.equal(relativeTime(now + 599_000, now), 'in 10 min')
  assert.equal(relativeTime(now + 60_000, now), 'in 1 min')
  assert.equal(relativeTime(now - 3 * 3_600_000, now), '3 h ago')
  assert.equal(relativeTime(now + 29 * 86_400_000 + 5, now), 'in 29 d')
  assert.equal(spanText(400), '0 s')
})
