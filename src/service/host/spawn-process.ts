import { type ChildProcess, spawn, type StdioOptions } from 'node:child_process'
import { existsSync, lstatSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/time.ts'
import { childEnvironment } from './child-environment.ts'
import type { ControlGroups, ResourceLimits } from './control-groups.ts'
import { type Confinement, confinedCommand, OTHERS_DIRECTORIES } from './confinement.ts'
import { type ProcessExit, withSignal } from './exit-text.ts'
import { type Leftovers, MARK_VARIABLE } from './leftovers.ts'
import { familyOf, statOf } from './linux-processes.ts'
import type { OrphanGuard } from './orphan-guard.ts'
import type { RunUsage } from './run.ts'
import type { SystemTools } from './system-tools.ts'
import { type ServiceLog } from './service-log.ts'
import { readLines } from './output-lines.ts'

const LAST_WORDS_MS_MAX = 1_000

export interface SpawnNeeds {
  clock: Clock
  tools: SystemTools
  /** Undefined where none was given to this node. */
  groups: ControlGroups | undefined
  guard: OrphanGuard
  leftovers: Leftovers
}

export interface SpawnOrder {
  instance: string
  command: readonly string[]
  cwd: string
  env: Readonly<Record<string, string>>
  confinement: Confinement
  /** With a socket at descriptor 3. */
  hasLink: boolean
  limits: ResourceLimits
  log: ServiceLog
}

/** A process of a service, with all that it starts. */
export interface SpawnedProcess {
  /** Of the process itself; of its sandbox, where that is not known yet. */
  readonly pid: number | undefined
  readonly socket: Duplex | undefined
  /** Resolves when it is gone, and with it its group. Rejects when it could not be started. */
  readonly exited: Promise<ProcessExit>
  usage(): Promise<RunUsage | undefined>
  /** SIGTERM. */
  terminate(): void
  /** SIGHUP to the program alone: what it has started would end of it. */
  hangUp(): Promise<void>
  /** SIGKILL to the whole group. */
  kill(): void
}

/** Starts a process in a group of its own, held back by what this machine has, that can outlive neither its stop nor the node. */
export function spawnProcess(needs: SpawnNeeds, order: SpawnOrder): SpawnedProcess {
  const { tools } = needs
  const others = OTHERS_DIRECTORIES.filter((path) => existsSync(path) && lstatSync(path).isDirectory())
  const [command, ...args] = confinedCommand(order.command, order.confinement, { tools, others })
  const stdio: StdioOptions = ['ignore', 'pipe', 'pipe', ...(order.hasLink ? (['pipe'] as const) : [])]
  const child = spawn(command as string, args, {
    cwd: order.cwd,
    env: {
      ...childEnvironment(process.env),
      ...order.env,
      [MARK_VARIABLE]: needs.leftovers.markOf(order.instance),
    },
    stdio,
    // A group of its own; on Windows that would take it out of the job that dies with the node.
    detached: process.platform !== 'win32',
    windowsHide: true,
  })
  return new GroupedProcess(needs, order, child)
}

class GroupedProcess implements SpawnedProcess {
  readonly #needs: SpawnNeeds
  readonly #child: ChildProcess
  readonly #isWrapped: boolean
  readonly exited: Promise<ProcessExit>

  constructor(needs: SpawnNeeds, order: SpawnOrder, child: ChildProcess) {
    this.#needs = needs
    this.#child = child
    this.#isWrapped = needs.tools.bwrap !== undefined
    this.exited = this.#follow(order)
    const { clock } = needs
    const { log } = order
    const onLine = (line: { level: Parameters<ServiceLog['write']>[0]; message: string; fields: object }): void =>
      log.write(line.level, line.message, { ...line.fields })
    if (child.stdout) readLines(child.stdout, { clock, level: 'INFO', onLine })
    if (child.stderr) readLines(child.stderr, { clock, level: 'WARNING', onLine })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get socket(): Duplex | undefined {
    return (this.#child.stdio[3] as Duplex | null | undefined) ?? undefined
  }

  async usage(): Promise<RunUsage | undefined> {
    const { pid } = this.#child
    if (pid === undefined || process.platform !== 'linux') return undefined
    const stats = await Promise.all((await familyOf(pid)).map(statOf))
    const known = stats.filter((stat) => stat !== undefined)
    if (known.length === 0) return undefined
    return {
      memoryBytes: known.reduce((sum, { memoryBytes }) => sum + memoryBytes, 0),
      cpuMs: known.reduce((sum, { cpuMs }) => sum + cpuMs, 0),
      processes: known.length,
    }
  }

  terminate(): void {
    const { pid } = this.#child
    if (pid === undefined) return
    // A sandbox that gets the signal itself ends at once and takes everything with it.
    if (this.#isWrapped) void this.#terminateInside(pid)
    else signalTo(-pid, 'SIGTERM')
  }

  async hangUp(): Promise<void> {
    const { pid } = this.#child
    const program = this.#isWrapped && pid !== undefined ? (await familyOf(pid))[2] : pid
    if (program !== undefined) signalTo(program, 'SIGHUP')
  }

  kill(): void {
    const { pid } = this.#child
    if (pid !== undefined) signalTo(-pid, 'SIGKILL')
  }

  async #follow({ instance, limits, log }: SpawnOrder): Promise<ProcessExit> {
    const { guard, leftovers, groups } = this.#needs
    const child = this.#child
    const { pid } = child
    const group = pid !== undefined ? groups?.add(instance, pid, limits).catch(() => undefined) : undefined
    if (pid !== undefined && limits.cpus !== undefined && !groups) {
      beNice(pid)
      log.write(
        'WARNING',
        'limits.cpus cannot be enforced here (no cgroup v2 was delegated); it runs at low priority',
        {},
      )
    }
    const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
    const exit = await new Promise<ProcessExit>((resolve, reject) => {
      child.once('error', (error) => {
        // An error after the start is one of sending a signal: the end is still to come.
        if (pid === undefined) reject(error)
      })
      child.once('exit', (code, signal) => resolve({ code, signal }))
      if (pid !== undefined) {
        guard.add(pid)
        void leftovers.began(pid, instance)
      }
    })
    if (pid !== undefined) {
      signalTo(-pid, 'SIGKILL')
      guard.remove(pid)
      await Promise.all([leftovers.ended(pid), this.#lastWords(closed), group?.then((made) => made?.remove())])
    }
    return withSignal(exit, this.#isWrapped)
  }

  /** What it wrote last is still on its way. A daemon that it left behind may keep its output open for ever. */
  async #lastWords(closed: Promise<void>): Promise<void> {
    const waited = Promise.withResolvers<void>()
    const limit = this.#needs.clock.after(LAST_WORDS_MS_MAX, () => waited.resolve())
    await Promise.race([closed, waited.promise])
    limit.cancel()
    for (const stream of this.#child.stdio) stream?.destroy()
  }

  /** bwrap → the first process of the sandbox → what runs in it. */
  async #terminateInside(pid: number): Promise<void> {
    const [, init, ...inside] = await familyOf(pid)
    for (const each of inside.length > 0 ? inside : [init ?? pid]) signalTo(each, 'SIGTERM')
  }
}

function signalTo(pid: number, signal: NodeJS.Signals): void {
  try {
    if (process.platform === 'win32') process.kill(Math.abs(pid), signal)
    else process.kill(pid, signal)
  } catch {
    // It is gone already.
  }
}

function beNice(pid: number): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_LOW)
  } catch {
    // It has ended already.
  }
}
