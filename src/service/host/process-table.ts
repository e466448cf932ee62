import { realpathSync } from 'node:fs'
import type { Files } from '../../base/files.ts'
import type { Logger } from '../../base/log.ts'
import type { Clock } from '../../base/time.ts'
import { Leftovers } from './leftovers.ts'
import { ProgramFiles } from './program-files.ts'
import { OrphanGuard } from './orphan-guard.ts'
import { servicesStateOf } from './service-directories.ts'
import { ControlGroups } from './control-groups.ts'
import type { SpawnNeeds } from './spawn-process.ts'
import { systemTools } from './system-tools.ts'

/** All processes of this node's services: none outlives the node, and what an earlier life of it left is ended first. */
export class ProcessTable {
  readonly #clock: Clock
  readonly #guard = new OrphanGuard()
  readonly #leftovers: Leftovers
  readonly #stateDirectory: string
  #ready: Promise<SpawnNeeds> | undefined

  constructor({ clock, files, log }: { clock: Clock; files: Files; log: Logger }, stateDirectory: string) {
    this.#clock = clock
    this.#stateDirectory = stateDirectory
    this.#leftovers = new Leftovers({ files, log }, servicesStateOf(stateDirectory))
  }

  /** Resolves when a process can be started. */
  needs(): Promise<SpawnNeeds> {
    this.#ready ??= this.#prepare()
    return this.#ready
  }

  /** Daemons an instance left behind, which had left its group. */
  endEscaped(instance: string): Promise<void> {
    return this.#leftovers.endEscaped(instance)
  }

  stop(): Promise<void> {
    return this.#guard.stop()
  }

  async #prepare(): Promise<SpawnNeeds> {
    const [tools, groups] = await Promise.all([
      systemTools(),
      ControlGroups.open(process.getuid?.()),
      this.#leftovers.endAll(),
    ])
    // After those that read them.
    await ProgramFiles.sweep(realpathSync(this.#stateDirectory))
    return { clock: this.#clock, tools, groups, guard: this.#guard, leftovers: this.#leftovers }
  }
}
