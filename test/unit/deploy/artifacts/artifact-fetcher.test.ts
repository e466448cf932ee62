import assert from 'node:assert/strict'
import { test } from 'node:test'
import { DeployError } from '../../../../src/base/errors.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { type Random, randomInt } from '../../../../src/base/random.ts'
import { delay } from '../../../../src/base/time.ts'
import type { FetchProgress } from '../../../../src/deploy/artifacts/artifact-download.ts'
import { type ArtifactFetcher, createArtifactFetcher } from '../../../../src/deploy/artifacts/artifact-fetcher.ts'
import type { ArtifactSource } from '../../../../src/deploy/artifacts/artifact-source.ts'
import type { ArtifactStore } from '../../../../src/deploy/artifacts/artifact-store.ts'
import { SimulatedRandom, simulatedVerifier } from '../../../../src/testing/index.ts'
import { bundleOf, chunksOf, CLUSTER, honest, sha256, signed } from '../bundle/support.ts'
import { bundleWith, DIRECTORY, never, readAll, type TestBundle, type World, world } from './support.ts'

const KIB = 1_024
const BUNDLE = bundleWith(400 * KIB)

interface Stage {
  w: World
  store: ArtifactStore
  fetcher: ArtifactFetcher
}

async function stage(seed: number, options: { fetchesMax?: number } = {}): Promise<Stage> {
  const w = world(seed)
  const store = await w.open()
  const needs = { store, verifier: simulatedVerifier, clock: w.clock, random: w.random, log: silentLogger }
  return { w, store, fetcher: createArtifactFetcher(needs, { cluster: CLUSTER, ...options }) }
}

