import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createGzip, gzipSync } from 'node:zlib'
import { DeployError } from '../../../../src/base/errors.ts'
import { type Random, randomInt } from '../../../../src/base/random.ts'
import { readBundle, readBundleManifest } from '../../../../src/deploy/bundle/read-bundle.ts'
import { SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { chunksOf, foldersIn, honest, sha256, signed, tarOf } from './support.ts'

type Mutation = (bytes: Buffer, random: Random) => Buffer

const flip: Mutation = (bytes, random) => {
  const changed = Buffer.from(bytes)
  for (let count = 1 + randomInt(random, 4); count > 0; count--) {
    const at = randomInt(random, changed.byteLength)
    changed[at] = (changed[at] as number) ^ (1 << randomInt(random, 8))
  }
  return changed
}
const cut: Mutation = (bytes, random) => bytes.subarray(0, randomInt(random, bytes.byteLength))
const repeat: Mutation = (bytes, random) => {
  const from = randomInt(random, bytes.byteLength)
  const part = bytes.subarray(from, from + 1 + randomInt(random, 1_024))
  return Buffer.concat([bytes.subarray(0, from), part, bytes.subarray(from)])
}
const drop: Mutation = (bytes, random) => {
  const from = randomInt(random, bytes.byteLength)
  return Buffer.concat([bytes.subarray(0, from), bytes.subarray(from + 1 + randomInt(random, 1_024))])
}
const scribble: Mutation = (bytes, random) => {
  const changed = Buffer.from(bytes)
  changed.set(random.bytes(Math.min(64, bytes.byteLength)), randomInt(random, Math.max(1, bytes.byteLength - 64)))
  return changed
}
const swapBlocks: Mutation = (bytes, random) => {
  const changed = Buffer.from(bytes)
  const [a, b] = [randomInt(random, bytes.byteLength >> 9) << 9, randomInt(random, bytes.byteLength >> 9) << 9]
  changed.set(bytes.subarray(a, a + 512), b)
  changed.set(bytes.subarray(b, b + 512), a)
  return changed
}

const ARCHIVE = honest([
  { path: 'bin/run', content: '#!/bin/sh\nexec node main.js\n', isExecutable: true },
  { path: 'data/table.csv', content: 'a,b\n'.repeat(700) },
  { path: 'data/empty' },
])
const TAR = tarOf(ARCHIVE)

test('whatever is changed in a bundle, it is refused by name and nothing is left, or it unpacks to the very same files', async () => {
  const disk = new SimulatedDisk(new SimulatedRandom(1))
  const folders = await foldersIn('/unpacked', disk)
  const bundle = gzipSync(TAR)
  const mutations = { flip, cut, repeat, drop, scribble, swapBlocks }
  let refused = 0
  for (let seed = 1; seed <= 60; seed++) {
    for (const [name, mutate] of Object.entries(mutations)) {
      const random = new SimulatedRandom(seed)
      // Inside, so that gzip's own checksum hides nothing; and the compressed bytes.
      for (const changed of [gzipSync(mutate(TAR, random)), mutate(bundle, random)]) {
        const context = `${name}, seed ${seed}`
        const source = chunksOf(changed, 1 + randomInt(random, 4_096))
        try {
          const { folder } = await folders.unpack(signed(changed), source, new AbortController().signal)
          for (const { path, content = '' } of ARCHIVE.entries) {
            assert.equal(Buffer.from(disk.contentOf(`${folder}/${path}`)).toString(), content, context)
          }
          await folders.remove(sha256(changed))
        } catch (error) {
          if (!(error instanceof DeployError)) throw new Error(context, { cause: error })
          refused++
        }
        assert.deepEqual(folders.list(), [], context)
        assert.deepEqual(await disk.list('/unpacked'), [], context)
      }
    }
  }
  assert.ok(refused > 600, `only ${refused} were refused`)
})

test('a bundle is read the same in chunks of any size', async () => {
  const bundle = gzipSync(TAR)
  const options = { digest: sha256(bundle), sizeBytes: bundle.byteLength, signal: new AbortController().signal }
  const behind = Buffer.concat([bundle, Buffer.alloc(bundle.byteLength)])
  for (const size of [1, 2, 511, 512, 513, bundle.byteLength - 1, bundle.byteLength]) {
    const manifest = await readBundle(chunksOf(bundle, size), options)
    assert.deepEqual(
      manifest.files.map(({ path }) => path),
      ARCHIVE.entries.map(({ path }) => path),
    )
    await assert.rejects(readBundle(chunksOf(behind, size), options), { code: 'P2P_BUNDLE_DAMAGED' }, `${size}`)
  }
  await assert.rejects(readBundle(chunksOf(bundle), { ...options, digest: sha256(TAR) }), {
    code: 'P2P_ARTIFACT_DIGEST_MISMATCH',
  })
})

test('of a bundle without end only a little is read', async () => {
  let pulledBytes = 0
  async function* endless(): AsyncGenerator<Uint8Array, void, undefined> {
    const gzip = createGzip()
    gzip.write(TAR)
    const zeros = setImmediate(function write() {
      // Noise: it stays as large as it is when it is compressed.
      if (!gzip.destroyed) gzip.write(randomBytes(64 * 1_024), () => setImmediate(write))
    })
    try {
      for await (const chunk of gzip as AsyncIterable<Buffer>) {
        pulledBytes += chunk.byteLength
        yield chunk
      }
    } finally {
      clearImmediate(zeros)
      gzip.destroy()
    }
  }
  const options = { digest: sha256(TAR), sizeBytes: 1_024, signal: new AbortController().signal }
  await assert.rejects(readBundle(endless(), options), { code: 'P2P_BUNDLE_INVALID' })
  assert.ok(pulledBytes < 4 * 1_024 * 1_024, `${pulledBytes}`)
})

test('what a bundle says of itself is read without reading its files', async () => {
  const big = honest([{ path: 'z.bin', content: randomBytes(4 * 1_024 * 1_024) }])
  const bundle = gzipSync(tarOf(big))
  let pulledBytes = 0
  let isClosed = false
  async function* counted(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of chunksOf(bundle, 16 * 1_024)) {
        pulledBytes += chunk.byteLength
        yield chunk
      }
    } finally {
      isClosed = true
    }
  }
  const manifest = await readBundleManifest(counted(), new AbortController().signal)
  assert.deepEqual([manifest.service, manifest.version, manifest.files.length], ['greeter', '1.2.3', 3])
  assert.ok(pulledBytes < 1_024 * 1_024, `${pulledBytes}`)
  assert.ok(isClosed, 'the source is let go')
})

test('a reader that is aborted ends with the reason, and lets go of its source', async () => {
  const controller = new AbortController()
  let isClosed = false
  async function* slow(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      yield* chunksOf(gzipSync(TAR).subarray(0, 100))
      controller.abort(new Error('enough'))
      yield new Uint8Array(0)
    } finally {
      isClosed = true
    }
  }
  const options = { digest: sha256(TAR), sizeBytes: 1_024, signal: controller.signal }
  await assert.rejects(readBundle(slow(), options), { message: 'enough' })
  assert.ok(isClosed)
})

test('what the source throws comes through', async () => {
  async function* broken(): AsyncGenerator<Uint8Array, void, undefined> {
    yield gzipSync(TAR).subarray(0, 50)
    throw new Error('the line is cut')
  }
  const options = { digest: sha256(TAR), sizeBytes: 1_024, signal: new AbortController().signal }
  await assert.rejects(readBundle(broken(), options), { message: 'the line is cut' })
})
