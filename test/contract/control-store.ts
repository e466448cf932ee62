import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type ChangeEvent,
  type ControlStore,
  getJson,
  jsonValue,
  type Operation,
  put,
} from '../../src/base/control-store.ts'
import { codeOf } from '../../src/base/errors.ts'

export interface ControlStoreUnderTest {
  /** Empty, at whatever revision. */
  store: ControlStore
  /** Lets time pass for the store's leases, and what follows from it happen. */
  passTime: (ms: number) => Promise<void>
  close: () => Promise<void>
}

/** What every {@link ControlStore} does, whatever it is made of. */
export function controlStoreSuite(name: string, make: () => Promise<ControlStoreUnderTest>): void {
  const check = (title: string, run: (store: ControlStore, parts: ControlStoreUnderTest) => Promise<void>): void => {
    test(title, async () => {
      const parts = await make()
      try {
        await run(parts.store, parts)
      } finally {
        await parts.close()
      }
    })
  }

  describe(`${name} as a control store`, () => {
    check('gives back what was put, with its revisions and version', async (store) => {
      const first = await put(store, 'pki/issued/01', bytes('one'))
      const second = await put(store, 'pki/issued/01', bytes('two'))
      assert.equal(second, first + 1)
      assert.equal(store.revision, second)
      const entry = await store.get('pki/issued/01')
      assert.deepEqual(entry && { ...entry, value: text(entry.value) }, {
        key: 'pki/issued/01',
        value: 'two',
        createRevision: first,
        revision: second,
        version: 2,
      })
    })

    check('knows nothing of a key never put or deleted', async (store) => {
      await put(store, 'a', bytes('1'))
      await store.transact({ operations: [{ type: 'delete', key: 'a' }] })
      assert.equal(await store.get('a'), undefined)
      assert.equal(await store.get('b'), undefined)
    })

    check('counts a key put again after its deletion as new', async (store) => {
      await put(store, 'a', bytes('1'))
      await store.transact({ operations: [{ type: 'delete', key: 'a' }] })
      const revision = await put(store, 'a', bytes('2'))
      const entry = await store.get('a')
      assert.equal(entry?.version, 1)
      assert.equal(entry?.createRevision, revision)
    })

    check('keeps its own copy of values', async (store) => {
      const mine = bytes('abc')
      await put(store, 'a', mine)
      mine.fill(0)
      const read = await store.get('a')
      read?.value.fill(0)
      assert.equal(text((await store.get('a'))?.value), 'abc')
    })

    check('keeps empty values and any Unicode key', async (store) => {
      const key = 'ключ/💾/é'
      await put(store, key, new Uint8Array(0))
      assert.equal((await store.get(key))?.value.byteLength, 0)
    })

    check('reads JSON as it was written', async (store) => {
      await put(store, 'j', jsonValue({ a: [1, 'ü'] }))
      assert.deepEqual(await getJson(store, 'j'), { a: [1, 'ü'] })
      assert.equal(await getJson(store, 'absent'), undefined)
    })

    check('ranges over a prefix in the order of the UTF-8 bytes, up to a limit', async (store) => {
      // By UTF-16 units U+10000 (a surrogate pair) would come before U+FFFD.
      const keys = ['p/b', 'p/a', 'p', 'q/a', 'p/a/x', 'p0', 'p/\u{10000}', 'p/\uFFFD', 'p/é']
      for (const key of keys) await put(store, key, bytes(key))
      const under = await store.range('p/')
      assert.deepEqual(
        under.map(({ key }) => key),
        ['p/a', 'p/a/x', 'p/b', 'p/é', 'p/\uFFFD', 'p/\u{10000}'],
      )
      assert.deepEqual(
        (await store.range('p/', 2)).map(({ key }) => key),
        ['p/a', 'p/a/x'],
      )
      assert.equal((await store.range('')).length, keys.length)
      assert.deepEqual(await store.range('nothing'), [])
    })

    check('applies all operations of a transaction at one revision', async (store) => {
      await put(store, 'old', bytes('1'))
      const { succeeded, revision } = await store.transact({
        operations: [putOf('a', '1'), putOf('b', '2'), { type: 'delete', key: 'old' }],
      })
      assert.ok(succeeded)
      assert.deepEqual(
        (await store.range('')).map((entry) => [entry.key, entry.revision]),
        [
          ['a', revision],
          ['b', revision],
        ],
      )
    })

    check('writes nothing when a compare does not hold', async (store) => {
      const revision = await put(store, 'a', bytes('1'))
      const holding = { key: 'a', revision }
      const failing = [
        [{ key: 'a', revision: revision + 1 }],
        [{ key: 'a', revision: 0 }],
        [holding, { key: 'b', revision: 1 }],
      ]
      for (const compares of failing) {
        const result = await store.transact({ compares, operations: [putOf('a', '2'), putOf('c', '1')] })
        assert.deepEqual(result, { succeeded: false, revision })
      }
      assert.equal(await store.get('c'), undefined)
      assert.equal(text((await store.get('a'))?.value), '1')
    })

    check('takes revision 0 for "must not exist", after a deletion too', async (store) => {
      const create = { compares: [{ key: 'a', revision: 0 }], operations: [putOf('a', '1')] }
      assert.ok((await store.transact(create)).succeeded)
      assert.ok(!(await store.transact(create)).succeeded)
      await store.transact({ operations: [{ type: 'delete', key: 'a' }] })
      assert.ok((await store.transact(create)).succeeded)
    })

    check('lets exactly one of many writers win a compare', async (store) => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.transact({ compares: [{ key: 'leader', revision: 0 }], operations: [putOf('leader', String(i))] }),
        ),
      )
      assert.equal(results.filter(({ succeeded }) => succeeded).length, 1)
    })

    check('gives each of many writers a revision of its own', async (store) => {
      const before = store.revision
      const revisions = await Promise.all(Array.from({ length: 100 }, (_, i) => put(store, `k/${i}`, bytes('x'))))
      assert.deepEqual(
        revisions.sort((a, b) => a - b),
        Array.from({ length: 100 }, (_, i) => before + i + 1),
      )
    })

    check('does not move when nothing is changed', async (store) => {
      const revision = await put(store, 'a', bytes('1'))
      const results = [
        await store.transact({ operations: [] }),
        await store.transact({ operations: [{ type: 'delete', key: 'never there' }] }),
      ]
      for (const result of results) assert.deepEqual(result, { succeeded: true, revision })
      assert.equal(store.revision, revision)
    })

    check('refuses keys and values out of bounds, and keys changed twice', async (store) => {
      const refused: [Operation[], string][] = [
        [[putOf('', '1')], 'P2P_STORAGE_KEY_INVALID'],
        [[putOf('é'.repeat(257), '1')], 'P2P_STORAGE_KEY_INVALID'],
        [[putOf('\uD800', '1')], 'P2P_STORAGE_KEY_INVALID'],
        [[putOf('a', '1'), putOf('a', '2')], 'P2P_STORAGE_KEY_INVALID'],
        [[{ type: 'put', key: 'a', value: new Uint8Array(1024 * 1024 + 1) }], 'P2P_STORAGE_VALUE_TOO_LARGE'],
        [Array.from({ length: 129 }, (_, i) => putOf(`k${i}`, '')), 'P2P_STORAGE_VALUE_TOO_LARGE'],
      ]
      for (const [operations, code] of refused) {
        await assert.rejects(store.transact({ operations }), (error) => codeOf(error) === code)
      }
      assert.deepEqual(await store.range(''), [])
      await put(store, 'é'.repeat(256), new Uint8Array(1024 * 1024))
    })

    check('tells a watcher of every change under its prefix, in order', async (store) => {
      const stop = new AbortController()
      const events = collect(store.watch('w/', { signal: stop.signal }), 4)
      await put(store, 'w/a', bytes('1'))
      await put(store, 'other', bytes('1'))
      await store.transact({ operations: [putOf('w/a', '2'), putOf('w/b', '1')] })
      await store.transact({ operations: [{ type: 'delete', key: 'w/a' }] })
      assert.deepEqual((await events).map(describeEvent), ['put w/a 1', 'put w/a 2', 'put w/b 1', 'delete w/a'])
      stop.abort()
    })

    check('lets a watch begin in the past, without a gap to the present', async (store) => {
      const first = await put(store, 'a', bytes('1'))
      await put(store, 'a', bytes('2'))
      const stop = new AbortController()
      const events = collect(store.watch('', { fromRevision: first, signal: stop.signal }), 3)
      await put(store, 'a', bytes('3'))
      assert.deepEqual((await events).map(describeEvent), ['put a 1', 'put a 2', 'put a 3'])
      stop.abort()
    })

    check('begins a watch at the moment of the call, not of the first read', async (store) => {
      await put(store, 'a', bytes('before'))
      const stop = new AbortController()
      const watch = store.watch('', { signal: stop.signal })
      await put(store, 'a', bytes('after'))
      assert.deepEqual((await collect(watch, 1)).map(describeEvent), ['put a after'])
      stop.abort()
    })

    check('ends a watch quietly when its signal aborts', async (store) => {
      const stop = new AbortController()
      const waiting = collect(store.watch('', { signal: stop.signal }), 1)
      stop.abort()
      assert.deepEqual(await waiting, [])
      assert.deepEqual(await collect(store.watch('', { signal: stop.signal }), 1), [])
    })

    check('deletes the keys of a lease that is not kept alive, at one revision', async (store, { passTime }) => {
      const leaseId = await store.grantLease(1000)
      await store.transact({
        operations: [
          { ...putOf('l/a', '1'), leaseId },
          { ...putOf('l/b', '1'), leaseId },
        ],
      })
      const stop = new AbortController()
      const events = collect(store.watch('l/', { signal: stop.signal }), 2)
      await passTime(999)
      assert.equal((await store.range('l/')).length, 2)
      await passTime(2)
      assert.deepEqual((await events).map(describeEvent), ['delete l/a', 'delete l/b'])
      assert.deepEqual(await store.range('l/'), [])
      stop.abort()
    })

    check('keeps the keys of a lease that is kept alive', async (store, { passTime }) => {
      const leaseId = await store.grantLease(1000)
      await store.transact({ operations: [{ ...putOf('l/a', '1'), leaseId }] })
      for (let i = 0; i < 5; i++) {
        await passTime(900)
        await store.keepAlive(leaseId)
      }
      assert.equal((await store.range('l/')).length, 1)
    })

    check('keeps a key that was put again without the lease', async (store, { passTime }) => {
      const leaseId = await store.grantLease(1000)
      await store.transact({ operations: [{ ...putOf('l/a', '1'), leaseId }] })
      await put(store, 'l/a', bytes('2'))
      await passTime(1001)
      assert.equal(text((await store.get('l/a'))?.value), '2')
    })

    check('deletes the keys of a revoked lease, and refuses it from then on', async (store) => {
      const leaseId = await store.grantLease(1000)
      await store.transact({ operations: [{ ...putOf('l/a', '1'), leaseId }] })
      await store.revokeLease(leaseId)
      assert.equal(await store.get('l/a'), undefined)
      const isUnknown = (error: unknown): boolean => codeOf(error) === 'P2P_STORAGE_LEASE_UNKNOWN'
      await assert.rejects(store.keepAlive(leaseId), isUnknown)
      await assert.rejects(store.revokeLease(leaseId), isUnknown)
      await assert.rejects(store.transact({ operations: [{ ...putOf('l/a', '1'), leaseId }] }), isUnknown)
      assert.equal(await store.get('l/a'), undefined)
    })
  })
}

function putOf(key: string, value: string): Extract<Operation, { type: 'put' }> {
  return { type: 'put', key, value: bytes(value) }
}

function bytes(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

function text(value: Uint8Array | undefined): string | undefined {
  return value && new TextDecoder().decode(value)
}

function describeEvent(event: ChangeEvent): string {
  return event.type === 'put' ? `put ${event.entry.key} ${text(event.entry.value)}` : `delete ${event.key}`
}

async function collect(watch: AsyncIterable<ChangeEvent>, count: number): Promise<ChangeEvent[]> {
  const events: ChangeEvent[] = []
  for await (const event of watch) {
    events.push(event)
    if (events.length === count) break
  }
  return events
}
