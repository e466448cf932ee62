import { realpathSync } from 'node:fs'
import { PROCESSES_MAX } from '../definition/manifest.ts'
import type { ProcessTable } from './process-table.ts'
import type { DriverNeeds, DriverOptions } from './driver-needs.ts'
import { type Confinement, nodePermissionArgs } from './confinement.ts'
import { causeOf, exitText } from './exit-text.ts'
import { HostChannel } from './host-channel.ts'
import { HostedRun, type HostHandlers, type LaunchedHost } from './hosted-run.ts'
import type { LoadOrder } from './host-message.ts'
import { prepareLoad } from './prepare-load.ts'
import type { Driver, RunEnd, RunEvents, RunOrder, ServiceRun } from './run.ts'
import { ServiceLog } from './service-log.ts'
import { translationsOf } from './service-directories.ts'
import { readSocket, socketPipe } from './socket-pipe.ts'
import { spawnProcess } from './spawn-process.ts'
import type { Translations } from './translations.ts'

/** The share of `limits.memoryMb` that JavaScript's own objects may take: the rest is the engine's, and buffers. */
const HEAP_SHARE = 0.75

/** Runs each instance in a Node process of its own. */
export class ProcessDriver implements Driver {
  readonly #needs: DriverNeeds & { processes: ProcessTable; translations: Translations }
  readonly #options: DriverOptions

  constructor(needs: DriverNeeds & { processes: ProcessTable; translations: Translations }, options: DriverOptions) {
    this.#needs = needs
    this.#options = options
  }

  start(order: RunOrder, events: RunEvents): ServiceRun {
    const { clock, log, logBudget, identity, caller, events: hub, translations } = this.#needs
    const serviceLog = new ServiceLog(clock, log.child(`Service.${order.spec.name}`), logBudget.of(order.spec.name))
    let load: LoadOrder | undefined
    return new HostedRun(
      {
        clock,
        log,
        identity,
        caller,
        hub,
        serviceLog,
        prepare: async () => (load = await prepareLoad(this.#needs, this.#options, translations, order)),
        launch: (handlers) => this.#launch(order, load as LoadOrder, serviceLog, handlers),
      },
      order,
      events,
    )
  }

  async #launch(
    order: RunOrder,
    load: LoadOrder,
    serviceLog: ServiceLog,
    handlers: HostHandlers,
  ): Promise<LaunchedHost> {
    const { program, stateDirectory } = this.#options
    const { spec, id } = order
    const { memoryMb, cpus, processes = PROCESSES_MAX } = spec.manifest.limits ?? {}
    const confinement: Confinement = {
      permissions: spec.permissions,
      folder: load.folder,
      dataDirectory: load.dataDirectory,
      stateDirectory: realpathSync(stateDirectory),
      program: [...program.readable, process.execPath, translationsOf(realpathSync(stateDirectory))],
    }
    const child = spawnProcess(await this.#needs.processes.needs(), {
      instance: id,
      command: [
        process.execPath,
        ...program.nodeArgs,
        ...nodePermissionArgs(confinement),
        ...(memoryMb === undefined ? [] : [`--max-old-space-size=${Math.max(8, Math.floor(memoryMb * HEAP_SHARE))}`]),
        program.entry,
      ],
      cwd: load.folder,
      env: {},
      confinement,
      hasLink: true,
      limits: { memoryMb, cpus, processes },
      log: serviceLog,
    })
    const { socket } = child
    if (!socket) throw new Error('the link of a process has no socket')
    const channel = new HostChannel({ label: `service ${id}`, pipe: socketPipe(socket), ...handlers })
    readSocket(socket, channel, `its process has ended; p2p why ${spec.name} tells why`)
    const ended = child.exited.then(
      async (exit): Promise<RunEnd> => {
        if (spec.permissions.childProcess) await this.#needs.processes.endEscaped(id)
        return { cause: causeOf(exit), reason: exitText(exit, serviceLog.tail, memoryMb) }
      },
      (error: unknown): RunEnd => ({ cause: 'fault', reason: `its process could not be started: ${String(error)}` }),
    )
    return { channel, pid: child.pid, ended, usage: () => child.usage(), kill: () => child.kill() }
  }
}
