import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { BundleFolders } from '../../../../src/deploy/bundle/bundle-folders.ts'
import { type BundleStatement, signBundle } from '../../../../src/deploy/bundle/signed-bundle.ts'
import { SimulatedDisk, SimulatedRandom, simulatedSigner } from '../../../../src/testing/index.ts'
import {
  bundleOf,
  chunksOf,
  COORDINATOR,
  foldersIn,
  honest,
  sha256,
  signed,
  temporary,
  treeOf,
  writeFolder,
} from './support.ts'

const DIRECTORY = '/state/unpacked'
const FILES = honest([{ path: 'bin/tool', content: '#!/bin/sh\n', isExecutable: true }])
const BUNDLE = bundleOf(FILES)
const DIGEST = sha256(BUNDLE)
const never = new AbortController().signal

const foldersOn = (disk: SimulatedDisk): Promise<BundleFolders> => foldersIn(DIRECTORY, disk)

function assertComplete(disk: SimulatedDisk, folder: string, context: string): void {
  for (const { path, content = '' } of FILES.entries) {
    assert.equal(Buffer.from(disk.contentOf(`${folder}/${path}`)).toString(), content, context)
  }
}

test('files are read-only, executable where they should be, and for their owner alone', {
  skip: process.platform === 'win32',
}, async (t) => {
  const folders = await foldersIn(await temporary(t))
  const { folder } = await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
  const modeOf = async (path: string): Promise<number> => (await stat(join(folder, path))).mode & 0o7777
  assert.equal(await modeOf('main.js'), 0o400)
  assert.equal(await modeOf('bin/tool'), 0o500)
  assert.equal(await modeOf('bin'), 0o700)
})

test('one that is there is used as it is, by whoever asks at the same time or after a restart', async (t) => {
  const directory = await temporary(t)
  const folders = await foldersIn(directory)
  let reads = 0
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    reads++
    yield* chunksOf(BUNDLE)
  }
  const both = await Promise.all([1, 2].map(() => folders.unpack(signed(BUNDLE), counted(), never)))
  const again = await foldersIn(directory)
  assert.ok(again.has(DIGEST))
  assert.deepEqual(again.list(), [DIGEST])
  const third = await again.unpack(signed(BUNDLE), counted(), never)
  assert.equal(reads, 1)
  for (const each of [...both, third]) assert.deepEqual(each, both[0])
  assert.deepEqual(await again.get(DIGEST), both[0])
  assert.equal(await again.get(sha256(Buffer.from('another'))), undefined)
})

test('a start removes what is not a whole folder, and touches nothing else', async (t) => {
  const top = await temporary(t)
  const directory = join(top, 'unpacked')
  await writeFolder(top, { [`unpacked/${DIGEST}.new/lib/half`]: 'x', 'unpacked/stray': 'x', 'beside/file': 'x' })
  const folders = await foldersIn(directory)
  assert.deepEqual(await treeOf(top), { 'beside/': '', 'beside/file': 'x', 'unpacked/': '' })
  await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
})

test('a folder whose manifest is gone is removed, so that it is unpacked anew', async () => {
  const disk = new SimulatedDisk(new SimulatedRandom(1))
  const folders = await foldersOn(disk)
  const { folder } = await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
  await disk.remove(`${folder}/p2p-bundle.json`)
  assert.equal(await folders.get(DIGEST), undefined)
  assert.ok(!folders.has(DIGEST))
  assert.deepEqual(await disk.list(DIRECTORY), [])
  await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
  assertComplete(disk, folder, 'anew')
})

test('power lost or process killed in any operation: afterwards the folder is complete or not there, and can be made', async () => {
  for (const isKill of [false, true]) {
    for (let operations = 1, isDone = false; !isDone; operations++) {
      const context = `${isKill ? 'kill' : 'power'} in operation ${operations}`
      const disk = new SimulatedDisk(new SimulatedRandom(operations))
      const folders = await foldersOn(disk)
      disk.cutPowerAfter(operations)
      const result = await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never).catch((error: unknown) => error)
      isDone = !(result instanceof Error)
      if (isKill) disk.killProcess()
      else disk.restart()
      const after = await foldersOn(disk)
      if (isDone) assert.ok(after.has(DIGEST), `${context}: what was answered is there`)
      if (after.has(DIGEST)) assertComplete(disk, `${DIRECTORY}/${DIGEST}`, context)
      assert.deepEqual(await disk.list(DIRECTORY), after.list(), `${context}: nothing half done`)
      const { folder } = await after.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
      assertComplete(disk, folder, context)
      assert.ok(operations < 100)
    }
  }
})

