import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test, type TestContext } from 'node:test'
import fc from 'fast-check'
import { codeOf, StorageError } from '../../../../src/base/errors.ts'
import type { LogFilter, LogLine, LogReader } from '../../../../src/base/log-line.ts'
import { systemClock, systemFiles } from '../../../../src/platform/index.ts'
import {
  createLogStore,
  type LogStoreOptions,
  type OpenThread,
  storeThreads,
} from '../../../../src/telemetry/coordinator/index.ts'
import { lineMatcher, type LogStore, type ReceivedBatch } from '../../../../src/telemetry/index.ts'
import { RememberingLogger } from './support.ts'

const EPOCH = '00000000000000aa'
const DAY_MS = 86_400_000
const THREADS = storeThreads(new URL('../../../../src/telemetry/logs/thread/main.ts', import.meta.url))

/** The real threads; each is asked once `before` has had its say: what it throws is the answer. */
function threadsAskedAfter(before: (type: string) => Promise<void>): OpenThread {
  return (kind) => {
    const thread = THREADS(kind)
    const ask = thread.ask.bind(thread) as (type: string, request: unknown) => Promise<never>
    return {
      get pending() {
        return thread.pending
      },
      end: () => thread.end(),
      ask: (type: string, request: unknown) => before(type).then(() => ask(type, request)),
    }
  }
}

function folder(t: TestContext): string {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-log-store-'))
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  return join(directory, 'logs')
}

async function openStore(
  t: TestContext,
  options: Partial<LogStoreOptions> & { openThread?: OpenThread; log?: RememberingLogger; nowMs?: () => number } = {},
): Promise<LogStore> {
  const { openThread = THREADS, log = new RememberingLogger(), nowMs = () => 1_770_000_000_000, ...rest } = options
  const clock = { ...systemClock, wallMs: nowMs }
  const store = createLogStore(
    { clock, files: systemFiles, log, openThread },
    { directory: folder(t), retentionMs: 30 * DAY_MS, bytesMax: 2 ** 30, ...rest },
  )
  await store.start(new AbortController().signal)
  t.after(() => store.stop())
  return store
}

function batch(
  first: number,
  messages: readonly (string | object)[],
  more: Partial<ReceivedBatch> = {},
): ReceivedBatch {
  const lines = messages.map((message) => {
    const line = typeof message === 'string' ? { message } : message
    return { timestamp: 1_770_000_000_000, level: 'INFO', logger_name: 'Test', ...line }
  })
  return { epoch: EPOCH, first, lost: 0, sentAtMs: 1_770_000_000_000, lines, ...more }
}

const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from + 1 }, (_, i) => `line ${from + i}`)

/** All lines that match, oldest first. */
async function all(store: LogReader, filter: LogFilter = {}): Promise<LogLine[]> {
  const lines: LogLine[] = []
  let before: number | undefined
  for (;;) {
    const page = await store.query(filter, { limit: 500, before })
    if (page.lines.length === 0) return lines.toReversed()
    lines.push(...page.lines)
    before = page.lines.at(-1)?.cursor
  }
}

const messagesOf = (lines: readonly LogLine[]): string[] => lines.map(({ message }) => message)

async function take(groups: AsyncIterable<readonly LogLine[]>, count: number): Promise<LogLine[]> {
  const lines: LogLine[] = []
  for await (const group of groups) {
    lines.push(...group)
    if (lines.length >= count) break
  }
  return lines
}

