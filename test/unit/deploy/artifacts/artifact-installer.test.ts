import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../../src/base/log.ts'
import { createArtifactFetcher } from '../../../../src/deploy/artifacts/artifact-fetcher.ts'
import { type ArtifactInstaller, createArtifactInstaller } from '../../../../src/deploy/artifacts/artifact-installer.ts'
import type { ArtifactStore } from '../../../../src/deploy/artifacts/artifact-store.ts'
import type { AgentArtifacts } from '../../../../src/deploy/agent/agent-artifacts.ts'
import { createBundleFolders } from '../../../../src/deploy/bundle/bundle-folders.ts'
import { simulatedVerifier } from '../../../../src/testing/index.ts'
import { chunksOf, CLUSTER } from '../bundle/support.ts'
import { bundleWith, DIRECTORY, never, type World, world } from './support.ts'

const BUNDLE = bundleWith(100_000)
const OTHER = bundleWith(1_000, 2)
const FOLDERS = '/state/unpacked'
const HOUR_MS = 60 * 60_000

interface Node {
  installer: ArtifactInstaller
  store: ArtifactStore
  /** How often the artifact was asked of another node. */
  asked: () => number
}

async function node(w: World, ownsStore = true): Promise<Node> {
  const store = await w.open()
  const log = silentLogger
  const folders = createBundleFolders(
    { files: w.disk, verifier: simulatedVerifier, log },
    { directory: FOLDERS, cluster: CLUSTER },
  )
  await folders.start(never)
  const needs = { store, verifier: simulatedVerifier, clock: w.clock, random: w.random, log }
  const fetcher = createArtifactFetcher(needs, { cluster: CLUSTER })
  const bundles = new Map([BUNDLE, OTHER].map((bundle) => [bundle.digest, bundle]))
  let asked = 0
  const installer = createArtifactInstaller(
    {
      store,
      folders,
      fetcher,
      log,
      sourcesOf: () => [
        {
          nodeId: 'coordinator-1',
          isCoordinator: true,
          read: (digest, offset) => {
            asked++
            return chunksOf(bundles.get(digest)?.bytes.subarray(offset) as Buffer)
          },
        },
      ],
      signatureOf: async (digest) => bundles.get(digest)?.signed ?? Promise.reject(new Error('nobody signed it')),
    },
    { ownsStore },
  )
  return { installer, store, asked: () => asked }
}

test('an artifact is fetched and unpacked once, and needs nobody after that', async () => {
  const w = world(1)
  const first = await node(w)
  const agent: AgentArtifacts = first.installer
  assert.equal(agent.has(BUNDLE.digest), false)
  const installed = await agent.ensure(BUNDLE.digest, never)
  assert.equal(installed.folder, `${FOLDERS}/${BUNDLE.digest}`)
  assert.deepEqual([installed.manifest.name, installed.kind], ['greeter', 'process'])
  assert.ok(agent.has(BUNDLE.digest))
  assert.deepEqual(await agent.ensure(BUNDLE.digest, never), installed)
  const second = await node(w)
  assert.deepEqual(await second.installer.ensure(BUNDLE.digest, never), installed)
  assert.deepEqual([first.asked(), second.asked()], [1, 0])
})

test('a bundle that the disk has damaged is fetched anew', async () => {
  for (const damage of [
    (path: string, w: World) =>
      w.disk.overwrite(
        path,
        BUNDLE.bytes.map((byte, index) => (index === 70_000 ? byte ^ 1 : byte)),
      ),
    (path: string, w: World) => w.disk.overwrite(path, BUNDLE.bytes.subarray(0, 50_000)),
  ]) {
    const w = world(2)
    const { installer, store, asked } = await node(w)
    await installer.ensure(BUNDLE.digest, never)
    await w.disk.removeTree(`${FOLDERS}/${BUNDLE.digest}`)
    damage(`${DIRECTORY}/${BUNDLE.digest}.bundle`, w)
    const again = await installer.ensure(BUNDLE.digest, never)
    assert.equal(again.manifest.name, 'greeter')
    assert.equal(asked(), 2)
    assert.ok(store.has(BUNDLE.digest))
  }
})

test('what is not kept goes, folder and bundle; on a coordinator the bundles stay', async () => {
  for (const ownsStore of [true, false]) {
    const w = world(3)
    const { installer, store } = await node(w, ownsStore)
    await installer.ensure(BUNDLE.digest, never)
    await installer.ensure(OTHER.digest, never)
    await w.clock.run(2 * HOUR_MS)
    await installer.keepOnly(() => new Set([OTHER.digest]))
    assert.deepEqual([installer.has(BUNDLE.digest), installer.has(OTHER.digest)], [false, true])
    assert.deepEqual(await w.disk.list(FOLDERS), [OTHER.digest])
    assert.equal(store.has(BUNDLE.digest), !ownsStore)
  }
})

test('what has become wanted while others are removed stays', async () => {
  const w = world(3)
  const { installer } = await node(w)
  await installer.ensure(BUNDLE.digest, never)
  await installer.ensure(OTHER.digest, never)
  await installer.keepOnly(() => new Set(installer.has(BUNDLE.digest) ? [] : [OTHER.digest]))
  assert.deepEqual([installer.has(BUNDLE.digest), installer.has(OTHER.digest)], [false, true])
})

test('why it cannot be had comes through', async () => {
  const w = world(4)
  const { installer } = await node(w)
  await assert.rejects(installer.ensure('f'.repeat(64), never), { message: 'nobody signed it' })
  const signal = AbortSignal.abort(new Error('another plan'))
  await assert.rejects(installer.ensure(BUNDLE.digest, signal), { message: 'another plan' })
  assert.equal(installer.has(BUNDLE.digest), false)
})
