/**
 * A part of a node with a life of its own. Constructors only store; sockets, timers and files are
 * opened by `start` and are all closed once `stop` has resolved.
 */
export interface Component {
  /** Shown in logs and errors, for example `transport`. */
  readonly name: string
  /** Resolves when usable; if it rejects, it has already closed what it opened. */
  start(signal: AbortSignal): Promise<void>
  /** Idempotent; resolves when every socket, timer and file is closed. */
  stop(): Promise<void>
}
