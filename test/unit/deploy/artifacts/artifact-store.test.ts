import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AssertionError } from '../../../../src/base/assert.ts'
import { readBundleManifest } from '../../../../src/deploy/bundle/read-bundle.ts'
import { systemFiles } from '../../../../src/platform/index.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { createArtifactStore } from '../../../../src/deploy/artifacts/artifact-store.ts'
import { chunksOf, sha256, temporary } from '../bundle/support.ts'
import { bundleWith, DIRECTORY, never, readAll, store as put, world } from './support.ts'

const KIB = 1_024
const HOUR_MS = 60 * 60_000
const SMALL = bundleWith(3 * KIB)
const BIG = bundleWith(700 * KIB, 2)

test('what was stored is listed with its facts and read from any offset, in small chunks, also after a restart', async () => {
  const w = world(1)
  const first = await w.open()
  await put(first, BIG)
  for (const store of [first, await w.open()]) {
    assert.ok(store.has(BIG.digest))
    const [facts] = store.list()
    assert.equal(facts?.service, 'greeter')
    assert.deepEqual([facts?.version, facts?.kind, facts?.fileCount], ['1.2.3', 'process', 3])
    assert.equal(facts?.sizeBytes, BIG.bytes.byteLength)
    assert.equal(facts?.storedAtMs, w.clock.wallMs())
    assert.deepEqual(facts?.signed, BIG.signed)
    for (const offset of [0, 1, 256 * KIB, BIG.bytes.byteLength - 1, BIG.bytes.byteLength]) {
      assert.deepEqual(await readAll(store.read(BIG.digest, offset)), BIG.bytes.subarray(offset))
    }
    for await (const chunk of store.read(BIG.digest)) assert.ok(chunk.byteLength <= 256 * KIB)
  }
  assert.deepEqual((await w.disk.list(DIRECTORY)).sort(), [`${BIG.digest}.bundle`, `${BIG.digest}.json`])
})

test('what is not there cannot be read, nor what is behind the end; an abort ends a reader', async () => {
  const store = await world(1).open()
  await assert.rejects(readAll(store.read(SMALL.digest)), { code: 'P2P_ARTIFACT_UNKNOWN' })
  await put(store, SMALL)
  const sizeBytes = SMALL.bytes.byteLength
  await assert.rejects(readAll(store.read(SMALL.digest, sizeBytes + 1)), {
    code: 'P2P_ARTIFACT_OFFSET_MISMATCH',
    details: { digest: SMALL.digest, offset: sizeBytes },
  })
  const signal = AbortSignal.abort(new Error('enough'))
  await assert.rejects(readAll(store.read(SMALL.digest, 0, signal)), { message: 'enough' })
  assert.equal(await store.remove(SMALL.digest), true, 'no reader is left')
})

test('a writer goes on where the last one was closed, also after a restart, and checks the whole', async () => {
  const w = world(2)
  let store = await w.open()
  for (const end of [1, 100 * KIB, 300 * KIB, 500 * KIB]) {
    const writer = await store.write(BIG.digest, BIG.bytes.byteLength, never)
    for await (const chunk of chunksOf(BIG.bytes.subarray(writer.offset, end))) await writer.append(chunk)
    assert.equal(writer.offset, end)
    assert.equal(writer.isWhole, false)
    await writer.close()
    await writer.close()
    assert.ok(!store.has(BIG.digest))
    store = await w.open()
  }
  const writer = await store.write(BIG.digest, BIG.bytes.byteLength, never)
  assert.equal(writer.offset, 500 * KIB)
  await writer.append(BIG.bytes.subarray(500 * KIB))
  assert.ok(writer.isWhole)
  await writer.commit(await readBundleManifest(writer.content(), never), BIG.signed)
  assert.equal(writer.isOpen, false)
  assert.deepEqual(await readAll(store.read(BIG.digest)), BIG.bytes)
})

