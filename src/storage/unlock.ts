import { StorageError } from '../base/errors.ts'
import type { Files } from '../base/files.ts'
import type { Random } from '../base/random.ts'
import type { UnlockKey } from './key-derivation.ts'
import { createPlot, openPlot, type Plot, type PlotStep } from './plot-file.ts'
import { vaultExists } from './vault-file.ts'

export interface UnlockOptions {
  vaultPath: string
  plotPath: string
  /** Takes precedence over the plot. */
  password?: string
  /** Takes precedence over both. */
  recoveryKey?: string
  /** Told of the steps when a new plot is made. */
  onProgress?: (step: PlotStep) => void
  signal?: AbortSignal
}

export interface ResolvedUnlock {
  unlock: UnlockKey
  /** Present when the plot is what unlocks. */
  plot?: Plot
  /** The plot was made just now, because there was neither a plot nor a vault. */
  isNewPlot: boolean
}

/**
 * Decides what opens the vault: recovery key, password, or the plot, which is made on the first start.
 * A missing plot beside an existing vault never makes a new one: that vault could not be opened with it.
 * @throws {StorageError} P2P_STORAGE_PLOT_MISSING, naming the ways back; P2P_STORAGE_PLOT_PERMISSIONS, P2P_STORAGE_PLOT_INVALID
 */
export async function resolveUnlock(
  needs: { files: Files; random: Random },
  options: UnlockOptions,
): Promise<ResolvedUnlock> {
  const { vaultPath, plotPath, password, recoveryKey, onProgress, signal } = options
  if (recoveryKey !== undefined) return { unlock: { kind: 'recovery', secret: recoveryKey }, isNewPlot: false }
  if (password !== undefined) return { unlock: { kind: 'password', secret: password }, isNewPlot: false }
  const isNewPlot = (await needs.files.facts(plotPath)) === undefined
  if (isNewPlot && (await vaultExists(needs.files, vaultPath))) throw plotMissing(plotPath, vaultPath)
  const plot = isNewPlot
    ? await createPlot(needs, { path: plotPath, ...(onProgress && { onProgress }), ...(signal && { signal }) })
    : await openPlot(needs.files, plotPath)
  return { unlock: { kind: 'plot', secret: plot.password }, plot, isNewPlot }
}

function plotMissing(plotPath: string, vaultPath: string): StorageError {
  const message =
    `There is no plot at ${plotPath}, but the vault ${vaultPath} exists; a new plot could not open it, so none is made. ` +
    'Ways back: copy the plot from its backup or from another node that shares it (scp, then chmod 600); ' +
    'start with --manual-password if the vault has a password; or open it with the recovery key: "p2p storage rekey"'
  return new StorageError('P2P_STORAGE_PLOT_MISSING', message, { plotPath, vaultPath })
}
