import assert from 'node:assert/strict'
import { test } from 'node:test'
import { put } from '../../../src/base/control-store.ts'
import type { Files, OpenFile } from '../../../src/base/files.ts'
import { backupVault, listVault, verifyVault } from '../../../src/storage/index.ts'
import { bytesOf, openVault, PLOT_KEY, refusal, VAULT_PATH, type World, world } from './support.ts'

const BACKUP = '/backups/monday'

test('a backup of a running vault is an ordinary vault with everything acknowledged so far', async () => {
  const w = world()
  const vault = await openVault(w)
  for (let i = 0; i < 3; i++) await put(vault.store, `k/${i}`, bytesOf(String(i)))
  const report = await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)
  assert.equal(report.revision, 3)
  assert.equal(report.path, BACKUP)
  assert.equal((await w.disk.facts(BACKUP))?.mode, 0o600)
  assert.deepEqual(await w.disk.list('/backups'), ['monday'])
  await put(vault.store, 'k/3', bytesOf('the vault goes on'))
  await vault.stop()
  w.disk.restart()
  assert.equal((await verifyVault(w.disk, BACKUP, PLOT_KEY)).entries, 3)
})

test('compactions while a vault is copied change nothing: what is open stays what it was', async () => {
  const w = world()
  const vault = await openVault(w)
  for (let i = 0; i < 50; i++) await put(vault.store, `k/${i}`, bytesOf('x'.repeat(10_000)))
  let reads = 0
  const files = readHook(w, async () => {
    if (++reads !== 2) return
    // Two: the file that is read loses its last name.
    for (let i = 0; i < 2; i++) {
      await put(vault.store, `later/${i}`, bytesOf('1'))
      await vault.snapshot()
    }
  })
  const report = await backupVault({ ...w.needs, files }, VAULT_PATH, PLOT_KEY, BACKUP)
  assert.ok(reads > 2, 'there was a compaction between two reads')
  assert.equal(vault.status().generation, 3)
  assert.equal(report.revision, 50)
  assert.equal((await listVault(w.disk, BACKUP, PLOT_KEY, 'k/')).length, 50)
  await vault.stop()
})

test('between the two renames of a compaction the vault is found under the name of the next generation', async () => {
  const w = world()
  let atRename = async (): Promise<void> => {}
  const files = hooked(w.disk, {
    rename: async (from, to) => {
      await w.disk.rename(from, to)
      if (from === VAULT_PATH) await atRename()
    },
  })
  const vault = await openVault({ needs: { ...w.needs, files } })
  await put(vault.store, 'a', bytesOf('1'))
  let revision: number | undefined
  atRename = async () => {
    assert.equal(await w.disk.facts(VAULT_PATH), undefined)
    revision = (await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)).revision
  }
  await vault.snapshot()
  assert.equal(revision, 1)
  await vault.stop()
})

test('a generation that gets its name just then is found too, and a vault that is nowhere is named', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  await vault.snapshot()
  await vault.stop()
  let misses = 0
  const files = hooked(w.disk, {
    open: async (path, mode) => {
      if (mode === 'r' && path.startsWith(VAULT_PATH) && misses < 2) {
        misses++
        throw Object.assign(new Error('gone'), { code: 'ENOENT' })
      }
      return w.disk.open(path, mode)
    },
  })
  assert.equal((await backupVault({ ...w.needs, files }, VAULT_PATH, PLOT_KEY, BACKUP)).revision, 1)
  assert.equal(misses, 2)
  await w.disk.remove(VAULT_PATH)
  await assert.rejects(
    backupVault(w.needs, VAULT_PATH, PLOT_KEY, '/backups/tuesday'),
    refusal('P2P_STORAGE_NOT_FOUND', 'p2p storage restore', '.previous'),
  )
})

test('an append in progress is left out, also when the disk is full and it is taken back meanwhile', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  const { bytes } = vault.status()
  await put(vault.store, 'b', bytesOf('2'))
  const whole = w.disk.contentOf(VAULT_PATH)
  await vault.stop()
  for (const isTakenBack of [false, true]) {
    w.disk.overwrite(VAULT_PATH, whole.slice(0, bytes + 40))
    let reads = 0
    const files = readHook(w, async () => {
      if (++reads === 2 && isTakenBack) await (await w.disk.open(VAULT_PATH, 'rw')).truncate(bytes)
    })
    const report = await backupVault({ ...w.needs, files }, VAULT_PATH, PLOT_KEY, `${BACKUP}-${isTakenBack}`)
    assert.equal(report.revision, 1)
    assert.equal(report.tornBytes, 0)
  }
})

