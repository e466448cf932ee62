import { access, constants, mkdir, readFile, rmdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const PERIOD_US = 100_000
const MIB = 1024 * 1024
/** The node's own processes: a group with members may have no groups below it that are limited (cgroups(7), "no internal processes"). */
const OWN = 'node'

export interface ResourceLimits {
  memoryMb?: number | undefined
  cpus?: number | undefined
  processes?: number | undefined
}

/** The group of one instance. */
export interface ControlGroup {
  /** Ends what is left in it, and removes it. */
  remove(): Promise<void>
}

/**
 * The part of the cgroup v2 hierarchy that was given to this node: by systemd (`Delegate=yes` and a `User=`), say. It is only
 * used when it belongs to a user other than root: to root everything can be written, also what systemd takes for its own.
 */
export class ControlGroups {
  readonly #directory: string
  readonly #canCount: boolean

  private constructor(directory: string, canCount: boolean) {
    this.#directory = directory
    this.#canCount = canCount
  }

  /**
   * @param uid of this process
   * @param places for tests
   * @returns undefined where nothing was given to this node
   */
  static async open(
    uid: number | undefined,
    places = { hierarchy: '/sys/fs/cgroup', own: '/proc/self/cgroup' },
  ): Promise<ControlGroups | undefined> {
    if (uid === undefined || uid === 0) return undefined
    try {
      const lines = (await readFile(places.own, 'utf8')).split('\n')
      const path = lines.find((line) => line.startsWith('0::'))?.slice('0::'.length)
      if (path === undefined) return undefined
      const directory = join(places.hierarchy, path)
      const controllers = (await readFile(join(directory, 'cgroup.controllers'), 'utf8')).trim().split(' ')
      if (!controllers.includes('memory') || !controllers.includes('cpu')) return undefined
      await access(join(directory, 'cgroup.subtree_control'), constants.W_OK)
      const members = (await readFile(join(directory, 'cgroup.procs'), 'utf8')).split('\n').filter(Boolean)
      await mkdir(join(directory, OWN), { recursive: true })
      for (const pid of members) await writeFile(join(directory, OWN, 'cgroup.procs'), pid)
      const canCount = controllers.includes('pids')
      await writeFile(join(directory, 'cgroup.subtree_control'), `+cpu +memory${canCount ? ' +pids' : ''}`)
      return new ControlGroups(directory, canCount)
    } catch {
      // It is there and not ours: as if it were not there.
      return undefined
    }
  }

  /** @throws a system error when the process is gone already */
  async add(instance: string, pid: number, { memoryMb, cpus, processes }: ResourceLimits): Promise<ControlGroup> {
    const group = join(this.#directory, `service-${instance.replace('#', '-')}-${pid}`)
    await mkdir(group)
    if (memoryMb !== undefined) await writeFile(join(group, 'memory.max'), String(memoryMb * MIB))
    if (cpus !== undefined) {
      await writeFile(join(group, 'cpu.max'), `${Math.max(1_000, Math.round(cpus * PERIOD_US))} ${PERIOD_US}`)
    }
    if (processes !== undefined && this.#canCount) await writeFile(join(group, 'pids.max'), String(processes))
    await writeFile(join(group, 'cgroup.procs'), String(pid))
    return {
      async remove() {
        await writeFile(join(group, 'cgroup.kill'), '1').catch(() => {})
        // What was killed a moment ago keeps it busy; an empty directory that stays costs nothing.
        await rmdir(group).catch(() => {})
      },
    }
  }
}
