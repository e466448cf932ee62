import { type ChildProcess, spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * Waits for its standard input to end, as it does when the node is gone however that happened, and kills the groups it was
 * told of. A terminal's signals are not for it.
 */
const SCRIPT = `
trap '' HUP INT TERM
groups=
while read -r action group; do
  case $action in
    add) groups="$groups $group" ;;
    remove)
      kept=
      for each in $groups; do [ "$each" = "$group" ] || kept="$kept $each"; done
      groups=$kept ;;
    leave) exit 0 ;;
  esac
done
for each in $groups; do kill -s KILL -- "-$each" 2>/dev/null; done
`

/**
 * Kills the process groups of services when the node dies without stopping them. One shell of 1 MB for all; on Windows
 * processes die with the one that started them anyway.
 */
export class OrphanGuard {
  readonly #groups = new Set<number>()
  #shell: ChildProcess | undefined
  #hasStopped = false

  add(group: number): void {
    if (process.platform === 'win32') return
    this.#groups.add(group)
    if (this.#shell) this.#tell(`add ${group}`)
    else this.#start()
  }

  remove(group: number): void {
    if (this.#groups.delete(group)) this.#tell(`remove ${group}`)
  }

  /** Resolves when it is gone. */
  async stop(): Promise<void> {
    this.#hasStopped = true
    const shell = this.#shell
    if (!shell || shell.exitCode !== null || shell.signalCode !== null) return
    const gone = new Promise((resolve) => shell.once('exit', resolve))
    shell.ref()
    this.#tell('leave')
    await gone
  }

  #start(): void {
    const shell = spawn('/bin/sh', ['-c', SCRIPT], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
      cwd: '/',
      env: {},
    })
    this.#shell = shell
    shell.on('error', () => {})
    shell.stdin?.on('error', () => {})
    shell.unref()
    ;(shell.stdin as Socket | null)?.unref()
    // Somebody killed it: another one takes its place while there is something to guard.
    shell.once('exit', () => {
      this.#shell = undefined
      if (!this.#hasStopped && this.#groups.size > 0) this.#start()
    })
    for (const group of this.#groups) this.#tell(`add ${group}`)
  }

  #tell(line: string): void {
    const input = this.#shell?.stdin
    if (input?.writable) input.write(`${line}\n`)
  }
}
