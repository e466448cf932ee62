import assert from 'node:assert/strict'
import { test } from 'node:test'
import { put } from '../../../src/base/control-store.ts'
import {
  backupVault,
  listVault,
  rekeyVault,
  repairVault,
  restoreVault,
  type UnlockKey,
  verifyVault,
} from '../../../src/storage/index.ts'
import { bytesOf, openVault, PLOT_KEY, refusal, textOf, VAULT_PATH, type World, world } from './support.ts'

const BACKUP = '/backups/monday'

test('verify reports a vault, closed or in use, and list its keys without values', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a/1', bytesOf('secret'))
  await put(vault.store, 'b', bytesOf(''))
  const report = await verifyVault(w.disk, VAULT_PATH, PLOT_KEY)
  const { storageId, bytes, generation } = vault.status()
  assert.deepEqual(report, {
    path: VAULT_PATH,
    storageId,
    generation,
    bytes,
    tornBytes: 0,
    records: 3,
    segments: 2,
    revision: 2,
    entries: 2,
    slots: ['plot', 'recovery'],
  })
  const listed = await listVault(w.disk, VAULT_PATH, PLOT_KEY, 'a/')
  assert.deepEqual(listed, [{ key: 'a/1', bytes: 6, createRevision: 1, revision: 1, version: 1 }])
  assert.equal((await listVault(w.disk, VAULT_PATH, PLOT_KEY)).length, 2)
  await vault.stop()
})

test('verify and list refuse what is not there and what is no vault', async () => {
  const w = world()
  await assert.rejects(verifyVault(w.disk, VAULT_PATH, PLOT_KEY), refusal('P2P_STORAGE_NOT_FOUND', VAULT_PATH))
  w.disk.overwrite(VAULT_PATH, bytesOf('x'.repeat(1000)))
  await assert.rejects(listVault(w.disk, VAULT_PATH, PLOT_KEY), refusal('P2P_STORAGE_UNSUPPORTED', VAULT_PATH))
})

test('a backup, of a running node or of a stopped one, holds everything and replaces nothing', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  await vault.backup(BACKUP)
  await assert.rejects(vault.backup(BACKUP), refusal('P2P_STORAGE_EXISTS', BACKUP))
  await put(vault.store, 'a', bytesOf('2'))
  await vault.stop()
  await assert.rejects(backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP), refusal('P2P_STORAGE_EXISTS', BACKUP))
  const report = await backupVault(w.needs, VAULT_PATH, PLOT_KEY, '/backups/tuesday')
  assert.equal(report.revision, 2)
  w.disk.restart()
  assert.equal((await verifyVault(w.disk, BACKUP, PLOT_KEY)).revision, 1)
})

test('restoring puts the backup in place and keeps the vault as the previous generation', async () => {
  const w = await filled('old')
  await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('new'))
  await assert.rejects(restoreVault(w.needs, BACKUP, PLOT_KEY, VAULT_PATH), refusal('P2P_STORAGE_LOCKED'))
  await vault.stop()
  await restoreVault(w.needs, BACKUP, PLOT_KEY, VAULT_PATH)
  assert.equal(await valueOf(w, 'a'), 'old')
  // Back again: a previous generation is restored like any backup.
  await restoreVault(w.needs, `${VAULT_PATH}.previous`, PLOT_KEY, VAULT_PATH)
  assert.equal(await valueOf(w, 'a'), 'new')
})

test('a damaged or foreign backup is not restored', async () => {
  const w = await filled('mine')
  await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)
  const damaged = w.disk.contentOf(BACKUP)
  damaged[damaged.length - 30] = (damaged.at(-30) as number) ^ 1
  w.disk.overwrite(BACKUP, damaged)
  await assert.rejects(restoreVault(w.needs, BACKUP, PLOT_KEY, VAULT_PATH), refusal('P2P_STORAGE_DAMAGED', BACKUP))
  const wrong: UnlockKey = { kind: 'plot', secret: 'another' }
  w.disk.overwrite(BACKUP, w.disk.contentOf(VAULT_PATH))
  await assert.rejects(restoreVault(w.needs, BACKUP, wrong, VAULT_PATH), refusal('P2P_STORAGE_UNLOCK_FAILED', BACKUP))
  assert.equal(await valueOf(w, 'a'), 'mine')
})