test('bytes that are not the artifact never become one, and are thrown away', async () => {
  const w = world(3)
  const store = await w.open()
  const manifest = await readBundleManifest(chunksOf(SMALL.bytes), never)
  const wrong = Buffer.from(SMALL.bytes)
  wrong[100] = (wrong[100] as number) ^ 1
  for (const bytes of [wrong, SMALL.bytes.subarray(0, -1), Buffer.alloc(0)]) {
    const writer = await store.write(SMALL.digest, SMALL.bytes.byteLength, never)
    await writer.append(bytes)
    await assert.rejects(writer.commit(manifest, SMALL.signed), { code: 'P2P_ARTIFACT_DIGEST_MISMATCH' })
    assert.equal(writer.isOpen, false)
    assert.deepEqual(await w.disk.list(DIRECTORY), [])
  }
  const writer = await store.write(SMALL.digest, SMALL.bytes.byteLength, never)
  await writer.append(SMALL.bytes)
  await assert.rejects(writer.append(new Uint8Array(1)), { code: 'P2P_ARTIFACT_TOO_LARGE' })
  assert.ok(writer.isWhole, 'what was too much was not taken')
  await writer.discard()
  await writer.discard()
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
})

test('a part that is longer than the artifact is begun anew', async () => {
  const w = world(4)
  const store = await w.open()
  const first = await store.write(SMALL.digest, 10_000, never)
  await first.append(new Uint8Array(9_000))
  await first.close()
  const second = await store.write(SMALL.digest, SMALL.bytes.byteLength, never)
  assert.equal(second.offset, 0)
  await second.close()
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
})

test('one writer an artifact; its bound and that of the store are kept, with the remedy', async () => {
  const w = world(5)
  const sizeBytes = SMALL.bytes.byteLength
  const store = await w.open({ bytesMax: 2 * sizeBytes + 10 })
  await put(store, SMALL)
  const other = sha256(Buffer.from('other'))
  const writer = await store.write(other, sizeBytes, never)
  await assert.rejects(store.write(other, sizeBytes, never), { code: 'P2P_ARTIFACT_BUSY' })
  const third = sha256(Buffer.from('third'))
  await assert.rejects(store.write(third, 11, never), (error: Error & { code: string }) => {
    assert.equal(error.code, 'P2P_ARTIFACT_NO_ROOM')
    assert.match(error.message, /Remove services or old versions/)
    return true
  })
  await (await store.write(third, 10, never)).discard()
  await writer.append(new Uint8Array(5))
  await writer.close()
  const reopened = await store.write(other, sizeBytes, never)
  assert.equal(reopened.offset, 5, 'what is here counts once')
  await reopened.discard()
  await assert.rejects(store.write(third, 257 * KIB * KIB, never), { code: 'P2P_ARTIFACT_TOO_LARGE' })
  await assert.rejects(store.write('../../etc/passwd', 10, never), AssertionError)
})

test('a full disk is said, and nothing is kept of what was being written', async () => {
  const w = world(6)
  const store = await w.open()
  w.disk.capacityBytes = 100 * KIB
  const writer = await store.write(BIG.digest, BIG.bytes.byteLength, never)
  const fill = async (): Promise<void> => {
    for await (const chunk of chunksOf(BIG.bytes)) await writer.append(chunk)
  }
  await assert.rejects(fill(), { code: 'P2P_ARTIFACT_NO_ROOM', details: { reason: 'disk-full' } })
  assert.equal(writer.isOpen, false)
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
  // Full only when the facts are written.
  w.disk.capacityBytes = BIG.bytes.byteLength + 10
  await assert.rejects(put(store, BIG), { code: 'P2P_ARTIFACT_NO_ROOM' })
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
  w.disk.capacityBytes = Infinity
  await put(store, BIG)
})

test('collecting removes the oldest that nobody keeps, nothing young, and nothing that is read', async () => {
  const w = world(7)
  const store = await w.open()
  const bundles = [1, 2, 3, 4].map((seed) => bundleWith(2 * KIB, seed))
  const [a, b, c, d] = bundles.map(({ digest }) => digest) as [string, string, string, string]
  for (const bundle of bundles) {
    await put(store, bundle)
    await w.clock.run(1_000)
  }
  assert.deepEqual(
    store.list().map(({ digest }) => digest),
    [a, b, c, d],
  )
  assert.deepEqual(await store.collect(new Set(), 0), [], 'who uploads deploys in a moment')
  await w.clock.run(HOUR_MS)
  const total = store.list().reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
  assert.deepEqual(await store.collect(new Set(), total), [])
  assert.deepEqual(await store.collect(new Set([a]), total - 1), [b], 'as few as need be')
  const reader = store.read(c)[Symbol.asyncIterator]()
  await reader.next()
  assert.deepEqual(await store.collect(new Set([a]), 0), [d])
  assert.equal(await store.remove(c), false)
  await reader.return?.()
  assert.deepEqual(await store.collect(new Set([a]), 0), [c])
  assert.deepEqual((await w.disk.list(DIRECTORY)).sort(), [`${a}.bundle`, `${a}.json`])
})