test('a removal that is cut leaves a whole folder or none', async () => {
  for (let operations = 1, isDone = false; !isDone; operations++) {
    const disk = new SimulatedDisk(new SimulatedRandom(operations))
    const folders = await foldersOn(disk)
    await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
    disk.cutPowerAfter(operations)
    isDone = await folders.remove(DIGEST).then(
      () => true,
      () => false,
    )
    disk.killProcess()
    const after = await foldersOn(disk)
    if (after.has(DIGEST)) assertComplete(disk, `${DIRECTORY}/${DIGEST}`, `operation ${operations}`)
    assert.deepEqual(await disk.list(DIRECTORY), after.list())
    assert.ok(operations < 100)
  }
})

test('a full disk is said with the remedy and leaves nothing; with room the same bundle is taken', async () => {
  for (const capacityBytes of [0, 100, 400, 560]) {
    const disk = new SimulatedDisk(new SimulatedRandom(7))
    const folders = await foldersOn(disk)
    disk.capacityBytes = capacityBytes
    await assert.rejects(folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never), (error: Error) => {
      assert.equal((error as Error & { code: string }).code, 'P2P_ARTIFACT_NO_ROOM')
      assert.match(error.message, /\/state\/unpacked is full.*Free space/)
      return true
    })
    assert.deepEqual(await disk.list(DIRECTORY), [])
    disk.capacityBytes = Infinity
    await folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never)
  }
})

test('an abort in the middle leaves nothing', async () => {
  const disk = new SimulatedDisk(new SimulatedRandom(3))
  const folders = await foldersOn(disk)
  const controller = new AbortController()
  const bytes = gzipSync(BUNDLE)
  async function* interrupted(): AsyncGenerator<Uint8Array, void, undefined> {
    yield BUNDLE.subarray(0, BUNDLE.byteLength - 20)
    controller.abort(new Error('another plan'))
    yield bytes
  }
  await assert.rejects(folders.unpack(signed(BUNDLE), interrupted(), controller.signal), { message: 'another plan' })
  assert.deepEqual(await disk.list(DIRECTORY), [])
})

test('only what a coordinator of the cluster signed is unpacked', async () => {
  const disk = new SimulatedDisk(new SimulatedRandom(5))
  const folders = await foldersOn(disk)
  const good = signed(BUNDLE)
  const statement = JSON.parse(good.statement) as BundleStatement
  const worker = simulatedSigner({ ...COORDINATOR, role: 'worker', nodeId: 'worker-1' })
  const stranger = simulatedSigner({ ...COORDINATOR, cluster: 'other' })
  const wrong = {
    'another statement': { ...good, statement: JSON.stringify({ ...statement, version: '1.2.4' }) },
    'no signature': { ...good, signature: '' },
    nothing: undefined as never,
    'a number for a signature': { ...good, signature: 1 as never },
    'a chain without end': { ...good, chain: 'x'.repeat(100_000) },
    'the signature of another bundle': { ...good, signature: signed(Buffer.from('x')).signature },
    'a worker': signBundle(worker, statement),
    'a coordinator of another cluster': signBundle(stranger, { ...statement, cluster: 'other' }),
    'a coordinator of another cluster for this one': signBundle(stranger, statement),
    'a statement about another cluster': signBundle(simulatedSigner(COORDINATOR), { ...statement, cluster: 'other' }),
    'a digest that leads elsewhere': signBundle(simulatedSigner(COORDINATOR), { ...statement, digest: '../../etc' }),
  }
  for (const [name, each] of Object.entries(wrong)) {
    let isRead = false
    async function* source(): AsyncGenerator<Uint8Array, void, undefined> {
      isRead = true
      yield BUNDLE
    }
    await assert.rejects(folders.unpack(each, source(), never), { code: 'P2P_BUNDLE_SIGNATURE_INVALID' }, name)
    assert.equal(isRead, false, name)
  }
  await assert.rejects(
    folders.unpack(signed(BUNDLE, { version: '9.9.9' }), chunksOf(BUNDLE), never),
    { code: 'P2P_BUNDLE_INVALID', details: { reason: 'statement-mismatch' } },
    'signed as another version',
  )
  const other = bundleOf(honest())
  await assert.rejects(folders.unpack(good, chunksOf(other), never), { code: 'P2P_ARTIFACT_DIGEST_MISMATCH' })
  assert.deepEqual(await disk.list(DIRECTORY), [])
})

test('an error of the disk comes through and leaves nothing', async () => {
  const disk = new SimulatedDisk(new SimulatedRandom(5))
  const folders = await foldersOn(disk)
  disk.failsSync = true
  await assert.rejects(folders.unpack(signed(BUNDLE), chunksOf(BUNDLE), never), { code: 'EIO' })
  disk.failsSync = false
  assert.deepEqual(await disk.list(DIRECTORY), [])
})
