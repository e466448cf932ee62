import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ChangeEvent, put } from '../../../src/base/control-store.ts'
import type { OpenFile, OpenMode } from '../../../src/base/files.ts'
import type { Logger } from '../../../src/base/log.ts'
import { silentLogger } from '../../../src/base/log.ts'
import { createVault, generatePlot, type UnlockKey, verifyVault } from '../../../src/storage/index.ts'
import { formatRecoveryKey } from '../../../src/storage/vault/recovery-key.ts'
import { SimulatedDisk } from '../../../src/testing/simulated-disk.ts'
import { SimulatedRandom } from '../../../src/testing/simulated-random.ts'
import { bytesOf, openVault, PLOT_KEY, refusal, settle, textOf, VAULT_PATH, world } from './support.ts'

const never = new AbortController().signal

test('a new vault is opened by what it was made with and by the recovery key shown once', async () => {
  const w = world()
  const vault = await openVault(w)
  const recoveryKey = vault.recoveryKey() as string
  assert.match(recoveryKey, /^P2PR(-[0-9A-Z]{4}){9}$/)
  await put(vault.store, 'a', bytesOf('1'))
  await vault.stop()

  const again = await openVault(w)
  assert.equal(again.recoveryKey(), undefined)
  assert.deepEqual(again.status().slots, ['plot', 'recovery'])
  await again.stop()

  const typed = recoveryKey.toLowerCase().replaceAll('-', ' ').replaceAll('0', 'o').replaceAll('1', 'l')
  const recovered = await openVault(w, { unlock: { kind: 'recovery', secret: typed } })
  assert.equal(textOf((await recovered.store.get('a'))?.value as Uint8Array), '1')
  await recovered.stop()
})

test('a vault made with a password opens with it, however its characters are composed', async () => {
  const w = world()
  const secret = 'pässword, längere'
  await (await openVault(w, { unlock: { kind: 'password', secret: secret.normalize('NFC') } })).stop()
  await (await openVault(w, { unlock: { kind: 'password', secret: secret.normalize('NFD') } })).stop()
})

test('every wrong secret is refused by name and changes nothing', async () => {
  const w = world()
  const made = await openVault(w)
  await put(made.store, 'a', bytesOf('1'))
  await made.stop()
  const before = w.disk.contentOf(VAULT_PATH)
  const wrong: [UnlockKey, Parameters<typeof refusal>][] = [
    [{ kind: 'plot', secret: 'another plot' }, ['P2P_STORAGE_UNLOCK_FAILED', 'Wrong plot', 'recovery key']],
    [
      { kind: 'password', secret: 'some password' },
      ['P2P_STORAGE_UNLOCK_FAILED', 'only by a plot or the recovery key'],
    ],
    [{ kind: 'recovery', secret: otherRecoveryKey() }, ['P2P_STORAGE_UNLOCK_FAILED', 'another vault']],
    [
      { kind: 'recovery', secret: mistyped(made.recoveryKey() as string) },
      ['P2P_STORAGE_PASSWORD_INVALID', 'mistyped'],
    ],
    [{ kind: 'recovery', secret: '' }, ['P2P_STORAGE_PASSWORD_INVALID']],
  ]
  for (const [unlock, expected] of wrong) await assert.rejects(openVault(w, { unlock }), refusal(...expected))
  assert.deepEqual(w.disk.contentOf(VAULT_PATH), before)
  await (await openVault(w)).stop()
})

test('a wrong password is refused by name', async () => {
  const w = world()
  await (await openVault(w, { unlock: { kind: 'password', secret: 'right password' } })).stop()
  const wrong = openVault(w, { unlock: { kind: 'password', secret: 'wrong password' } })
  await assert.rejects(wrong, refusal('P2P_STORAGE_UNLOCK_FAILED', 'Wrong password', VAULT_PATH))
})