type Giver = (bundle: TestBundle, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>

/** A source that gives as `give` says; `asked` has the offsets it was asked for. */
function source(nodeId: string, give: Giver, bundles = [BUNDLE]): ArtifactSource & { asked: number[] } {
  const asked: number[] = []
  return {
    nodeId,
    isCoordinator: nodeId.startsWith('coordinator'),
    asked,
    read: (digest, offset, signal) => {
      asked.push(offset)
      return give(bundles.find((bundle) => bundle.digest === digest) as TestBundle, offset, signal)
    },
  }
}

const good: Giver = ({ bytes }, offset) => chunksOf(bytes.subarray(offset), 50 * KIB)
const unknown: Giver = async function* () {
  yield* []
  throw new DeployError('P2P_ARTIFACT_UNKNOWN', 'not here')
}
const broken: Giver = async function* () {
  yield* []
  throw new Error('connection lost')
}
/** Gives so many bytes, then breaks. */
const upTo = (count: number): Giver =>
  async function* ({ bytes }, offset) {
    yield* chunksOf(bytes.subarray(offset, offset + count), 10 * KIB)
    throw new Error('connection lost')
  }
/** Gives other bytes than the artifact has. */
const liar: Giver = ({ bytes }, offset) =>
  chunksOf(
    bytes.subarray(offset).map((byte) => byte ^ 0xff),
    50 * KIB,
  )
const hangs: Giver = async function* () {
  yield new Uint8Array(0)
  await new Promise(() => {})
}

test('neighbours are asked before coordinators, each time in another order', async () => {
  const first = new Set<string>()
  for (let seed = 1; seed <= 30; seed++) {
    const { fetcher, store } = await stage(seed)
    const sources = ['coordinator-1', 'worker-1', 'worker-2', 'worker-3'].map((id) => source(id, good))
    await fetcher.fetch(BUNDLE.signed, sources, { signal: never })
    assert.deepEqual(await readAll(store.read(BUNDLE.digest)), BUNDLE.bytes)
    const asked = sources.filter((each) => each.asked.length > 0)
    assert.equal(asked.length, 1)
    first.add(asked[0]?.nodeId as string)
  }
  assert.deepEqual([...first].sort(), ['worker-1', 'worker-2', 'worker-3'])
})

test('who does not have it or breaks is passed over, and the next one goes on where the last one stopped', async () => {
  const { fetcher, store } = await stage(1)
  const sources = [
    source('worker-1', unknown),
    source('worker-2', upTo(100 * KIB)),
    source('worker-3', broken),
    source('coordinator-1', good),
  ]
  const progress: FetchProgress[] = []
  const facts = await fetcher.fetch(BUNDLE.signed, sources, {
    signal: never,
    onProgress: (each) => progress.push(each),
  })
  assert.equal(facts.service, 'greeter')
  assert.deepEqual(store.get(BUNDLE.digest), facts)
  assert.deepEqual(
    sources.map(({ asked }) => asked.length),
    [1, 1, 1, 1],
  )
  assert.deepEqual(sources[3]?.asked, [100 * KIB])
  const bytes = progress.map((each) => each.bytes)
  assert.deepEqual(
    bytes,
    bytes.toSorted((a, b) => a - b),
    'it never goes back',
  )
  assert.equal(bytes.at(-1), BUNDLE.bytes.byteLength)
  assert.deepEqual([...new Set(progress.map(({ nodeId }) => nodeId))], ['worker-2', 'coordinator-1'])
})

test('one source that breaks again and again is enough, as long as it gets on', async () => {
  const { fetcher, store } = await stage(1)
  const only = source('coordinator-1', upTo(200 * KIB))
  await fetcher.fetch(BUNDLE.signed, [only], { signal: never })
  assert.deepEqual(only.asked, [0, 200 * KIB, 400 * KIB])
  assert.ok(store.has(BUNDLE.digest))
})

test('when nobody gives it, everybody is named with the reason, and the next fetch goes on', async () => {
  const { fetcher, store } = await stage(2)
  const sources = [source('worker-1', unknown), source('coordinator-1', upTo(10 * KIB))]
  await assert.rejects(fetcher.fetch(BUNDLE.signed, sources, { signal: never }), (error: DeployError) => {
    assert.equal(error.code, 'P2P_ARTIFACT_UNAVAILABLE')
    assert.match(error.message, /worker-1: not here; coordinator-1: connection lost.*tried again/)
    return true
  })
  assert.deepEqual(
    sources.map(({ asked }) => asked.length),
    [1, 3],
    'not for ever',
  )
  await assert.rejects(fetcher.fetch(BUNDLE.signed, [], { signal: never }), /no node has it/)
  const later = source('worker-2', good)
  await fetcher.fetch(BUNDLE.signed, [later], { signal: never })
  assert.deepEqual(later.asked, [30 * KIB])
  assert.ok(store.has(BUNDLE.digest))
})

test('a source that hangs, or only drips, is left after its time', async () => {
  const drips: Giver = async function* ({ bytes }, offset, signal) {
    for await (const byte of chunksOf(bytes.subarray(offset), 1)) {
      await delay(stageClock(), 1_000, signal)
      yield byte
    }
  }
  let stageClock: () => World['clock'] = () => assert.fail('not yet')
  for (const slow of [hangs, drips]) {
    const { w, fetcher, store } = await stage(3)
    stageClock = () => w.clock
    const sources = [source('worker-1', slow), source('coordinator-1', good)]
    const fetched = fetcher.fetch(BUNDLE.signed, sources, { signal: never })
    await w.clock.run(15_000)
    await fetched
    assert.ok(store.has(BUNDLE.digest))
    assert.deepEqual(sources[1]?.asked, [slow === drips ? 14 : 0])
  }
})

test('a slow source that gets on is not left', async () => {
  const { w, fetcher, store } = await stage(4)
  const slow: Giver = async function* ({ bytes }, offset, signal) {
    for await (const chunk of chunksOf(bytes.subarray(offset), 16 * KIB)) {
      await delay(w.clock, 3_000, signal)
      yield chunk
    }
  }
  const only = source('coordinator-1', slow)
  const fetched = fetcher.fetch(BUNDLE.signed, [only], { signal: never })
  await w.clock.run(200_000)
  await fetched
  assert.ok(store.has(BUNDLE.digest))
  assert.deepEqual(only.asked, [0])
})

test('who lies is found and left, also when his bytes were mixed with those of others', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const { fetcher, store } = await stage(seed)
    const sources = [
      source('worker-1', liar),
      source('worker-2', upTo(150 * KIB)),
      source('worker-3', liar),
      source('coordinator-1', good),
    ]
    await fetcher.fetch(BUNDLE.signed, sources, { signal: never })
    assert.deepEqual(await readAll(store.read(BUNDLE.digest)), BUNDLE.bytes, `seed ${seed}`)
  }
  const { w, fetcher } = await stage(1)
  const liars = ['worker-1', 'worker-2', 'coordinator-1'].map((id) => source(id, liar))
  await assert.rejects(fetcher.fetch(BUNDLE.signed, liars, { signal: never }), (error: DeployError) => {
    assert.equal(error.code, 'P2P_ARTIFACT_UNAVAILABLE')
    assert.equal([...error.message.matchAll(/gave other bytes/g)].length, 3)
    return true
  })
  assert.deepEqual(await w.disk.list(DIRECTORY), [], 'nothing wrong is left to go on with')
})