describe('the log store', () => {
  test('keeps each line once, in the order of its node, whatever is sent again', async (t) => {
    const store = await openStore(t)
    assert.deepEqual(await store.add('w1', batch(1, range(1, 5))), { added: 5, total: 5 })
    assert.deepEqual(await store.add('w1', batch(1, range(1, 5))), { added: 0, total: 5 })
    assert.deepEqual(await store.add('w1', batch(4, range(4, 8))), { added: 3, total: 8 })
    assert.deepEqual(await store.add('w2', batch(1, ['other'])), { added: 1, total: 1 })
    const lines = await all(store, { nodeId: 'w1' })
    assert.deepEqual(messagesOf(lines), range(1, 8))
    assert.deepEqual(
      lines.map(({ seq }) => seq),
      [1, 2, 3, 4, 5, 6, 7, 8],
    )
    assert.equal(store.stats().duplicates, 7)
  })

  test('batches of many nodes at once, some twice: all of it once', async (t) => {
    const store = await openStore(t)
    const nodes = Array.from({ length: 20 }, (_, i) => `w${i}`)
    await Promise.all(
      nodes.flatMap((node) => [1, 51, 51, 101].map((first) => store.add(node, batch(first, range(first, first + 49))))),
    )
    for (const node of nodes) assert.deepEqual(messagesOf(await all(store, { nodeId: node })), range(1, 150))
    assert.equal((await all(store)).length, 3_000)
  })

  test('knows after a restart what it has, and gives no cursor twice', async (t) => {
    const directory = folder(t)
    const first = await openStore(t, { directory })
    await first.add('w1', batch(1, range(1, 3)))
    const cursors = (await all(first)).map(({ cursor }) => cursor)
    assert.equal(await first.clear(), 3)
    await first.stop()
    const second = await openStore(t, { directory })
    await second.add('w1', batch(2, range(2, 4)))
    const lines = await all(second)
    assert.deepEqual(messagesOf(lines), ['line 4'], 'what was cleared does not come back')
    assert.ok((lines[0]?.cursor ?? 0) > Math.max(...cursors))
  })

  test('shows a gap where the node lost lines, but not for lines it only thinks it lost', async (t) => {
    const store = await openStore(t)
    await store.add('w1', batch(1, range(1, 2)))
    await store.add('w1', batch(103, ['after'], { lost: 100 }))
    await store.add('w1', batch(103, ['after'], { lost: 100 }))
    await store.add('w1', batch(104, ['new run'], { lost: 50, epoch: '00000000000000bb' }))
    assert.deepEqual(messagesOf(await all(store)), [
      'line 1',
      'line 2',
      '100 lines are missing here: the node lost them',
      'after',
      'new run',
    ])
    assert.equal(store.stats().lost, 100)
  })

  test('takes a new run of a node from its first line, and forgets runs only when many have followed', async (t) => {
    const store = await openStore(t)
    for (let run = 0; run < 30; run++) {
      const epoch = run.toString(16).padStart(16, '0')
      await store.add('w1', batch(1, [`run ${run}`], { epoch }))
      await store.add('w1', batch(1, [`run ${run}`], { epoch }))
    }
    assert.deepEqual(
      messagesOf(await all(store)),
      Array.from({ length: 30 }, (_, run) => `run ${run}`),
    )
  })

  test('filters by node, level and above, part of the logger, words, and time', async (t) => {
    const store = await openStore(t)
    const at = (ms: number): number => 1_770_000_000_000 - 3_600_000 + ms
    await store.add(
      'w1',
      batch(1, [
        { message: 'Connection refused by edge-17', level: 'ERROR', logger_name: 'Service.Net', timestamp: at(0) },
        {
          message: 'Member joined',
          level: 'INFO',
          logger_name: 'Gossip',
          timestamp: at(60_000),
          fields: '{"nodeId":"edge-17"}',
        },
        { message: 'Tick', level: 'DEBUG', logger_name: 'gossip.clock', timestamp: at(120_000) },
      ]),
    )
    await store.add('w2', batch(1, [{ message: 'Disk full', level: 'CRITICAL', timestamp: at(180_000) }]))
    const found = async (filter: LogFilter): Promise<string[]> => messagesOf(await all(store, filter))
    assert.deepEqual(await found({ level: 'WARNING' }), ['Connection refused by edge-17', 'Disk full'])
    assert.deepEqual(await found({ level: 'ERROR', nodeId: 'w1' }), ['Connection refused by edge-17'])
    assert.deepEqual(await found({ logger: 'GOSSIP' }), ['Member joined', 'Tick'])
    assert.deepEqual(await found({ search: 'edge-17' }), ['Connection refused by edge-17', 'Member joined'])
    assert.deepEqual(await found({ search: 'refus EDGE-1' }), ['Connection refused by edge-17'])
    assert.deepEqual(await found({ search: 'efused' }), [], 'the middle of a word is no word')
    assert.deepEqual(await found({ search: 'NOT ( " * full' }), [], 'nothing typed is an operator')
    assert.deepEqual(await found({ search: '"(*' }), [
      'Connection refused by edge-17',
      'Member joined',
      'Tick',
      'Disk full',
    ])
    assert.deepEqual(await found({ sinceMs: at(60_000), untilMs: at(120_000) }), ['Member joined', 'Tick'])
    assert.deepEqual(await found({ sinceMs: at(500_000) }), [])
    assert.deepEqual(await found({ nodeId: 'nobody' }), [])
    assert.deepEqual(await store.sources(), {
      nodes: ['w1', 'w2'],
      loggers: ['Gossip', 'Service.Net', 'Test', 'gossip.clock'],
    })
    assert.deepEqual((await store.sources('w2')).loggers, ['Test'])
  })

  test('finds by its index what a look at every line finds', async (t) => {
    const store = await openStore(t)
    const word = fc.constantFrom(
      'refused',
      'Refuse',
      'edge-17',
      'edge_17',
      'ÄRGER',
      'ärger',
      'b2',
      'x',
      '日本',
      '…',
      'a.b',
      '17',
    )
    const text = fc.array(word, { minLength: 1, maxLength: 5 }).map((words) => words.join(' '))
    const texts = fc.sample(text, { numRuns: 6_000, seed: 3 })
    for (let first = 0; first < texts.length; first += 1_500) {
      await store.add('w1', batch(first + 1, texts.slice(first, first + 1_500)))
    }
    const lines = await all(store)
    // The index is brought up to date by itself once enough lines are new; both ways must have been asked.
    const searches = ['refuse', 'edge', 'edge-17', 'Ärger', 'b2 x', '日本', '…', 'a', '17 refused', 'edge 17', 'x x']
    for (const search of searches) {
      const expected = lines.filter(lineMatcher({ search })).length
      for (let round = 0; round < 2; round++) assert.equal((await all(store, { search })).length, expected, search)
    }
  })

  test('finds the lines of a call on all nodes, whether they are in the index yet or not', async (t) => {
    const store = await openStore(t)
    const trace = (n: number): string => n.toString(16).padStart(32, '0')
    const lines = Array.from({ length: 1_500 }, (_, i) => ({ message: `line ${i}`, trace_id: trace(i) }))
    for (let first = 1; first <= 6_000; first += 1_500) await store.add('w1', batch(first, lines))
    await store.add('w2', batch(1, [{ message: 'there', trace_id: trace(7) }, { message: trace(7) }, 'elsewhere']))
    const followed = take(store.subscribe({ traceId: trace(7) }, { after: 0, signal: AbortSignal.timeout(60_000) }), 5)
    for (let round = 0; round < 2; round++) {
      const found = await all(store, { traceId: trace(7) })
      assert.deepEqual(messagesOf(found), ['line 7', 'line 7', 'line 7', 'line 7', 'there'])
      assert.deepEqual(messagesOf(await all(store, { traceId: trace(7), nodeId: 'w2' })), ['there'])
      assert.deepEqual(messagesOf(await all(store, { traceId: trace(7), search: 'the' })), ['there'])
      assert.equal((await store.query({ traceId: trace(9_999) }, { limit: 1 })).total, 0)
    }
    assert.deepEqual(messagesOf(await followed), ['line 7', 'line 7', 'line 7', 'line 7', 'there'])
  })

  test('pages by cursor stay as they are while lines come', async (t) => {
    const store = await openStore(t)
    await store.add('w1', batch(1, range(1, 10)))
    const first = await store.query({}, { limit: 4 })
    assert.deepEqual([first.total, first.latest], [10, 10])
    await store.add('w1', batch(11, range(11, 20)))
    const second = await store.query({}, { limit: 4, before: first.lines.at(-1)?.cursor })
    assert.deepEqual(messagesOf(second.lines), ['line 6', 'line 5', 'line 4', 'line 3'])
    assert.deepEqual(messagesOf((await store.query({}, { limit: 2, offset: 3 })).lines), ['line 17', 'line 16'])
  })

  test('makes hostile lines safe and keeps their place', async (t) => {
    const store = await openStore(t)
    await store.add(
      'w1',
      batch(1, [
        {
          message: 'a\u001b[2J\nb\u202e\ud800',
          level: 'LOUD',
          logger_name: 'x\ny',
          timestamp: 'soon',
          fields: '{"__proto__":{"a":1}}',
        },
        { message: 7, logger_name: null, fields: '{"a":' },
        { message: 'z'.repeat(2 ** 20), fields: `{"a":"${'y'.repeat(2 ** 20)}"}` },
        { message: 'ok', node_id: 'somebody-else', fields: '[1]', trace_id: 'x' },
      ]),
    )
    await store.add('w1', { ...batch(5, []), lines: [null, 'text', 3, []] })
    const lines = await all(store)
    assert.equal(lines.length, 8)
    assert.ok(lines.every(({ nodeId }) => nodeId === 'w1'))
    const [first, second, third, fourth] = lines as [LogLine, LogLine, LogLine, LogLine]
    assert.equal(first.message, 'a\\u001b[2J\\u000ab\\u202e\\ud800')
    assert.deepEqual([first.level, first.logger, first.timeMs], ['WARNING', 'x\\u000ay', 1_770_000_000_000])
    assert.equal(second.message, '[no text]')
    assert.ok(third.message.length < 20_000)
    assert.match(third.message, /… \[\d+ more characters\]$/)
    assert.match(third.fieldsJson, /left out/)
    assert.deepEqual([fourth.fieldsJson, fourth.traceId], ['{"…":"[fields that are no JSON object]"}', ''])
    for (const line of lines) JSON.parse(line.fieldsJson)
  })

  test('clocks that are years off are corrected, and the times that cannot be true replaced', async (t) => {
    const now = 1_770_000_000_000
    const store = await openStore(t, { nowMs: () => now })
    const year = 365 * DAY_MS
    const lines = [{ message: 'a', timestamp: now - 10 * year - 5_000 }]
    await store.add('slow', batch(1, lines, { sentAtMs: now - 10 * year }))
    await store.add('right', batch(1, [{ message: 'b', timestamp: now - 60_000 }], { sentAtMs: now - 900 }))
    await store.add(
      'mended',
      batch(1, [
        { message: 'c', timestamp: 0 },
        { message: 'd', timestamp: now + year },
      ]),
    )
    const found = await all(store)
    assert.deepEqual(
      found.map(({ message, timeMs, clockOffsetMs }) => [message, now - timeMs, clockOffsetMs]),
      [
        ['a', 5_000, 10 * year],
        ['b', 60_000, 0],
        ['c', 0, now],
        ['d', 0, -year],
      ],
    )
  })

  test('removes lines for their age', async (t) => {
    const directory = folder(t)
    let now = 1_770_000_000_000
    const first = await openStore(t, { directory, nowMs: () => now })
    await first.add('w1', batch(1, range(1, 5_000).slice(0, 2_000)))
    now += 20 * DAY_MS
    await first.add('w1', batch(2_001, ['young'], { sentAtMs: now }))
    await first.stop()
    now += 11 * DAY_MS
    const second = await openStore(t, { directory, nowMs: () => now })
    // One after the other in the same thread: what is asked now is answered after the removal, if that has begun.
    while (second.stats().total > 1) await second.query({}, { limit: 1 })
    assert.deepEqual(messagesOf(await all(second)), ['young'])
  })

  test('in a full store the node with the most loses its oldest lines; a quiet one keeps all', async (t) => {
    const store = await openStore(t, { bytesMax: 3 * 2 ** 20 })
    await store.add('quiet', batch(1, range(1, 20)))
    const text = 'x'.repeat(900)
    for (let first = 1; first <= 12_000; first += 500) {
      await store.add(
        'loud',
        batch(
          first,
          range(first, first + 499).map((line) => `${line} ${text}`),
        ),
      )
    }
    assert.deepEqual(messagesOf(await all(store, { nodeId: 'quiet' })), range(1, 20))
    const loud = await all(store, { nodeId: 'loud' })
    assert.ok(loud.length < 4_000, String(loud.length))
    assert.ok(loud.at(-1)?.message.startsWith('line 12000 '))
    assert.equal(store.stats().nodes['loud'], loud.length)
    await store.stop()
  })

  test('a subscriber gets every line once and in order, also one that begins in the past', async (t) => {
    const store = await openStore(t)
    await store.add('w1', batch(1, range(1, 5)))
    const { signal } = new AbortController()
    const live = take(store.subscribe({}, { signal }), 10)
    const past = take(store.subscribe({}, { signal, after: 2 }), 13)
    const some = take(store.subscribe({ search: 'line 1', nodeId: 'w1' }, { signal, after: 0 }), 7)
    await store.add('w1', batch(6, range(6, 10)))
    await store.add('w2', batch(1, ['other']))
    await store.add('w1', batch(11, range(11, 15)))
    assert.deepEqual(
      messagesOf(await live),
      [...range(6, 10), 'other', ...range(11, 14)].slice(0, 10).concat(['line 15']),
    )
    assert.deepEqual(messagesOf(await past), [...range(3, 10), 'other', ...range(11, 15)])
    assert.deepEqual(messagesOf(await some), [
      'line 1',
      'line 10',
      'line 11',
      'line 12',
      'line 13',
      'line 14',
      'line 15',
    ])
  })

  test('a slow subscriber is served from disk, and misses nothing', async (t) => {
    const store = await openStore(t)
    const { signal } = new AbortController()
    const groups = store.subscribe({}, { signal })[Symbol.asyncIterator]()
    await store.add('w1', batch(1, range(1, 2_000)))
    const seen = messagesOf((await groups.next()).value ?? [])
    // Far beyond what is kept in memory.
    for (let first = 2_001; first <= 16_000; first += 2_000)
      await store.add('w1', batch(first, range(first, first + 1_999)))
    while (seen.length < 16_000) seen.push(...messagesOf((await groups.next()).value ?? []))
    assert.deepEqual(seen, range(1, 16_000))
    await groups.return?.()
    assert.equal(store.stats().subscribers, 0)
  })

  test('who is a few thousand lines behind needs no disk for them, however far others are', async (t) => {
    const asked: string[] = []
    const openThread = threadsAskedAfter(async (type) => void asked.push(type))
    const store = await openStore(t, { openThread })
    const { signal } = new AbortController()
    const quick = take(store.subscribe({}, { signal }), 6_100)
    const slow = store.subscribe({}, { signal })[Symbol.asyncIterator]()
    const begun = slow.next()
    await store.add('w1', batch(1, range(1, 100)))
    const seen = messagesOf((await begun).value ?? [])
    for (let first = 101; first <= 6_100; first += 1_000) {
      await store.add('w1', batch(first, range(first, first + 999)))
    }
    assert.deepEqual(messagesOf(await quick), range(1, 6_100))
    while (seen.length < 6_100) seen.push(...messagesOf((await slow.next()).value ?? []))
    assert.deepEqual(seen, range(1, 6_100))
    assert.ok(!asked.includes('after'), 'lines were read back')
    await slow.return?.()
    // What nobody was on the way through any more is there for those who ask the disk.
    await store.add('w1', batch(6_101, ['last']))
    const past = take(store.subscribe({}, { signal, after: 5 }), 6_096)
    assert.deepEqual(messagesOf(await past), [...range(6, 6_100), 'last'])
    assert.ok(asked.includes('after'))
  })

  test('a subscription ends with its signal and with the store', async (t) => {
    const store = await openStore(t)
    const ending = new AbortController()
    const first = take(store.subscribe({}, { signal: ending.signal }), 1)
    const second = take(store.subscribe({}, { signal: new AbortController().signal }), 1)
    ending.abort()
    assert.deepEqual(await first, [])
    await store.stop()
    assert.deepEqual(await second, [])
    await assert.rejects(store.add('w1', batch(1, ['late'])), (error) => codeOf(error) === 'P2P_STORAGE_CLOSED')
  })

  test('a full disk stores nothing, is said once, and lines are taken again when there is room', async (t) => {
    let isFull = false
    const openThread = threadsAskedAfter(async (type) => {
      if (isFull && type === 'commit') throw new StorageError('P2P_STORAGE_FULL', 'database or disk is full')
    })
    const log = new RememberingLogger()
    const store = await openStore(t, { openThread, log })
    await store.add('w1', batch(1, ['before']))
    isFull = true
    for (let i = 0; i < 3; i++) {
      await assert.rejects(store.add('w1', batch(2, ['kept'])), (error) => codeOf(error) === 'P2P_STORAGE_FULL')
    }
    assert.equal(store.stats().isFailing, true)
    isFull = false
    assert.deepEqual(await store.add('w1', batch(2, ['kept'])), { added: 1, total: 2 })
    assert.deepEqual(messagesOf(await all(store)), ['before', 'kept'])
    assert.deepEqual(log.lines, [
      'ERROR The log store takes no lines; nodes keep theirs until it does',
      'INFO The log store works again',
    ])
  })

  test('a damaged file is put aside and a new one begun', async (t) => {
    const directory = folder(t)
    const first = await openStore(t, { directory })
    await first.add('w1', batch(1, ['old']))
    await first.stop()
    const path = join(directory, 'lines.db')
    writeFileSync(path, Buffer.alloc(statSync(path).size, 7))
    const log = new RememberingLogger()
    const second = await openStore(t, { directory, log })
    await second.add('w1', batch(2, ['new']))
    assert.deepEqual(messagesOf(await all(second)), ['new'])
    assert.match(log.lines.join(), /CRITICAL The log store was damaged: it was put aside/)
    assert.ok(readdirSync(directory).some((name) => name.startsWith('lines.db.damaged-')))
  })

  test('a damaged index is made anew', async (t) => {
    const directory = folder(t)
    const first = await openStore(t, { directory })
    await first.add('w1', batch(1, range(1, 6_000).slice(0, 2_000)))
    await first.query({ search: 'line' }, { limit: 1 })
    await first.stop()
    truncateSync(join(directory, 'words.db'), 5_000)
    const second = await openStore(t, { directory })
    assert.equal((await second.query({ search: '1999' }, { limit: 10 })).lines.length, 1)
  })

  test('its files are for their owner only', { skip: process.platform === 'win32' }, async (t) => {
    const directory = folder(t)
    const store = await openStore(t, { directory })
    await store.add('w1', batch(1, ['secret']))
    await store.query({ search: 'secret' }, { limit: 1 })
    for (const name of readdirSync(directory)) assert.equal(statSync(join(directory, name)).mode & 0o077, 0, name)
    assert.equal(statSync(directory).mode & 0o077, 0)
  })

  test('a store that cannot be opened keeps nobody from starting', async (t) => {
    const directory = folder(t)
    writeFileSync(directory, 'a file where the folder should be')
    const log = new RememberingLogger()
    const store = await openStore(t, { directory, log })
    await assert.rejects(store.add('w1', batch(1, ['a'])))
    await assert.rejects(store.query({}, { limit: 1 }))
    assert.deepEqual(log.lines, ['ERROR The log store takes no lines; nodes keep theirs until it does'])
  })
})