test('passwords of less than 8 and more than 100 characters make no vault', async () => {
  for (const secret of ['1234567', 'x'.repeat(101)]) {
    const w = world()
    await assert.rejects(
      openVault(w, { unlock: { kind: 'password', secret } }),
      refusal('P2P_STORAGE_PASSWORD_INVALID'),
    )
    assert.deepEqual(await w.disk.list('/data'), [])
  }
})

test('a vault that is not there is only made when asked for, and never with a recovery key', async () => {
  const w = world()
  await assert.rejects(openVault(w, { createIfMissing: false }), refusal('P2P_STORAGE_NOT_FOUND', VAULT_PATH))
  const unlock: UnlockKey = { kind: 'recovery', secret: otherRecoveryKey() }
  await assert.rejects(openVault(w, { unlock }), refusal('P2P_STORAGE_NOT_FOUND'))
  assert.deepEqual(await w.disk.list('/data'), [])
})

test('no new vault is made while the previous generation of a lost one is there', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  await vault.stop()
  await w.disk.remove(VAULT_PATH)
  await assert.rejects(openVault(w), refusal('P2P_STORAGE_NOT_FOUND', `restore ${VAULT_PATH}.previous`))
})

test('a vault is opened once at a time', async () => {
  const w = world()
  const vault = await openVault(w)
  await assert.rejects(openVault(w), refusal('P2P_STORAGE_LOCKED', `${VAULT_PATH}.lock`, 'Stop that node'))
  await put(vault.store, 'a', bytesOf('1'))
  await vault.stop()
  await (await openVault(w)).stop()
})

test('a failed start leaves the lock free, and an aborted one does nothing', async () => {
  const w = world()
  const options = { path: VAULT_PATH, unlock: PLOT_KEY, createIfMissing: true }
  await assert.rejects(createVault(w.needs, options).start(AbortSignal.abort(new Error('stopped'))), /stopped/)
  assert.deepEqual(await w.disk.list('/data'), [])
  await (await openVault(w)).stop()
})

test('a vault that others can read is refused with the remedy', async () => {
  const w = world()
  await (await openVault(w)).stop()
  w.disk.chmod(VAULT_PATH, 0o640)
  await assert.rejects(openVault(w), refusal('P2P_STORAGE_PERMISSIONS', '640', `chmod 600 ${VAULT_PATH}`))
})

test('outside of start and stop everything is refused, and stop may be called at any time', async () => {
  const w = world()
  const vault = createVault(w.needs, { path: VAULT_PATH, unlock: PLOT_KEY, createIfMissing: true })
  const isRefused = async (): Promise<void> => {
    const closed = refusal('P2P_STORAGE_CLOSED')
    await assert.rejects(vault.store.get('a'), closed)
    await assert.rejects(put(vault.store, 'a', bytesOf('1')), closed)
    await assert.rejects(vault.store.grantLease(5), closed)
    await assert.rejects(vault.snapshot(), closed)
    await assert.rejects(vault.backup('/x'), closed)
    await assert.rejects(firstOf(vault.store.watch('', { signal: never })), closed)
    assert.throws(() => vault.status(), closed)
  }
  await vault.stop()
  await isRefused()
  await vault.start(never)
  await vault.stop()
  await vault.stop()
  await isRefused()
  assert.equal(w.clock.pendingTimers, 0)
})

test('stopping answers what was accepted, ends the watches and compacts', async () => {
  const w = world()
  const vault = await openVault(w)
  const watching = firstOf(vault.store.watch('never/', { signal: never }))
  const writes = Array.from({ length: 50 }, (_, i) => put(vault.store, `k${i}`, bytesOf('x')))
  const stopping = vault.stop()
  await assert.rejects(watching, refusal('P2P_STORAGE_CLOSED'))
  assert.equal((await Promise.all(writes)).length, 50)
  await stopping
  const report = await verifyVault(w.disk, VAULT_PATH, PLOT_KEY)
  assert.deepEqual([report.entries, report.segments, report.revision], [50, 1, 50])
})

