export { legacyPlotPassword, plotFingerprint, plotJoinKey, plotPassword, type UnlockKey } from './key-derivation.ts'
export { importLegacyArchive, type LegacyFile, readLegacyArchive } from './legacy-archive.ts'
export {
  type CreatePlotOptions,
  createPlot,
  openPlot,
  type Plot,
  type PlotStep,
  readPlot,
  writePlot,
} from './plot-file.ts'
export { type ResolvedUnlock, resolveUnlock, type UnlockOptions } from './unlock.ts'
export {
  createVault,
  type Vault,
  type VaultNeeds,
  type VaultOptions,
  type VaultStatus,
} from './vault.ts'
export {
  backupVault,
  type ListedEntry,
  listVault,
  rekeyVault,
  repairVault,
  restoreVault,
  type VaultReport,
  type VaultToolNeeds,
  verifyVault,
} from './vault-tools.ts'
export type { SlotKind } from './vault/header.ts'
export { generatePlot } from './vault/plot.ts'
