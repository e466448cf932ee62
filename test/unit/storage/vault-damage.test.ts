import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import { codeOf, type P2PError } from '../../../src/base/errors.ts'
import { put } from '../../../src/base/control-store.ts'
import { verifyVault } from '../../../src/storage/index.ts'
import { decodeFrameHeader, FRAME_HEADER_BYTES } from '../../../src/storage/vault/frame.ts'
import { decodeHeader } from '../../../src/storage/vault/header.ts'
import { loadVault } from '../../../src/storage/vault-file.ts'
import { SimulatedDisk } from '../../../src/testing/simulated-disk.ts'
import { SimulatedRandom } from '../../../src/testing/simulated-random.ts'
import { bytesOf, openVault, PLOT_KEY, refusal, textOf, VAULT_PATH, world } from './support.ts'

/** A small vault: a snapshot, then three commits in its journal, and what it holds after each. */
interface Sample {
  bytes: Uint8Array
  headerEnd: number
  /** Ends of the records; the first `snapshotRecords` are the snapshot's. */
  ends: number[]
  snapshotRecords: number
  /** Content after the snapshot and after each commit. */
  states: string[]
}

const sample = await makeSample()

test('a vault cut at any byte opens at the commit before the cut, or refuses by name', async () => {
  for (let length = 0; length < sample.bytes.length; length++) {
    const wholeRecords = sample.ends.filter((end) => end <= length).length
    const outcome = await openingOf(sample.bytes.slice(0, length))
    if (wholeRecords < sample.snapshotRecords) assert.equal(outcome, 'P2P_STORAGE_DAMAGED', `cut at ${length}`)
    else assert.equal(outcome, sample.states[wholeRecords - sample.snapshotRecords], `cut at ${length}`)
  }
})

test('a vault with any bit flipped refuses by name; only the last append may be taken for one cut short', async () => {
  const lastRecord = sample.ends.at(-2) as number
  const beforeLast = sample.states.at(-2)
  for (let bit = 0; bit < sample.bytes.length * 8; bit++) {
    const bytes = sample.bytes.slice()
    const at = bit >> 3
    bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7))
    const outcome = await openingOf(bytes)
    if (at >= lastRecord && outcome === beforeLast) continue
    const isInMagicOrVersion = at < 10
    assert.equal(outcome, isInMagicOrVersion ? 'P2P_STORAGE_UNSUPPORTED' : 'P2P_STORAGE_DAMAGED', `bit ${bit}`)
  }
})

test('tampering with any record behind its checksum is refused, and named with its offset', async () => {
  for (const [index, end] of sample.ends.entries()) {
    const begin = sample.ends[index - 1] ?? sample.headerEnd
    const bytes = sample.bytes.slice()
    bytes[end - 20] = (bytes[end - 20] as number) ^ 0x80
    mendChecksums(bytes.subarray(begin, end))
    await assert.rejects(load(bytes), refusal('P2P_STORAGE_DAMAGED', `at byte ${begin}`, 'p2p storage'))
  }
})

test('leaving out, repeating or swapping records of the journal is refused', async () => {
  const records = sample.ends.map((end, i) => sample.bytes.slice(sample.ends[i - 1] ?? sample.headerEnd, end))
  const header = sample.bytes.slice(0, sample.headerEnd)
  const journal = sample.snapshotRecords
  const [a, b, c] = records.slice(journal) as [Uint8Array, Uint8Array, Uint8Array]
  for (const changed of [
    [b, c],
    [a, c],
    [a, a, b, c],
    [a, c, b],
    [b, a, c],
  ]) {
    const bytes = new Uint8Array(Buffer.concat([header, ...records.slice(0, journal), ...changed]))
    assert.equal(await openingOf(bytes), 'P2P_STORAGE_DAMAGED')
  }
})

test('garbage of any length after the last commit is cut off, a whole record there is not', async () => {
  const random = new SimulatedRandom(5)
  for (const length of [1, 27, 28, 29, 300, 5000]) {
    for (const garbage of [random.bytes(length), new Uint8Array(length)]) {
      const outcome = await openingOf(new Uint8Array(Buffer.concat([sample.bytes, garbage])))
      assert.equal(outcome, sample.states.at(-1))
    }
  }
  const replayed = new Uint8Array(Buffer.concat([sample.bytes, sample.bytes.slice(sample.ends.at(-2))]))
  assert.equal(await openingOf(replayed), 'P2P_STORAGE_DAMAGED')
})

