import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../../src/base/log.ts'
import { systemClock } from '../../../../src/platform/index.ts'
import { type FeedMessage, SharedFeed } from '../../../../src/service/http/websocket/shared-feed.ts'
import { TextMessage } from '../../../../src/service/http/websocket/text-message.ts'

/** A feed of numbers, which are their own cursors, given as the test gives them. */
function startFeed() {
  const groups: (readonly number[])[] = []
  let wake: () => void = () => {}
  const feed = new SharedFeed<number, string>({
    clock: systemClock,
    log: silentLogger,
    source: {
      name: 'numbers',
      async *subscribe(_filter, { signal }) {
        signal.addEventListener('abort', () => wake())
        while (!signal.aborted) {
          const group = groups.shift()
          if (group) yield group
          else await new Promise<void>((resolve) => (wake = resolve))
        }
      },
      cursorOf: (item) => item,
      messagesOf: (group) => [
        { message: new TextMessage(group.join()), count: group.length, cursor: group.at(-1) ?? 0 },
      ],
    },
  })
  const give = (...group: number[]): void => {
    groups.push(group)
    wake()
  }
  return { feed, give }
}

/** A reader and what it got. */
function reader(onMessage: (message: FeedMessage) => void = () => {}) {
  const cursors: number[] = []
  const ending = new AbortController()
  const { promise: got, resolve } = Promise.withResolvers<void>()
  const target = {
    deliver(message: FeedMessage) {
      cursors.push(message.cursor)
      onMessage(message)
      resolve()
    },
    drained: () => Promise.resolve(),
    failed: () => assert.fail('the feed can be read'),
  }
  return { target, cursors, got, ending }
}

test('while many are written to, other things have their turn; each gets everything once', async (t) => {
  const { feed, give } = startFeed()
  let given = 0
  /** How many had been written to when something else had its turn. */
  const turns: number[] = []
  const readers = Array.from({ length: 100 }, () =>
    reader(() => {
      if (given++ === 0) setImmediate(() => turns.push(given))
    }),
  )
  t.after(() => readers.forEach(({ ending }) => ending.abort()))
  for (const { target, ending } of readers) feed.follow('', target, { after: 0, signal: ending.signal })
  give(1, 2)
  await Promise.all(readers.map(({ got }) => got))
  assert.equal(given, 100)
  assert.ok((turns[0] ?? given) < 100, `${turns[0]} were written to before anything else had its turn`)
  assert.ok(readers.every(({ cursors }) => cursors.join() === '2'))
})

test('who goes while others are written to gets nothing more, and who comes then gets what follows, once', async (t) => {
  const { feed, give } = startFeed()
  const late = reader()
  const last = reader()
  const readers = Array.from({ length: 40 }, (_, index) =>
    reader(({ cursor }) => {
      if (index > 0 || cursor > 2) return
      last.ending.abort()
      feed.follow('', late.target, { after: 2, signal: late.ending.signal })
    }),
  )
  const everybody = [...readers, last, late]
  t.after(() => everybody.forEach(({ ending }) => ending.abort()))
  for (const { target, ending } of [...readers, last]) feed.follow('', target, { after: 0, signal: ending.signal })
  give(1, 2)
  await Promise.all(readers.map(({ got }) => got))
  give(3)
  await late.got
  assert.deepEqual(last.cursors, [])
  assert.deepEqual(late.cursors, [3])
  assert.ok(readers.every(({ cursors }) => cursors.join() === '2,3'))
})
