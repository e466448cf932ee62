import type { RunNodeOptions } from '../context/index.ts'
import type { StorageTools } from './storage-tools.ts'

/** What the command line uses of the application context. */
export interface ContextEntry {
  /** Runs a node until it is asked to stop or cannot go on. @returns the exit code of the process */
  runNode(options: RunNodeOptions): Promise<number>
  /**
   * Becomes the program that an upgrade of this node has brought; then it does not return.
   * @returns for people: why it is not the program they expect
   */
  becomeChosenProgram(stateDirectory: string): string | undefined
  createStorageTools(): StorageTools
}
