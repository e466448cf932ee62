import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { importLegacyArchive, readLegacyArchive } from '../../../src/storage/index.ts'
import { LEGACY_ARCHIVE_BYTES_MAX } from '../../../src/storage/legacy-archive.ts'
import { openVault, refusal, textOf, world } from './support.ts'

const PASSWORD = 'correct horse battery'

/** An archive written by the Python program's own functions. */
const ARCHIVE = Buffer.from(
  [
    '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f000102030405060708090a0bde63622d44b3b8ed718ad98be3af60d9ec247ef8',
    '009e969edc0b65886aae1d448fb963609ac9226f0edce25406ee72007a2dca43ddbf2329136a1dd8e5b08a989c20ce3c72620ec8d5b160a093fc6bd329422b44',
    '981cc05bb9dbfccd8fef0771fe8acf012720409b6cc7ce4324173aa03b35d51dd50e0a2d4181f0d44349965ecce12c5e3a50b787610d27762983d00552212762',
    'a1b3d6b7a6fac2885686fd2cd9353172da5f05e66a8c69e046f445019a1a701ec055d9d2a0f18bac9c63d31d40f95289b0632b2d6559e8f33b11db5800f66f05',
    '1c58bd27abf404f1b40135a2aaf87b5de72bd72e56c7c8e09bd28a5b0c649294d323b320ca2cdc5122e0942ca9bdc2a5c7585eade4c75c417382a61cfea1454d',
    '2239c28a90d82ef25e1d4009369bb41acbd6033956910b41ec1745be55c9c9e97a03d2a4015a1e40114e44d5fff4271e3aed58de5ba239bf0f25aa54cf5bf7ee',
    '30b0125ebfd406c3bd2702c979d83e028d63a288efcf510718f95635edd8d7e851a00d89c1b37d42cd53ad484671cb9fcc5b8dbf9cb183d13f85737ad69041f0',
    '2fbd51e81ef8173b946f523ad4176f56360970e0a19c42b26926fda4ce37739051cbc3f4698d43f5daec76f37913076116f2eb2d0685150bbb5cb46e9ba6e638',
    '45d089ca94d23ff30e67303b2c6bf576a955ca59719bde76dadd932a5106f9455da71c8342e142349a7a61fe2d5d3fb31d7adc6bbc0b67f201b22450f722d604',
    'cffb3dc6fec030ff571d4e678029dc4fe84df328ccad596c9fa6c090515cd9f9d054a22a607c44b2005318a9624661c9c3ef7fc327995deb56a0fd98fc47ec5b',
    '77e5c0e64d842df758abaebb2a16811540068ee895622fb74ddfcb3ea8dba3d5149d55f460447954aa12a814e9438f773090f5bdf922768b36eca20063635de8',
    '2762436c5d5618b6bd5378802d1abefc43951af70449bf226de033d92af6c47b67c420d8e9ad2f89d8122a0bd8cfceeaadbb18c91e9ecdb90d8b6a',
  ].join(''),
  'hex',
)

test('an archive of the Python program is read as it was written there', async () => {
  const sha256 = createHash('sha256').update(ARCHIVE).digest('hex')
  assert.equal(sha256, '90eea47fed24d4661cfc6eae2f0108fcf11254868131aece3803f43b6ee6f442')
  const files = await readLegacyArchive(ARCHIVE, PASSWORD)
  assert.deepEqual(
    files.map(({ path }) => path),
    ['config/a.yaml', 'certs/x.cer'],
  )
  assert.equal(textOf(files[0]?.bytes as Uint8Array), 'k: v\n')
  assert.deepEqual(files[1]?.bytes, new Uint8Array([0, 1]))
})

test('its files are imported under a prefix of their own, again and again', async () => {
  const vault = await openVault(world())
  const files = await readLegacyArchive(ARCHIVE, PASSWORD)
  for (let i = 0; i < 2; i++) {
    assert.deepEqual(await importLegacyArchive(vault.store, files), ['import/config/a.yaml', 'import/certs/x.cer'])
  }
  const entries = await vault.store.range('import/')
  assert.deepEqual(
    entries.map(({ key, version }) => [key, version]),
    [
      ['import/certs/x.cer', 2],
      ['import/config/a.yaml', 2],
    ],
  )
  await vault.stop()
})

test('a wrong password is refused by name', async () => {
  await assert.rejects(
    readLegacyArchive(ARCHIVE, 'wrong horse battery'),
    refusal('P2P_STORAGE_UNLOCK_FAILED', '--archive-password'),
  )
  await assert.rejects(readLegacyArchive(ARCHIVE, 'short'), refusal('P2P_STORAGE_PASSWORD_INVALID'))
})

test('a changed, cut or foreign file is refused by name', async () => {
  const changed = Buffer.from(ARCHIVE)
  changed[100] = (changed[100] as number) ^ 1
  for (const bytes of [changed, ARCHIVE.subarray(0, 400)]) {
    await assert.rejects(readLegacyArchive(bytes, PASSWORD), refusal('P2P_STORAGE_UNLOCK_FAILED', 'damaged'))
  }
  await assert.rejects(
    readLegacyArchive(ARCHIVE.subarray(0, 59), PASSWORD),
    refusal('P2P_STORAGE_UNSUPPORTED', 'too short'),
  )
})

test('an archive beyond the limit is refused before any work is done', async () => {
  const huge = new Uint8Array(LEGACY_ARCHIVE_BYTES_MAX + 1)
  await assert.rejects(readLegacyArchive(huge, PASSWORD), refusal('P2P_STORAGE_VALUE_TOO_LARGE', '64.0 MiB'))
})
