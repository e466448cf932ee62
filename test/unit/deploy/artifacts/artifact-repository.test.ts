import assert from 'node:assert/strict'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Component } from '../../../../src/base/component.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import {
  type ArtifactRepository,
  createArtifactRepository,
} from '../../../../src/deploy/artifacts/artifact-repository.ts'
import type { ArtifactStore } from '../../../../src/deploy/artifacts/artifact-store.ts'
import { type SignedBundle, verifiedStatement } from '../../../../src/deploy/bundle/signed-bundle.ts'
import { simulatedSigner, simulatedVerifier } from '../../../../src/testing/index.ts'
import { bundleOf, chunksOf, CLUSTER, COORDINATOR, honest, manifestOf, sha256, tarOf } from '../bundle/support.ts'
import { bundleWith, DIRECTORY, never, readAll, store as put, type World, world } from './support.ts'

const KIB = 1_024
const HOUR_MS = 60 * 60_000
const BUNDLE = bundleWith(300 * KIB)
const { digest } = BUNDLE
const sizeBytes = BUNDLE.bytes.byteLength

interface Stage {
  w: World
  store: ArtifactStore
  repository: ArtifactRepository & Component
}

async function stage(w: World = world(1)): Promise<Stage> {
  const store = await w.open()
  const needs = { store, signer: simulatedSigner(COORDINATOR), clock: w.clock, log: silentLogger }
  const repository = createArtifactRepository(needs, { cluster: CLUSTER })
  await repository.start(never)
  return { w, store, repository }
}

const part = (from: number, to?: number): AsyncIterable<Uint8Array> =>
  chunksOf(BUNDLE.bytes.subarray(from, to), 10 * KIB)

test('a bundle comes in parts, is checked, signed and kept; the same one again is not needed', async () => {
  const { store, repository } = await stage()
  assert.equal(await repository.status(digest), undefined)
  assert.deepEqual(await repository.begin({ digest, sizeBytes }), { digest, sizeBytes, offset: 0 })
  assert.deepEqual(await repository.append(digest, 0, part(0, 1_000)), { digest, sizeBytes, offset: 1_000 })
  assert.deepEqual(await repository.begin({ digest, sizeBytes }), { digest, sizeBytes, offset: 1_000 })
  assert.deepEqual(await repository.append(digest, 1_000, part(1_000)), { digest, sizeBytes, offset: sizeBytes })
  const { artifact } = await repository.commit(digest)
  assert.deepEqual([artifact?.service, artifact?.version, artifact?.sizeBytes], ['greeter', '1.2.3', sizeBytes])
  assert.deepEqual(await readAll(store.read(digest)), BUNDLE.bytes)
  const done = { digest, sizeBytes, offset: sizeBytes, artifact }
  assert.deepEqual(await repository.begin({ digest, sizeBytes }), done)
  assert.deepEqual(await repository.status(digest), done)
  assert.deepEqual(await repository.commit(digest), done)
  assert.deepEqual(await repository.list(), [artifact])
  const statement = { cluster: CLUSTER, digest, sizeBytes, service: 'greeter', version: '1.2.3' }
  for (const signed of [store.get(digest)?.signed, repository.sign(digest)]) {
    assert.deepEqual(verifiedStatement(simulatedVerifier, signed as SignedBundle, CLUSTER), statement)
  }
  assert.equal(repository.sign(sha256(Buffer.from('other'))), undefined)
})

test('a part that breaks off is kept, and says where to go on', async () => {
  const { repository } = await stage()
  await repository.begin({ digest, sizeBytes })
  async function* breaks(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* part(0, 20 * KIB)
    throw new Error('connection lost')
  }
  await assert.rejects(repository.append(digest, 0, breaks()), { message: 'connection lost' })
  assert.equal((await repository.status(digest))?.offset, 20 * KIB)
  await assert.rejects(repository.append(digest, 0, part(0)), {
    code: 'P2P_ARTIFACT_OFFSET_MISMATCH',
    details: { digest, offset: 20 * KIB, sizeBytes },
  })
  await assert.rejects(repository.commit(digest), { code: 'P2P_ARTIFACT_OFFSET_MISMATCH' })
  await repository.append(digest, 20 * KIB, part(20 * KIB))
  assert.ok((await repository.commit(digest)).artifact)
})

