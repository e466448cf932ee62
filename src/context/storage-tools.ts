import { basename } from 'node:path'
import { StorageError } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import { silentLogger } from '../base/log.ts'
import { systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import {
  backupVault,
  createPlot,
  createVault,
  importLegacyArchive,
  legacyPlotPassword,
  listVault,
  openPlot,
  type PlotStep,
  readLegacyArchive,
  rekeyVault,
  repairVault,
  resolveUnlock,
  restoreVault,
  type UnlockKey,
  type VaultReport,
  verifyVault,
} from '../storage/index.ts'
import { ComponentStack } from './lifecycle.ts'
import type { Unlock } from './unlock.ts'

interface Access {
  storagePath: string
  plotFile: string
  unlock: Unlock
}

const PLOT_STEPS: Record<PlotStep, { fraction: number; text: string }> = {
  generating: { fraction: 0, text: 'Making the plot' },
  checking: { fraction: 0.2, text: 'Checking its pattern' },
  writing: { fraction: 0.3, text: 'Writing it' },
  deriving: { fraction: 0.4, text: 'Deriving its fingerprint' },
}

const needs = { files: systemFiles, random: systemRandom }

/** What `p2p plot` and `p2p storage` do. What changes a vault is refused while a node uses it. All throw StorageError. */
export function createStorageTools() {
  return {
    verify: async (access: Access) => checkOf(await verifyVault(systemFiles, access.storagePath, await keyOf(access))),

    repair: async (access: Access, toSequence: number) =>
      checkOf(await repairVault(needs, access.storagePath, await keyOf(access), toSequence)),

    list: async (access: Access, prefix: string) => {
      const entries = await listVault(systemFiles, access.storagePath, await keyOf(access), prefix)
      return entries.map(({ key, bytes, revision }) => ({ key, sizeBytes: bytes, revision }))
    },

    backup: async (access: Access, file: string) => {
      const key = await keyOf(access)
      // Before the vault is opened: what a running node acknowledged until now is in the copy.
      const asOfMs = systemClock.wallMs()
      const report = await backupVault(needs, access.storagePath, key, file)
      return { revision: report.revision, entries: report.entries, sizeBytes: report.bytes, asOfMs }
    },

    restore: async (access: Access, file: string) =>
      checkOf(await restoreVault(needs, file, await keyOf(access), access.storagePath)),

    rekey: async (access: Access, next: NewKey) => {
      const { recoveryKey } = await rekeyVault(
        needs,
        access.storagePath,
        await keyOf(access),
        await replacementOf(next),
      )
      return recoveryKey
    },

    importArchive,

    generatePlot: async (file: string, onProgress: (fraction: number, text: string) => void, signal: AbortSignal) => {
      const onStep = (step: PlotStep): void => onProgress(PLOT_STEPS[step].fraction, PLOT_STEPS[step].text)
      const plot = await createPlot(needs, { path: file, onProgress: onStep, signal })
      onProgress(1, 'Done')
      return plotFacts(systemFiles, plot)
    },

    plotInfo: async (file: string) => plotFacts(systemFiles, await openPlot(systemFiles, file)),
  }
}

type NewKey = { kind: 'plot'; plotFile: string } | { kind: 'password'; password: string } | { kind: 'recovery' }

/** The key an access names. Never makes a plot: a vault that is there needs the one it was made with. */
async function keyOf({ plotFile, unlock }: Access): Promise<UnlockKey> {
  switch (unlock.kind) {
    case 'plot':
      return { kind: 'plot', secret: (await openPlot(systemFiles, plotFile)).password }
    case 'password':
      return { kind: 'password', secret: unlock.password }
    case 'recovery':
      return { kind: 'recovery', secret: unlock.recoveryKey }
  }
}

async function replacementOf(next: NewKey): Promise<UnlockKey | { kind: 'recovery' }> {
  if (next.kind === 'recovery') return next
  if (next.kind === 'password') return { kind: 'password', secret: next.password }
  return { kind: 'plot', secret: (await openPlot(systemFiles, next.plotFile)).password }
}

function checkOf(report: VaultReport) {
  return { sequence: report.records, entries: report.entries, sizeBytes: report.bytes, tornBytes: report.tornBytes }
}

async function plotFacts(files: Files, plot: { path: string; fingerprint: string }) {
  const facts = await files.facts(plot.path)
  if (!facts) throw new StorageError('P2P_STORAGE_PLOT_MISSING', `The plot ${plot.path} has just been removed`)
  const mode = `0${facts.mode.toString(8)}`
  return { path: plot.path, sizeBytes: facts.sizeBytes, mode, fingerprint: plot.fingerprint }
}

/** Puts the files of an archive of the Python program into the vault, which is made where there is none. */
async function importArchive(access: Access, archive: { file: string; unlock: Unlock; plotFile: string }) {
  const files = await readLegacyArchive(await systemFiles.readFile(archive.file), await archivePassword(archive))
  const { unlock } = await resolveUnlock(needs, {
    vaultPath: access.storagePath,
    plotPath: access.plotFile,
    ...(access.unlock.kind === 'password' && { password: access.unlock.password }),
    ...(access.unlock.kind === 'recovery' && { recoveryKey: access.unlock.recoveryKey }),
  })
  const stack = new ComponentStack(new AbortController().signal)
  const vault = await stack.start(
    createVault(
      { ...needs, clock: systemClock, log: silentLogger },
      { path: access.storagePath, unlock, createIfMissing: true },
    ),
  )
  try {
    const keys = await importLegacyArchive(vault.store, files)
    const imported = files.map(({ path, bytes }, index) => {
      return { from: path, to: keys[index] as string, sizeBytes: bytes.byteLength }
    })
    return { imported, skipped: [], recoveryKey: vault.recoveryKey() }
  } finally {
    await stack.stop()
  }
}

/** The Python program derived its password from the plot's text, length and name, and asked nothing of its mode. */
async function archivePassword({ unlock, plotFile }: { unlock: Unlock; plotFile: string }): Promise<string> {
  if (unlock.kind === 'password') return unlock.password
  const text = Buffer.from(await systemFiles.readFile(plotFile)).toString('latin1')
  return legacyPlotPassword(text, basename(plotFile))
}