test('wrong bytes of an earlier fetch do not spoil a later one', async () => {
  const { fetcher, store } = await stage(5)
  const writer = await store.write(BUNDLE.digest, BUNDLE.bytes.byteLength, never)
  await writer.append(new Uint8Array(1_000))
  await writer.close()
  const only = source('coordinator-1', good)
  await fetcher.fetch(BUNDLE.signed, [only], { signal: never })
  assert.deepEqual(only.asked, [1_000, 0])
  assert.deepEqual(await readAll(store.read(BUNDLE.digest)), BUNDLE.bytes)
})

test('who gives more than was asked for, in all or in a chunk, or no bytes, is left at once', async () => {
  const { fetcher } = await stage(6)
  const tooMuch: Giver = ({ bytes }, offset) => chunksOf(Buffer.concat([bytes.subarray(offset), bytes]), 100 * KIB)
  const atOnce: Giver = ({ bytes }, offset) => chunksOf(bytes.subarray(offset), 300 * KIB)
  async function* anything(): AsyncGenerator<Uint8Array, void, undefined> {
    for (const each of [undefined, 'text', { byteLength: 1 }]) yield each as unknown as Uint8Array
  }
  const sources = [tooMuch, atOnce, anything].map((give, index) => source(`worker-${index}`, give))
  await fetcher.fetch(BUNDLE.signed, [...sources, source('coordinator-1', good)], { signal: never })
  for (const each of sources) assert.ok(each.asked.length <= 1)
})

test('sources that do anything at all, by chance: the right bytes come, or an error that says why', async () => {
  const behaviours: ((random: Random) => Giver)[] = [
    () => good,
    () => unknown,
    () => broken,
    () => liar,
    (random) => upTo(randomInt(random, 500 * KIB)),
    () =>
      ({ bytes }, offset) =>
        chunksOf(bytes.subarray(offset, -1)),
    () =>
      ({ bytes }, offset) =>
        chunksOf(bytes.subarray(Math.max(0, offset - 1)), 9 * KIB),
    () => () => chunksOf(new Uint8Array(0)),
  ]
  for (let seed = 1; seed <= 150; seed++) {
    const random = new SimulatedRandom(seed)
    const { w, fetcher, store } = await stage(seed)
    const sources = Array.from({ length: 1 + randomInt(random, 6) }, (_, index) => {
      const behaviour = behaviours[randomInt(random, behaviours.length)] as (random: Random) => Giver
      return source(`${random.float() < 0.3 ? 'coordinator' : 'worker'}-${index}`, behaviour(random))
    })
    const result = await fetcher.fetch(BUNDLE.signed, sources, { signal: never }).catch((error: unknown) => error)
    if (store.has(BUNDLE.digest))
      assert.deepEqual(await readAll(store.read(BUNDLE.digest)), BUNDLE.bytes, `seed ${seed}`)
    else assert.equal((result as DeployError).code, 'P2P_ARTIFACT_UNAVAILABLE', `seed ${seed}`)
    await fetcher.fetch(BUNDLE.signed, [source('coordinator-1', good)], { signal: never })
    assert.deepEqual(await readAll(store.read(BUNDLE.digest)), BUNDLE.bytes, `seed ${seed}`)
    assert.equal((await w.disk.list(DIRECTORY)).length, 2)
  }
})

