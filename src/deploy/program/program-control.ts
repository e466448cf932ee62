import type { ProgramPointer, ProgramVersion } from './program-pointer.ts'

/** What a node can do about its own program: its files and its process. */
export interface ProgramControl {
  /** What runs now; null: the installed program. */
  readonly running: ProgramVersion | null
  /** Version of the installed program. */
  readonly installed: string
  pointer(): ProgramPointer | undefined
  /**
   * Replaces the pointer, durable when it returns.
   * @throws {DeployError} P2P_ARTIFACT_NO_ROOM; Node's system errors
   */
  save(pointer: ProgramPointer): void
  /** @throws {DeployError} P2P_DEPLOY_REFUSED: this process cannot become another program, with the remedy */
  requireReplaceable(): void
  /**
   * Lets an unpacked program find what it depends on: in the packages of the installed one.
   * @throws {DeployError} P2P_BUNDLE_DEPENDENCY: a package is missing or of another version, or Node is too old
   */
  prepare(folder: string): Promise<void>
  /** Stops the node in order; then the process becomes the program that the pointer names. */
  restart(reason: string): void
}