test('a vault is restored where there is none', async () => {
  const w = await filled('1')
  await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)
  await restoreVault(w.needs, BACKUP, PLOT_KEY, '/elsewhere/vault')
  assert.equal((await verifyVault(w.disk, '/elsewhere/vault', PLOT_KEY)).entries, 1)
})

test('repair keeps what precedes the damage, and the damaged file', async () => {
  const w = world()
  const vault = await openVault(w)
  const ends: number[] = []
  for (let i = 1; i <= 5; i++) {
    await put(vault.store, 'a', bytesOf(String(i)))
    ends.push(vault.status().bytes)
  }
  w.disk.restart()
  const damaged = w.disk.contentOf(VAULT_PATH)
  damaged[(ends[3] as number) - 1] = (damaged[(ends[3] as number) - 1] as number) ^ 1
  w.disk.overwrite(VAULT_PATH, damaged)
  await assert.rejects(
    openVault(w),
    refusal('P2P_STORAGE_DAMAGED', `at byte ${ends[2]}`, 'repair --to-seq 4', 'revision 3'),
  )
  // Record 1 is the snapshot, record 5 the damaged commit.
  await assert.rejects(repairVault(w.needs, VAULT_PATH, PLOT_KEY, 5), refusal('P2P_STORAGE_DAMAGED'))
  await assert.rejects(
    repairVault(w.needs, VAULT_PATH, PLOT_KEY, 0),
    refusal('P2P_STORAGE_DAMAGED', 'inside the snapshot'),
  )
  const report = await repairVault(w.needs, VAULT_PATH, PLOT_KEY, 4)
  assert.equal(report.revision, 3)
  assert.equal(await valueOf(w, 'a'), '3')
  assert.deepEqual(w.disk.contentOf(`${VAULT_PATH}.previous`), damaged)
})

test('a new plot, a password and a recovery key are added or replaced; the others keep working', async () => {
  const w = await filled('1')
  const password: UnlockKey = { kind: 'password', secret: 'correct horse' }
  const newPlot: UnlockKey = { kind: 'plot', secret: 'the next plot' }
  const added = await rekeyVault(w.needs, VAULT_PATH, PLOT_KEY, password)
  assert.deepEqual(added.report.slots, ['plot', 'recovery', 'password'])
  const { recoveryKey } = await rekeyVault(w.needs, VAULT_PATH, PLOT_KEY, { kind: 'recovery' })
  await rekeyVault(w.needs, VAULT_PATH, { kind: 'recovery', secret: recoveryKey as string }, newPlot)
  for (const unlock of [password, newPlot, { kind: 'recovery' as const, secret: recoveryKey as string }]) {
    assert.equal((await listVault(w.disk, VAULT_PATH, unlock)).length, 1)
  }
  await assert.rejects(verifyVault(w.disk, VAULT_PATH, PLOT_KEY), refusal('P2P_STORAGE_UNLOCK_FAILED'))
  assert.deepEqual(await w.disk.list('/data'), ['vault'], 'no generation that the old plot opens stays beside it')
})

test('rekeying with the wrong secret, a bad password or a vault in use changes nothing', async () => {
  const w = await filled('1')
  const before = w.disk.contentOf(VAULT_PATH)
  const wrong: UnlockKey = { kind: 'plot', secret: 'wrong' }
  await assert.rejects(
    rekeyVault(w.needs, VAULT_PATH, wrong, { kind: 'recovery' }),
    refusal('P2P_STORAGE_UNLOCK_FAILED'),
  )
  const short: UnlockKey = { kind: 'password', secret: 'short' }
  await assert.rejects(rekeyVault(w.needs, VAULT_PATH, PLOT_KEY, short), refusal('P2P_STORAGE_PASSWORD_INVALID'))
  const vault = await openVault(w)
  await assert.rejects(rekeyVault(w.needs, VAULT_PATH, PLOT_KEY, { kind: 'recovery' }), refusal('P2P_STORAGE_LOCKED'))
  await vault.stop()
  assert.deepEqual(w.disk.contentOf(VAULT_PATH), before)
})

async function filled(value: string): Promise<World> {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf(value))
  await vault.stop()
  return w
}

async function valueOf(w: World, key: string): Promise<string> {
  const vault = await openVault(w, { createIfMissing: false })
  const entry = await vault.store.get(key)
  await vault.stop()
  return textOf(entry?.value ?? new Uint8Array(0))
}