test('an upload goes on after a restart of the coordinator', async () => {
  const w = world(2)
  const first = await stage(w)
  await first.repository.begin({ digest, sizeBytes })
  await first.repository.append(digest, 0, part(0, 50 * KIB))
  const gate = Promise.withResolvers<void>()
  async function* waits(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* part(50 * KIB, 60 * KIB)
    gate.resolve()
    await new Promise(() => {})
  }
  const hanging = first.repository.append(digest, 50 * KIB, waits())
  const ended = assert.rejects(hanging, { code: 'P2P_ARTIFACT_UNAVAILABLE' })
  await gate.promise
  await first.repository.stop()
  await ended
  await assert.rejects(first.repository.append(digest, 0, part(0)), { code: 'P2P_ARTIFACT_UNAVAILABLE' })
  const second = await stage(w)
  assert.equal((await second.repository.begin({ digest, sizeBytes })).offset, 60 * KIB)
  await second.repository.append(digest, 60 * KIB, part(60 * KIB))
  assert.ok((await second.repository.commit(digest)).artifact)
})

test('what has not begun, begins with another size, comes twice at once or is too much is refused', async () => {
  const { repository } = await stage()
  await assert.rejects(repository.append(digest, 0, part(0)), { code: 'P2P_ARTIFACT_UNKNOWN' })
  await assert.rejects(repository.commit(digest), { code: 'P2P_ARTIFACT_UNKNOWN' })
  await assert.rejects(repository.begin({ digest, sizeBytes: 257 * KIB * KIB }), { code: 'P2P_ARTIFACT_TOO_LARGE' })
  await repository.begin({ digest, sizeBytes })
  await assert.rejects(repository.begin({ digest, sizeBytes: sizeBytes + 1 }), { code: 'P2P_ARTIFACT_OFFSET_MISMATCH' })
  const gate = Promise.withResolvers<void>()
  async function* gated(): AsyncGenerator<Uint8Array, void, undefined> {
    await gate.promise
    yield* part(0, 10)
  }
  const first = repository.append(digest, 0, gated())
  await assert.rejects(repository.append(digest, 0, part(0)), { code: 'P2P_ARTIFACT_BUSY' })
  await assert.rejects(repository.commit(digest), { code: 'P2P_ARTIFACT_BUSY' })
  gate.resolve()
  await first
  async function* tooMuch(): AsyncGenerator<Uint8Array, void, undefined> {
    yield* part(10)
    yield new Uint8Array(1)
  }
  await assert.rejects(repository.append(digest, 10, tooMuch()), { code: 'P2P_ARTIFACT_TOO_LARGE' })
  assert.ok((await repository.commit(digest)).artifact, 'what was announced is there')
})

test('a bundle that does not hold is thrown away whole', async () => {
  const { w, repository } = await stage()
  const good = honest()
  const lies = { ...good, manifest: manifestOf([...good.entries].map((entry) => ({ ...entry, content: 'another' }))) }
  const cases: [Buffer, string, string?][] = [
    [BUNDLE.bytes, 'P2P_ARTIFACT_DIGEST_MISMATCH', sha256(Buffer.from('other'))],
    [Buffer.from('no bundle at all'), 'P2P_BUNDLE_DAMAGED'],
    [gzipSync(tarOf(good).subarray(0, 700)), 'P2P_BUNDLE_DAMAGED'],
    [bundleOf(lies), 'P2P_BUNDLE_INVALID'],
    [bundleOf(honest([{ path: '../escape.js' }])), 'P2P_BUNDLE_ENTRY_FORBIDDEN'],
  ]
  for (const [bytes, code, name = sha256(bytes)] of cases) {
    await repository.begin({ digest: name, sizeBytes: bytes.byteLength })
    await repository.append(name, 0, chunksOf(bytes))
    await assert.rejects(repository.commit(name), { code })
    assert.equal(await repository.status(name), undefined)
    assert.deepEqual(await w.disk.list(DIRECTORY), [], code)
  }
})

