export type { ContextEntry } from './context-entry.ts'
export type { CliHost } from './host.ts'
export { runCli } from './run-cli.ts'
export type {
  ImportReport,
  NewKey,
  PlotFacts,
  StorageAccess,
  StorageCheck,
  StorageEntry,
  StorageTools,
} from './storage-tools.ts'
export { systemHost } from './system-host.ts'
