import assert from 'node:assert/strict'
import { test } from 'node:test'
import { generatePlot, resolveUnlock, writePlot } from '../../../src/storage/index.ts'
import { openVault, refusal, VAULT_PATH, type World, world } from './support.ts'

const PLOT_PATH = '/node/plot'
const paths = { vaultPath: VAULT_PATH, plotPath: PLOT_PATH }

test('the first start makes a plot, later ones use it', async () => {
  const w = world()
  const steps: string[] = []
  const first = await resolveUnlock(w.needs, { ...paths, onProgress: (step) => steps.push(step) })
  assert.ok(first.isNewPlot)
  assert.equal(steps.at(-1), 'deriving')
  await (await openVault(w, { unlock: first.unlock })).stop()
  const second = await resolveUnlock(w.needs, paths)
  assert.deepEqual(second, { ...first, isNewPlot: false })
  await (await openVault(w, { unlock: second.unlock, createIfMissing: false })).stop()
})

test('a missing plot beside an existing vault never makes a new one, and names the ways back', async () => {
  const w = world()
  await (await openVault(w)).stop()
  const refused = refusal(
    'P2P_STORAGE_PLOT_MISSING',
    PLOT_PATH,
    VAULT_PATH,
    'backup',
    '--manual-password',
    'recovery key',
  )
  await assert.rejects(resolveUnlock(w.needs, paths), refused)
  assert.equal(await w.disk.facts(PLOT_PATH), undefined)
  await w.disk.rename(VAULT_PATH, `${VAULT_PATH}.previous`)
  await assert.rejects(resolveUnlock(w.needs, paths), refused)
})

test('the wrong plot is told by the fingerprints of both', async () => {
  const w = world()
  const first = await resolveUnlock(w.needs, paths)
  await (await openVault(w, { unlock: first.unlock })).stop()
  await w.disk.remove(PLOT_PATH)
  await writePlot(w.disk, PLOT_PATH, generatePlot(w.random))
  const other = await resolveUnlock(w.needs, paths)
  const fingerprints = [first.plot?.fingerprint as string, other.plot?.fingerprint as string]
  await assert.rejects(openVault(w, { unlock: other.unlock }), refusal('P2P_STORAGE_UNLOCK_FAILED', ...fingerprints))
})

test('a password or a recovery key takes the place of the plot, which is not even read', async () => {
  const w: World = world()
  w.disk.overwrite(PLOT_PATH, new Uint8Array(3))
  assert.deepEqual(await resolveUnlock(w.needs, { ...paths, password: 'long enough' }), {
    unlock: { kind: 'password', secret: 'long enough' },
    isNewPlot: false,
  })
  const both = await resolveUnlock(w.needs, { ...paths, password: 'long enough', recoveryKey: 'P2PR-…' })
  assert.equal(both.unlock.kind, 'recovery')
  await assert.rejects(resolveUnlock(w.needs, paths), refusal('P2P_STORAGE_PLOT_INVALID'))
})

test('a plot that others can read stops the start', async () => {
  const w = world()
  await resolveUnlock(w.needs, paths)
  w.disk.chmod(PLOT_PATH, 0o644)
  await assert.rejects(resolveUnlock(w.needs, paths), refusal('P2P_STORAGE_PLOT_PERMISSIONS', 'chmod 600'))
})
