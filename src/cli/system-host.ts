import { homedir } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import type { CliHost, Interruption } from './host.ts'

/** The process this program is. */
export function systemHost(): CliHost {
  // A reader such as `head` may go away early: that is no failure of ours.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(0)
    throw error
  })
  return {
    argv: process.argv.slice(2),
    environment: process.env,
    workingDirectory: process.cwd(),
    homeDirectory: homedir(),
    platform: process.platform,
    input: process.stdin,
    output: process.stdout,
    talk: process.stderr,
    wallMs: () => Date.now(),
    pause: (durationMs, signal) => pause(durationMs, undefined, { signal }),
    interruption,
    sendToParent: process.send === undefined ? undefined : sendToParent,
    loadContext: () => import('../context/index.ts'),
  }
}

/** What a parent that has gone away no longer hears is lost on nobody. */
function sendToParent(message: object): void {
  if (process.connected) process.send?.(message)
}

/** SIGHUP: the terminal was closed. SIGBREAK: Ctrl-Break on Windows, which has no SIGTERM. */
const STOP_SIGNALS: readonly NodeJS.Signals[] =
  process.platform === 'win32' ? ['SIGINT', 'SIGBREAK', 'SIGHUP'] : ['SIGINT', 'SIGTERM', 'SIGHUP']

/** What a shell reports of a program that a signal ended, here for SIGINT. */
const EXIT_INTERRUPTED = 130

/** A terminal signals its whole foreground group, and npm or a wrapper passes the same signal on: one Ctrl-C comes twice. */
const ECHO_MS_MAX = 500

/** The first signal asks to stop; a second one, later, ends the process at once. */
function interruption(): Interruption {
  const controller = new AbortController()
  let askedMs = 0
  const ask = (name: NodeJS.Signals): void => {
    if (!controller.signal.aborted) askedMs = performance.now()
    else if (performance.now() - askedMs > ECHO_MS_MAX) process.exit(EXIT_INTERRUPTED)
    controller.abort(new Error(`received ${name}`))
  }
  const orphaned = (): void => controller.abort(new Error('the process that started it is gone'))
  for (const name of STOP_SIGNALS) process.on(name, ask)
  process.once('disconnect', orphaned)
  return {
    signal: controller.signal,
    dispose() {
      for (const name of STOP_SIGNALS) process.off(name, ask)
      process.off('disconnect', orphaned)
      // An open channel would keep the process alive after its work is done.
      if (process.connected) process.disconnect?.()
    },
  }
}