test('a part that nobody goes on with for a day is thrown away, when the store starts and when it collects', async () => {
  for (const isRestart of [false, true]) {
    const w = world(8)
    const store = await w.open()
    const writer = await store.write(BIG.digest, BIG.bytes.byteLength, never)
    await writer.append(BIG.bytes.subarray(0, 5_000))
    await writer.close()
    await w.clock.run(24 * HOUR_MS - 1)
    await store.collect(new Set(), 0)
    assert.deepEqual(
      await (await w.open()).write(BIG.digest, BIG.bytes.byteLength, never).then(async (again) => {
        const { offset } = again
        await again.close()
        return offset
      }),
      5_000,
    )
    await w.clock.run(1)
    if (isRestart) await w.open()
    else await store.collect(new Set(), 0)
    assert.deepEqual(await w.disk.list(DIRECTORY), [])
  }
})

test('an artifact that the disk has damaged is removed by a start, or told to its reader', async () => {
  const w = world(9)
  const store = await w.open()
  await put(store, SMALL)
  w.disk.overwrite(`${DIRECTORY}/${SMALL.digest}.bundle`, SMALL.bytes.subarray(0, 100))
  await assert.rejects(readAll(store.read(SMALL.digest)), { code: 'P2P_ARTIFACT_DIGEST_MISMATCH' })
  await put(store, BIG)
  w.disk.overwrite(`${DIRECTORY}/${BIG.digest}.json`, Buffer.from('{'))
  const again = await w.open()
  assert.deepEqual(again.list(), [])
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
})

test('power lost or process killed in any operation: what was answered is whole, the rest can be gone on with', async () => {
  for (const isKill of [false, true]) {
    for (let operations = 1, isDone = false; !isDone; operations++) {
      const context = `${isKill ? 'kill' : 'power'} in operation ${operations}`
      const w = world(operations)
      const store = await w.open()
      w.disk.cutPowerAfter(operations)
      isDone = await put(store, SMALL).then(
        () => true,
        () => false,
      )
      if (isKill) w.disk.killProcess()
      else w.disk.restart()
      const after = await w.open()
      if (isDone) assert.ok(after.has(SMALL.digest), context)
      if (!after.has(SMALL.digest)) {
        // What a power loss has left of the file may be anything: it is noticed.
        await put(after, SMALL).catch(() => put(after, SMALL))
      }
      assert.deepEqual(await readAll(after.read(SMALL.digest)), SMALL.bytes, context)
      assert.deepEqual(
        (await w.disk.list(DIRECTORY)).sort(),
        [`${SMALL.digest}.bundle`, `${SMALL.digest}.json`],
        context,
      )
      assert.ok(operations < 100)
    }
  }
})

test('on a real disk, too', async (t) => {
  const directory = await temporary(t)
  const { clock } = world(1)
  const needs = { files: systemFiles, clock, log: silentLogger }
  const first = createArtifactStore(needs, { directory })
  await first.start(never)
  const half = await first.write(BIG.digest, BIG.bytes.byteLength, never)
  await half.append(BIG.bytes.subarray(0, 100_000))
  await half.close()
  await put(first, BIG)
  await put(first, SMALL)
  const second = createArtifactStore(needs, { directory })
  await second.start(never)
  assert.deepEqual(await readAll(second.read(BIG.digest)), BIG.bytes)
  assert.equal(await second.remove(SMALL.digest), true)
  assert.deepEqual((await systemFiles.list(directory)).sort(), [`${BIG.digest}.bundle`, `${BIG.digest}.json`])
})