test('every minute, what changed is compacted; the last two generations stay', async () => {
  const w = world()
  const vault = await openVault(w)
  for (let i = 0; i < 100; i++) await put(vault.store, 'a', bytesOf(String(i)))
  const before = vault.status()
  assert.ok(before.dirty)
  w.clock.advance(60_000)
  await settle()
  const after = vault.status()
  assert.equal(after.generation, before.generation + 1)
  assert.ok(after.bytes < before.bytes / 5)
  assert.deepEqual([after.dirty, after.lastSnapshotMs], [false, w.clock.wallMs()])
  w.clock.advance(600_000)
  await settle()
  assert.equal(vault.status().generation, after.generation, 'nothing changed, nothing is written')
  assert.deepEqual(await w.disk.list('/data'), ['vault', 'vault.previous'])
  w.disk.chmod(`${VAULT_PATH}.previous`, 0o600)
  assert.equal((await verifyVault(w.disk, `${VAULT_PATH}.previous`, PLOT_KEY)).generation, before.generation)
  await put(vault.store, 'b', bytesOf('after the snapshot'))
  await vault.stop()
  const reopened = await openVault(w)
  assert.deepEqual(
    (await reopened.store.range('')).map(({ key, version }) => [key, version]),
    [
      ['a', 100],
      ['b', 1],
    ],
  )
  await reopened.stop()
})

test('writers that arrive while the disk is busy share one record; a lone writer gets its own', async () => {
  const w = world()
  const vault = await openVault(w)
  const { records } = vault.status()
  await Promise.all(Array.from({ length: 64 }, (_, i) => put(vault.store, `k${i}`, bytesOf('x'))))
  assert.equal(vault.status().records, records + 1)
  for (let i = 0; i < 5; i++) await put(vault.store, 'a', bytesOf('x'))
  assert.equal(vault.status().records, records + 6)
  const rounds = async (i: number): Promise<void> => {
    for (let round = 0; round < 10; round++) await put(vault.store, `k${i}`, bytesOf('y'))
  }
  await Promise.all(Array.from({ length: 64 }, (_, i) => rounds(i)))
  assert.ok(vault.status().records <= records + 6 + 12, 'writers woken together are written together again')
  await vault.stop()
})

test('a full disk refuses the write, changes nothing, and is forgotten once there is room', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  const { bytes } = vault.status()
  for (const room of [0, 1, 30, 100]) {
    w.disk.capacityBytes = bytes + room
    const refused = refusal('P2P_STORAGE_FULL', VAULT_PATH, 'Free some space')
    await assert.rejects(put(vault.store, 'a', new Uint8Array(500)), refused)
    assert.equal(w.disk.contentOf(VAULT_PATH).length, bytes, 'the partial append is taken back')
  }
  await assert.rejects(vault.snapshot(), refusal('P2P_STORAGE_FULL'))
  assert.equal(textOf((await vault.store.get('a'))?.value as Uint8Array), '1')
  assert.ok(!vault.failed.aborted)
  w.disk.capacityBytes = Infinity
  await put(vault.store, 'a', bytesOf('2'))
  await vault.snapshot()
  await put(vault.store, 'b', bytesOf('3'))
  w.disk.restart()
  const reopened = await openVault(w)
  assert.deepEqual(
    (await reopened.store.range('')).map(({ value }) => textOf(value)),
    ['2', '3'],
  )
  await reopened.stop()
})

test('no nonce is used twice: each opening and each refused append begin a new segment', async () => {
  const w = world()
  const segments = async (): Promise<number> => (await verifyVault(w.disk, VAULT_PATH, PLOT_KEY)).segments
  const vault = await openVault(w)
  assert.equal(await segments(), 1)
  await put(vault.store, 'a', bytesOf('1'))
  await put(vault.store, 'a', bytesOf('2'))
  assert.equal(await segments(), 2)
  w.disk.capacityBytes = vault.status().bytes + 50
  await assert.rejects(put(vault.store, 'a', new Uint8Array(500)))
  w.disk.capacityBytes = Infinity
  await put(vault.store, 'a', bytesOf('3'))
  assert.equal(await segments(), 3)
  w.disk.restart()
  const reopened = await openVault(w)
  await put(reopened.store, 'a', bytesOf('4'))
  assert.equal(await segments(), 4)
  await reopened.stop()
})

