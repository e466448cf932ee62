import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { LogLine } from '../../../../src/base/log-line.ts'
import { LiveWindow } from '../../../../src/telemetry/logs/live-window.ts'

function lines(from: number, to: number, message = 'x'): LogLine[] {
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    cursor: from + i,
    nodeId: 'w1',
    seq: from + i,
    timeMs: 0,
    receivedMs: 0,
    clockOffsetMs: 0,
    level: 'INFO',
    logger: 'Test',
    message,
    fieldsJson: '{}',
    traceId: '',
  }))
}

const LIMITS = { linesMin: 10, linesMax: 50, charactersMax: 1_000 }

/** Cursors of the lines that a reader at `cursor` gets; undefined: not from here. */
function after(window: LiveWindow, cursor: number, limit = 1_000): number[] | undefined {
  return window.after(cursor, limit)?.map((line) => line.cursor)
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('the live window', () => {
  test('keeps so many of the latest lines for whoever comes, and no more while nobody needs them', () => {
    const window = new LiveWindow(LIMITS)
    for (let first = 1; first <= 40; first += 4) window.add(lines(first, first + 3), [first - 1])
    window.add(lines(41, 44), [])
    assert.deepEqual(after(window, 34), range(35, 44))
    assert.equal(after(window, 33), undefined)
    assert.deepEqual(after(window, 40, 2), [41, 42])
    assert.deepEqual(after(window, 44), [])
  })

  test('keeps what a reader is on its way through, up to its bound; then the reader is on its own', () => {
    const window = new LiveWindow(LIMITS)
    window.add(lines(1, 20), [0])
    window.add(lines(21, 40), [3, 20])
    assert.deepEqual(after(window, 3), range(4, 40))
    assert.equal(after(window, 2), undefined)
    window.add(lines(41, 60), [3, 40])
    assert.deepEqual(after(window, 10), range(11, 60), 'the bound')
    assert.equal(after(window, 9), undefined)
    // Lines it would need are gone: it holds up nothing any more.
    window.add(lines(61, 62), [3, 60])
    assert.deepEqual(after(window, 52), range(53, 62))
    assert.equal(after(window, 51), undefined)
  })

  test('large lines are bounded by their characters', () => {
    const window = new LiveWindow(LIMITS)
    window.add(lines(1, 12, 'y'.repeat(198)), [0])
    assert.deepEqual(after(window, 7), range(8, 12))
    assert.equal(after(window, 6), undefined)
  })

  test('is empty at first and when it was cleared', () => {
    const window = new LiveWindow(LIMITS)
    assert.equal(after(window, 0), undefined)
    window.add(lines(1, 5), [])
    window.clear()
    assert.equal(after(window, 4), undefined)
    window.add(lines(9, 12), [8])
    assert.deepEqual(after(window, 8), range(9, 12))
  })
})
