import type { RunNodeOptions } from '../context/index.ts'
import type { StorageTools } from './storage-tools.ts'

/** What the command line uses of the application context. */
export interface ContextEntry {
  /** Runs a node until it is asked to stop or cannot go on. @returns the exit code of the process */
  runNode(options: RunNodeOptions): Promise<number>
  createStorageTools(): StorageTools
}
