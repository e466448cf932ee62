import type { ContextEntry } from './context-entry.ts'

/** Where text goes: a terminal's or a pipe's writable end. */
export interface Output {
  write(text: string): unknown
  readonly isTTY?: boolean
  readonly columns?: number
  readonly rows?: number
}

/** Where a person types, or a pipe. */
export interface Input extends NodeJS.ReadableStream {
  readonly isTTY?: boolean
  setRawMode?(isRaw: boolean): unknown
}

/** Asks a running node to stop: aborted by the first signal of the system, or when the parent process is gone. */
export interface Interruption {
  readonly signal: AbortSignal
  dispose(): void
}

/** All a command line touches besides files and sockets: given in, so that tests run commands in their own process. */
export interface CliHost {
  /** What follows the program's name. */
  readonly argv: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly workingDirectory: string
  /** The user's. */
  readonly homeDirectory: string
  readonly platform: NodeJS.Platform
  readonly input: Input
  /** Data only. */
  readonly output: Output
  /** Everything said to a person: progress, warnings, errors, prompts. */
  readonly talk: Output
  /** Milliseconds since the Unix epoch. */
  wallMs(): number
  /** Waits; rejects when the signal is aborted. */
  readonly pause: (durationMs: number, signal: AbortSignal) => Promise<void>
  interruption(): Interruption
  /** Tells the process that started this one; undefined when it opened no channel. */
  readonly sendToParent: ((message: object) => void) | undefined
  /** The node itself: loaded only by the commands that need it. */
  loadContext(): Promise<ContextEntry>
}