test('no room for a backup: said so, nothing stays behind, and the vault goes on', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('x'.repeat(20_000)))
  w.disk.capacityBytes = w.disk.contentOf(VAULT_PATH).length + 10_000
  await assert.rejects(
    backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP),
    refusal('P2P_STORAGE_FULL', `disk of ${BACKUP}:`),
  )
  assert.deepEqual(await w.disk.list('/backups'), [])
  await put(vault.store, 'b', bytesOf('2'))
  w.disk.capacityBytes = Infinity
  await vault.stop()
})

test('a place where no backup can be written is named with what is wrong with it', async () => {
  const w = world()
  await (await openVault(w)).stop()
  for (const [systemCode, code] of [
    ['ENOENT', 'P2P_STORAGE_NOT_FOUND'],
    ['ENOTDIR', 'P2P_STORAGE_NOT_FOUND'],
    ['EACCES', 'P2P_STORAGE_PERMISSIONS'],
    ['EROFS', 'P2P_STORAGE_PERMISSIONS'],
  ] as const) {
    const files = hooked(w.disk, {
      open: async (path, mode) => {
        if (mode === 'wx') throw Object.assign(new Error('refused'), { code: systemCode })
        return w.disk.open(path, mode)
      },
    })
    await assert.rejects(backupVault({ ...w.needs, files }, VAULT_PATH, PLOT_KEY, BACKUP), refusal(code, ' /backups; '))
  }
})

test('a crash at any moment leaves a whole backup under its name, or none', async () => {
  let wholes = 0
  let nones = 0
  for (let seed = 1; seed <= 5; seed++) {
    for (let operations = 1; ; operations++) {
      const w = world(seed)
      const vault = await openVault(w)
      await put(vault.store, 'a', bytesOf('1'))
      await vault.stop()
      w.disk.cutPowerAfter(operations)
      const done = await backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP).then(
        () => true,
        () => false,
      )
      w.disk.restart()
      const isThere = (await w.disk.facts(BACKUP)) !== undefined
      if (isThere) assert.equal((await verifyVault(w.disk, BACKUP, PLOT_KEY)).revision, 1)
      if (isThere) wholes++
      else nones++
      if (!done) continue
      assert.ok(isThere, 'reported as done, and durable')
      break
    }
  }
  assert.ok(wholes >= 5 && nones >= 5, `${wholes} whole, ${nones} none`)
})

test('two backups to one name at once: one is refused or both are the same, and no part is left', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  const both = await Promise.allSettled([1, 2].map(() => backupVault(w.needs, VAULT_PATH, PLOT_KEY, BACKUP)))
  assert.ok(both.some(({ status }) => status === 'fulfilled'))
  for (const each of both) {
    if (each.status === 'rejected') assert.ok(refusal('P2P_STORAGE_EXISTS', BACKUP)(each.reason))
  }
  assert.deepEqual(await w.disk.list('/backups'), ['monday'])
  assert.equal((await verifyVault(w.disk, BACKUP, PLOT_KEY)).revision, 1)
  await vault.stop()
})

/** The disk, with some operations replaced. */
function hooked(disk: Files, replaced: Partial<Files>): Files {
  return new Proxy(disk, {
    get(target, name: keyof Files) {
      const operation = replaced[name] ?? target[name]
      return operation.bind(target)
    },
  })
}

/** The world's disk; `before` runs before each read of a vault. */
function readHook({ disk }: World, before: () => Promise<void>): Files {
  return hooked(disk, {
    open: async (path, mode) => {
      const file = await disk.open(path, mode)
      if (mode !== 'r' || !path.startsWith(VAULT_PATH)) return file
      const read: OpenFile['read'] = async (offset, length) => {
        await before()
        return file.read(offset, length)
      }
      return { ...file, read }
    },
  })
}