test('a lease that ends while the disk is full ends once there is room', async () => {
  const w = world()
  const vault = await openVault(w)
  const leaseId = await vault.store.grantLease(1000)
  await vault.store.transact({ operations: [{ type: 'put', key: 'l', value: bytesOf('1'), leaseId }] })
  w.disk.capacityBytes = 0
  w.clock.advance(1500)
  await settle()
  assert.ok(await vault.store.get('l'))
  w.disk.capacityBytes = Infinity
  w.clock.advance(1000)
  await settle()
  assert.equal(await vault.store.get('l'), undefined)
  await vault.stop()
})

test('after a failed sync nothing is acknowledged any more, for ever, and the failure is signalled', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  w.disk.failsSync = true
  const writes = await Promise.allSettled([1, 2, 3].map((i) => put(vault.store, `b${i}`, bytesOf('x'))))
  for (const write of writes) assert.ok(write.status === 'rejected' && refusal('P2P_STORAGE_FAILED')(write.reason))
  w.disk.failsSync = false
  await assert.rejects(put(vault.store, 'c', bytesOf('x')), refusal('P2P_STORAGE_FAILED'))
  assert.ok(refusal('P2P_STORAGE_FAILED', 'Check the disk')(vault.failed.reason))
  assert.ok(await vault.store.get('a'), 'what was acknowledged can still be read')
  assert.equal(await vault.store.get('b1'), undefined, 'what was not is not shown')
  const { operationCount } = w.disk
  await vault.stop()
  assert.equal(w.disk.operationCount, operationCount, 'nothing is written after the failure')
})

test('a failed sync of a snapshot is a failure of the disk too', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  w.disk.failsSync = true
  await assert.rejects(vault.snapshot(), refusal('P2P_STORAGE_FAILED'))
  assert.ok(vault.failed.aborted)
  await vault.stop()
  w.disk.failsSync = false
  w.disk.restart()
  const reopened = await openVault(w)
  assert.ok(await reopened.store.get('a'))
  await reopened.stop()
})

/** Stores something else than it was given in new generations, and says nothing. */
class LyingDisk extends SimulatedDisk {
  isLying = false

  override async open(path: string, mode: OpenMode): Promise<OpenFile> {
    const file = await super.open(path, mode)
    if (!this.isLying || !path.endsWith('.new')) return file
    const write = (offset: number, bytes: Uint8Array): Promise<void> => {
      const bent = bytes.slice()
      bent[bent.length - 1] = (bent.at(-1) as number) ^ 1
      return file.write(offset, bent)
    }
    return { ...file, write }
  }
}

test('a snapshot that reads back differently never takes the place of the vault', async () => {
  const w = world()
  const disk = new LyingDisk(new SimulatedRandom(1))
  const vault = await openVault({ needs: { ...w.needs, files: disk } })
  await put(vault.store, 'a', bytesOf('1'))
  disk.isLying = true
  await assert.rejects(vault.snapshot(), refusal('P2P_STORAGE_FAILED', 'does not give back'))
  await vault.stop()
  assert.deepEqual(await disk.list('/data'), ['vault'])
  assert.equal((await verifyVault(disk, VAULT_PATH, PLOT_KEY)).revision, 1)
})