test('a damaged vault says what was good, and the report of a torn one how much was lost', async () => {
  const bytes = sample.bytes.slice()
  const second = sample.ends[sample.snapshotRecords] as number
  bytes[second + 50] = (bytes[second + 50] as number) ^ 1
  await assert.rejects(load(bytes), (error: P2PError) => {
    assert.deepEqual(error.details, {
      path: VAULT_PATH,
      offset: second,
      lastGoodSeq: sample.snapshotRecords + 1,
      lastGoodRevision: 3,
    })
    return true
  })
  const disk = diskWith(sample.bytes.slice(0, -5))
  const report = await verifyVault(disk, VAULT_PATH, PLOT_KEY)
  assert.equal(report.tornBytes, sample.bytes.length - 5 - (sample.ends.at(-2) as number))
  assert.equal(disk.contentOf(VAULT_PATH).length, sample.bytes.length - 5, 'verify changes nothing')
})

test('a vault that lost its torn tail takes new commits and opens again', async () => {
  const w = world(9)
  for (let length = sample.ends.at(-2) as number; length < sample.bytes.length; length += 7) {
    w.disk.overwrite(VAULT_PATH, sample.bytes.slice(0, length))
    const vault = await openVault(w)
    await put(vault.store, 'new', bytesOf('x'))
    // As if killed: no stop, no snapshot.
    w.disk.restart()
    assert.equal((await load(w.disk.contentOf(VAULT_PATH))).state.get('new')?.version, 1)
  }
})

async function makeSample(): Promise<Sample> {
  const w = world(3)
  const vault = await openVault(w)
  const states: string[] = []
  const remember = async (): Promise<void> => {
    states.push((await vault.store.range('')).map(({ key, value }) => `${key}=${textOf(value)}`).join())
  }
  await put(vault.store, 'a', bytesOf('1'))
  await put(vault.store, 'b', bytesOf('2'))
  await vault.snapshot()
  await remember()
  await put(vault.store, 'a', bytesOf('3'))
  await remember()
  await vault.store.transact({
    operations: [
      { type: 'delete', key: 'b' },
      { type: 'put', key: 'c', value: bytesOf('4') },
    ],
  })
  await remember()
  await put(vault.store, 'd', bytesOf('5'))
  await remember()
  const bytes = w.disk.contentOf(VAULT_PATH)
  const headerEnd = decodeHeader(VAULT_PATH, bytes).bytes.length
  const ends: number[] = []
  for (let at = headerEnd; at < bytes.length; ) {
    const header = decodeFrameHeader(bytes.subarray(at))
    assert.ok(header)
    at += FRAME_HEADER_BYTES + header.bodyBytes
    ends.push(at)
  }
  return { bytes, headerEnd, ends, snapshotRecords: ends.length - 3, states }
}

function diskWith(bytes: Uint8Array): SimulatedDisk {
  const disk = new SimulatedDisk(new SimulatedRandom(1))
  disk.overwrite(VAULT_PATH, bytes)
  return disk
}

function load(bytes: Uint8Array): ReturnType<typeof loadVault> {
  return loadVault(diskWith(bytes), VAULT_PATH, PLOT_KEY)
}

/** What the vault holds, or the code of its refusal. */
async function openingOf(bytes: Uint8Array): Promise<string> {
  try {
    const { state } = await load(bytes)
    return [...state.range('')].map(({ key, value }) => `${key}=${textOf(value)}`).join()
  } catch (error) {
    const code = codeOf(error)
    if (code === undefined) throw error
    return code
  }
}

function mendChecksums(frame: Uint8Array): void {
  const view = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength)
  view.writeUInt32BE(crc32(view.subarray(FRAME_HEADER_BYTES)), 20)
  view.writeUInt32BE(crc32(view.subarray(0, 24)), 24)
}