test('a full disk ends the upload, and it can begin again', async () => {
  const { w, repository } = await stage()
  await repository.begin({ digest, sizeBytes })
  w.disk.capacityBytes = 20 * KIB
  await assert.rejects(repository.append(digest, 0, part(0)), { code: 'P2P_ARTIFACT_NO_ROOM' })
  assert.equal(await repository.status(digest), undefined)
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
  w.disk.capacityBytes = Infinity
  assert.equal((await repository.begin({ digest, sizeBytes })).offset, 0)
})

test('an upload that nobody goes on with for an hour is thrown away', async () => {
  const { w, repository } = await stage()
  await repository.begin({ digest, sizeBytes })
  await w.clock.run(HOUR_MS - 1)
  await repository.append(digest, 0, part(0, 10))
  await w.clock.run(HOUR_MS - 1)
  assert.equal((await repository.status(digest))?.offset, 10)
  await w.clock.run(1)
  assert.equal(await repository.status(digest), undefined)
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
})

test('so many uploads are open at once', async () => {
  const { repository } = await stage()
  for (let index = 0; index < 16; index++) {
    await repository.begin({ digest: sha256(Buffer.from(`${index}`)), sizeBytes: 10 })
  }
  await assert.rejects(repository.begin({ digest, sizeBytes }), { code: 'P2P_ARTIFACT_BUSY' })
  await repository.stop()
})

test('an upload whose part is coming in counts once', async () => {
  const { repository } = await stage()
  const digests = Array.from({ length: 10 }, (_, i) => sha256(Buffer.from(`${i}`)))
  for (const each of digests) await repository.begin({ digest: each, sizeBytes: 10 })
  const hanging: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }),
  }
  const parts = digests.map((each) => repository.append(each, 0, hanging))
  assert.equal((await repository.begin({ digest, sizeBytes })).offset, 0)
  await Promise.all([repository.stop(), ...parts.map((each) => assert.rejects(each))])
})

test('what no deployment names goes when it is old', async () => {
  const { w, repository, store } = await stage()
  const other = bundleWith(KIB, 2)
  await put(store, other)
  await put(store, BUNDLE)
  await repository.keepOnly(new Set())
  assert.equal((await repository.list()).length, 2)
  await w.clock.run(HOUR_MS)
  await repository.keepOnly(new Set([digest]))
  assert.deepEqual(
    (await repository.list()).map((each) => each.digest),
    [digest],
  )
})

test('facts tell what the service asks for, and its methods where they are known', async () => {
  const { repository, store } = await stage()
  const files = honest()
  const manifest = manifestOf(files.entries)
  const bytes = bundleOf({
    ...files,
    manifest: {
      ...manifest,
      manifest: { ...manifest.manifest, permissions: { net: true, read: ['/etc/ssl'] }, secrets: ['db'] } as never,
      methods: [{ name: 'greet', isPublic: true }],
    },
  })
  const asking = sha256(bytes)
  await repository.begin({ digest: asking, sizeBytes: bytes.byteLength })
  await repository.append(asking, 0, chunksOf(bytes))
  await repository.commit(asking)
  const facts = store.get(asking)
  assert.deepEqual(facts?.manifest.permissions, { net: true, childProcess: false, read: ['/etc/ssl'], write: [] })
  assert.deepEqual(facts?.manifest.secrets, ['db'])
  assert.deepEqual(facts?.methods, [{ name: 'greet', isPublic: true }])
})