test('watchers that fall too far behind are told so, and changes since the snapshot survive a restart', async () => {
  const w = world()
  const vault = await openVault(w)
  await put(vault.store, 'a', bytesOf('1'))
  await vault.snapshot()
  const since = await put(vault.store, 'a', bytesOf('2'))
  w.disk.restart()
  const reopened = await openVault(w)
  assert.equal((await firstOf(reopened.store.watch('', { fromRevision: since, signal: never })))?.type, 'put')
  const tooOld = firstOf(reopened.store.watch('', { fromRevision: since - 1, signal: never }))
  await assert.rejects(tooOld, refusal('P2P_STORAGE_COMPACTED', 'read the range'))
  const slow = reopened.store.watch('', { signal: never })
  for (let i = 0; i < 18; i++) await put(reopened.store, 'big', new Uint8Array(1024 * 1024))
  await assert.rejects(firstOf(slow), refusal('P2P_STORAGE_COMPACTED'))
  await reopened.stop()
})

test('leases survive a restart and begin with their whole time again', async () => {
  const w = world()
  const vault = await openVault(w)
  const leaseId = await vault.store.grantLease(1000)
  await vault.store.transact({ operations: [{ type: 'put', key: 'l', value: bytesOf('1'), leaseId }] })
  w.clock.advance(900)
  await vault.stop()
  const reopened = await openVault(w)
  w.clock.advance(900)
  await settle()
  assert.ok(await reopened.store.get('l'))
  w.clock.advance(101)
  await settle()
  assert.equal(await reopened.store.get('l'), undefined)
  await reopened.stop()
})

test('too many waiting transactions are told to come back, and a long journal is compacted before its time', async () => {
  const w = world()
  const vault = await openVault(w)
  const value = new Uint8Array(1024 * 1024)
  const writes = Array.from({ length: 70 }, (_, i) => put(vault.store, `k${i % 3}`, value))
  const results = await Promise.allSettled(writes)
  const refused = results.filter((result) => result.status === 'rejected')
  assert.ok(refused.length > 0 && refused.length < 10)
  for (const { reason } of refused) assert.ok(refusal('P2P_STORAGE_OVERLOADED', 'try again')(reason))
  assert.equal(vault.status().generation, 1)
  for (let i = 0; i < 3; i++) await put(vault.store, 'a', value)
  await settle()
  assert.equal(vault.status().generation, 2)
  await vault.stop()
})

test('no value, key, password or plot is found on the disk or in the log', async () => {
  const w = world()
  const lines: string[] = []
  const keep = (message: string, fields?: unknown): void => void lines.push(message + JSON.stringify(fields))
  const log: Logger = { ...silentLogger, debug: keep, info: keep, warning: keep, error: keep, critical: keep }
  const plot = generatePlot(w.random)
  const canaries = ['canary-value-31337', 'canary/key/31337', 'canary password', plot.slice(0, 40)]
  const unlock: UnlockKey = { kind: 'password', secret: canaries[2] as string }
  const open = (): ReturnType<typeof openVault> => openVault({ needs: { ...w.needs, log } }, { unlock })
  const vault = await open()
  canaries.push(vault.recoveryKey() as string)
  await put(vault.store, canaries[1] as string, bytesOf(canaries[0] as string))
  await put(vault.store, 'plot', bytesOf(plot))
  await vault.backup('/data/backup')
  await vault.snapshot()
  await put(vault.store, canaries[1] as string, bytesOf(`${canaries[0]} again`))
  w.disk.restart()
  await (await open()).stop()
  const paths = await w.disk.list('/data')
  assert.deepEqual(paths, ['backup', 'vault', 'vault.previous'])
  const contents = paths.map((path) => Buffer.from(w.disk.contentOf(`/data/${path}`)).toString('latin1'))
  for (const canary of canaries) {
    for (const content of [...contents, ...lines]) assert.ok(!content.includes(canary))
  }
})

async function firstOf(watch: AsyncIterable<ChangeEvent>): Promise<ChangeEvent | undefined> {
  for await (const event of watch) return event
  return undefined
}

function otherRecoveryKey(): string {
  return formatRecoveryKey(new Uint8Array(20))
}

function mistyped(recoveryKey: string): string {
  return recoveryKey.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
}