test('callers for one artifact share one fetch, which ends when the last of them gives up', async () => {
  const { w, fetcher, store } = await stage(7)
  const gate = Promise.withResolvers<void>()
  const gated: Giver = async function* (bundle, offset) {
    await gate.promise
    yield* good(bundle, offset, never)
  }
  const only = source('coordinator-1', gated)
  const [a, b] = [new AbortController(), new AbortController()]
  const first = fetcher.fetch(BUNDLE.signed, [only], { signal: a.signal })
  const second = fetcher.fetch(BUNDLE.signed, [only], { signal: b.signal })
  a.abort(new Error('no longer'))
  await assert.rejects(first, { message: 'no longer' })
  gate.resolve()
  await second
  assert.deepEqual(only.asked, [0])
  assert.ok(store.has(BUNDLE.digest))
  const third = await fetcher.fetch(BUNDLE.signed, [only], { signal: never })
  assert.deepEqual(third, store.get(BUNDLE.digest))
  assert.deepEqual(only.asked, [0], 'what is here is not fetched')

  await w.clock.run(2 * 60 * 60_000)
  await store.collect(new Set(), 0)
  const hanging = source('coordinator-1', hangs)
  const c = new AbortController()
  const fourth = fetcher.fetch(BUNDLE.signed, [hanging], { signal: c.signal })
  c.abort(new Error('no longer'))
  // The one before is still ending: the next waits for that, and then fetches.
  await fourth.catch(() => fetcher.fetch(BUNDLE.signed, [source('coordinator-1', good)], { signal: never }))
  assert.equal(hanging.asked.length, 1)
  assert.ok(store.has(BUNDLE.digest))
})

test('only so many artifacts are fetched at once', async () => {
  const bundles = [1, 2, 3, 4, 5].map((seed) => bundleWith(KIB, seed))
  const { fetcher, store } = await stage(8, { fetchesMax: 2 })
  let running = 0
  let runningMax = 0
  const counted: Giver = async function* (bundle, offset) {
    runningMax = Math.max(runningMax, ++running)
    try {
      await new Promise((resolve) => setImmediate(resolve))
      yield* good(bundle, offset, never)
    } finally {
      running--
    }
  }
  const given = new AbortController()
  const waiting = fetcher.fetch((bundles[0] as TestBundle).signed, [source('a', counted, bundles)], { signal: never })
  const others = bundles
    .slice(1)
    .map((bundle) => fetcher.fetch(bundle.signed, [source('a', counted, bundles)], { signal: never }))
  const impatient = fetcher.fetch(BUNDLE.signed, [source('a', good)], { signal: given.signal })
  given.abort(new Error('no longer'))
  await assert.rejects(impatient, { message: 'no longer' })
  await Promise.all([waiting, ...others])
  assert.equal(runningMax, 2)
  assert.equal(store.list().length, 5)
})

test('nothing is asked of anybody for what no coordinator signed', async () => {
  const { fetcher } = await stage(9)
  const only = source('coordinator-1', good)
  const forged = { ...BUNDLE.signed, signature: 'AAAA' }
  await assert.rejects(fetcher.fetch(forged, [only], { signal: never }), { code: 'P2P_BUNDLE_SIGNATURE_INVALID' })
  assert.deepEqual(only.asked, [])
})

test('a full disk is no fault of the source; a bundle that cannot be used is not kept', async () => {
  const { w, fetcher } = await stage(10)
  w.disk.capacityBytes = 100 * KIB
  const only = source('coordinator-1', good)
  await assert.rejects(fetcher.fetch(BUNDLE.signed, [only], { signal: never }), { code: 'P2P_ARTIFACT_NO_ROOM' })
  assert.deepEqual(only.asked, [0])
  w.disk.capacityBytes = Infinity
  const bytes = bundleOf({ ...honest(), manifest: { format: 1 } })
  const useless = { bytes, digest: sha256(bytes), signed: signed(bytes) }
  await assert.rejects(fetcher.fetch(useless.signed, [source('coordinator-1', good, [useless])], { signal: never }), {
    code: 'P2P_BUNDLE_INVALID',
  })
  assert.deepEqual(await w.disk.list(DIRECTORY), [])
})
