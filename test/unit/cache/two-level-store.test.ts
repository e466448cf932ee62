import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryStore } from '../../../src/cache/memory-store.ts'
import type { StoredText } from '../../../src/cache/store.ts'
import { type OnInvalidate, type SharedStore, TwoLevelStore } from '../../../src/cache/two-level-store.ts'
import { ManualClock } from './manual-clock.ts'

const HOUR_MS = 3_600_000

/** A second level that answers when the test says so. */
class StubShared implements SharedStore {
  readonly kind = 'redis'
  readonly reads: PromiseWithResolvers<StoredText | undefined>[] = []
  readonly written: string[] = []
  isReady = true

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  read(): Promise<StoredText | undefined> {
    const read = Promise.withResolvers<StoredText | undefined>()
    this.reads.push(read)
    return read.promise
  }
  async write(_address: string, text: string): Promise<void> {
    this.written.push(text)
  }
  async remove(): Promise<void> {}
  async removeAll(): Promise<void> {}
  size(): { entries: number; bytes: number } {
    return { entries: 0, bytes: 0 }
  }
  server(): { server: string; isReady: boolean } {
    return { server: 'stub', isReady: this.isReady }
  }
}

function twoLevels() {
  const clock = new ManualClock()
  const shared = new StubShared()
  let invalidate: OnInvalidate = () => {}
  const store = new TwoLevelStore(new MemoryStore(clock, { entriesMax: 100, bytesMax: 10_000 }), (onInvalidate) => {
    invalidate = onInvalidate
    return shared
  })
  /** Reads what the second level answers with, and lets something happen in between. */
  const read = async (answer: StoredText | undefined, meanwhile = () => {}): Promise<StoredText | undefined> => {
    const reading = store.read('a')
    const asked = shared.reads.shift()
    // The answer arrives, then the other event in the same packet, and only then does the reader go on.
    asked?.resolve(answer)
    meanwhile()
    return reading
  }
  return { clock, shared, store, read, invalidate: (address?: string) => invalidate(address) }
}

test('what was read is copied, and served without asking again', async () => {
  const { store, read, shared } = twoLevels()
  assert.equal((await read({ text: '1', ttlMs: HOUR_MS }))?.text, '1')
  assert.equal((await store.read('a'))?.text, '1')
  assert.equal(shared.reads.length, 0)
})

for (const [title, address] of [
  ['of the address', 'a'],
  ['of everything', undefined],
] as const) {
  test(`an invalidation ${title} ends the copy`, async () => {
    const { store, read, invalidate } = twoLevels()
    await read({ text: '1', ttlMs: HOUR_MS })
    invalidate('another')
    assert.equal(store.size().entries, 1)
    invalidate(address)
    assert.equal(store.size().entries, 0)
    assert.equal(await read(undefined), undefined)
  })

  test(`an invalidation ${title} that comes with the answer keeps it from being copied`, async () => {
    const { store, read, invalidate } = twoLevels()
    assert.equal((await read({ text: 'old', ttlMs: HOUR_MS }, () => invalidate(address)))?.text, 'old')
    assert.equal(store.size().entries, 0)
  })
}

for (const change of ['write', 'remove', 'removeAll'] as const) {
  test(`a ${change} of this node while a read is under way keeps the answer from being copied`, async () => {
    const { store, read } = twoLevels()
    let changed = Promise.resolve()
    await read({ text: 'old', ttlMs: HOUR_MS }, () => {
      changed = change === 'write' ? store.write('a', 'new', HOUR_MS) : store[change]('a')
    })
    await changed
    assert.equal(store.size().entries, 0)
  })
}

test('a copy lives no longer than the entry, nor than a minute', async () => {
  const { clock, store, read } = twoLevels()
  await read({ text: '1', ttlMs: 500 })
  clock.advance(501)
  assert.equal(store.size().entries, 0)
  await read({ text: '1', ttlMs: HOUR_MS })
  clock.advance(59_999)
  assert.equal(store.size().entries, 1)
  clock.advance(2)
  assert.equal(store.size().entries, 0)
})

test('a write goes to the second level only, and to memory while that is away', async () => {
  const { shared, store } = twoLevels()
  await store.write('a', '1', HOUR_MS)
  assert.equal(store.size().entries, 0)
  shared.isReady = false
  await store.write('a', '2', HOUR_MS)
  assert.deepEqual(shared.written, ['1', '2'], 'the second level must know what it owes')
  assert.equal((await store.read('a'))?.text, '2')
  await store.remove('a')
  assert.equal(await store.read('a'), undefined)
  assert.equal(shared.reads.length, 0, 'nothing is asked of what is away')
})
