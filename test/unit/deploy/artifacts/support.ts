import { gzipSync } from 'node:zlib'
import { silentLogger } from '../../../../src/base/log.ts'
import type { Random } from '../../../../src/base/random.ts'
import type { Component } from '../../../../src/base/component.ts'
import {
  type ArtifactStore,
  type ArtifactStoreOptions,
  createArtifactStore,
} from '../../../../src/deploy/artifacts/artifact-store.ts'
import { readBundleManifest } from '../../../../src/deploy/bundle/read-bundle.ts'
import type { SignedBundle } from '../../../../src/deploy/bundle/signed-bundle.ts'
import { SimulatedClock, SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { chunksOf, honest, sha256, signed, tarOf } from '../bundle/support.ts'

export const DIRECTORY = '/state/artifacts'
export const never = new AbortController().signal

export interface TestBundle {
  bytes: Buffer
  digest: string
  signed: SignedBundle
}

/** A right bundle with so much that cannot be compressed, different for each seed. */
export function bundleWith(contentBytes: number, seed = 1): TestBundle {
  const content = new SimulatedRandom(seed).bytes(contentBytes)
  const bytes = gzipSync(tarOf(honest([{ path: 'data.bin', content }])), { level: 1 })
  return { bytes, digest: sha256(bytes), signed: signed(bytes) }
}

export interface World {
  clock: SimulatedClock
  disk: SimulatedDisk
  random: Random
  /** A store on that disk, as after a start of the node. */
  open(options?: Partial<ArtifactStoreOptions>): Promise<ArtifactStore & Component>
}

export function world(seed: number): World {
  const random = new SimulatedRandom(seed)
  const clock = new SimulatedClock()
  const disk = new SimulatedDisk(random.fork())
  disk.wallMs = clock.wallMs()
  return {
    clock,
    disk,
    random,
    open: async (options = {}) => {
      const store = createArtifactStore({ files: disk, clock, log: silentLogger }, { directory: DIRECTORY, ...options })
      await store.start(never)
      return store
    },
  }
}

/** Puts a bundle into the store, whole. */
export async function store(into: ArtifactStore, { bytes, digest, signed: statement }: TestBundle): Promise<void> {
  const writer = await into.write(digest, bytes.byteLength, never)
  for await (const chunk of chunksOf(bytes.subarray(writer.offset))) await writer.append(chunk)
  await writer.commit(await readBundleManifest(writer.content(), never), statement)
}

export async function readAll(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = []
  for await (const chunk of source) chunks.push(chunk)
  return Buffer.concat(chunks)
}
