import { Worker } from 'node:worker_threads'
import { messageOf } from '../../base/errors.ts'
import { childEnvironment } from './child-environment.ts'
import type { DriverNeeds, DriverOptions } from './driver-needs.ts'
import { outOfMemory } from './exit-text.ts'
import { HostChannel } from './host-channel.ts'
import { HostedRun, type HostHandlers, type LaunchedHost } from './hosted-run.ts'
import { readLines } from './output-lines.ts'
import { portPipe, readPort } from './port-pipe.ts'
import { prepareLoad } from './prepare-load.ts'
import type { Driver, RunEnd, RunEvents, RunOrder, ServiceRun } from './run.ts'
import { ServiceLog } from './service-log.ts'
import type { Translations } from './translations.ts'

/** Runs each instance in a thread of the node: its own heap and event loop, but the node's rights. */
export class ThreadDriver implements Driver {
  readonly #needs: DriverNeeds & { translations: Translations }
  readonly #options: DriverOptions

  constructor(needs: DriverNeeds & { translations: Translations }, options: DriverOptions) {
    this.#needs = needs
    this.#options = options
  }

  start(order: RunOrder, events: RunEvents): ServiceRun {
    const { clock, log, logBudget, identity, caller, events: hub, translations } = this.#needs
    const serviceLog = new ServiceLog(clock, log.child(`Service.${order.spec.name}`), logBudget.of(order.spec.name))
    return new HostedRun(
      {
        clock,
        log,
        identity,
        caller,
        hub,
        serviceLog,
        prepare: () => prepareLoad(this.#needs, this.#options, translations, order),
        launch: (handlers) => this.#launch(order, serviceLog, handlers),
      },
      order,
      events,
    )
  }

  #launch({ id, spec }: RunOrder, log: ServiceLog, handlers: HostHandlers): LaunchedHost {
    const { clock } = this.#needs
    const { memoryMb } = spec.manifest.limits ?? {}
    const worker = new Worker(this.#options.program.entry, {
      name: id,
      argv: [],
      env: childEnvironment(process.env),
      execArgv: [...this.#options.program.nodeArgs],
      stdout: true,
      stderr: true,
      ...(memoryMb !== undefined && { resourceLimits: { maxOldGenerationSizeMb: memoryMb } }),
    })
    const onLine = (line: { level: Parameters<ServiceLog['write']>[0]; message: string; fields: object }): void =>
      log.write(line.level, line.message, { ...line.fields })
    readLines(worker.stdout, { clock, level: 'INFO', onLine })
    readLines(worker.stderr, { clock, level: 'WARNING', onLine })
    const kill = (): void => void worker.terminate()
    const channel = new HostChannel({ label: `service ${id}`, pipe: portPipe(worker, () => {}), ...handlers })
    readPort(worker, channel)
    return { channel, pid: undefined, ended: endOf(worker, memoryMb), usage: async () => undefined, kill }
  }
}

function endOf(worker: Worker, memoryMb: number | undefined): Promise<RunEnd> {
  return new Promise((resolve) => {
    let failure: RunEnd | undefined
    worker.once('error', (error: NodeJS.ErrnoException) => {
      const reason = error.code === 'ERR_WORKER_OUT_OF_MEMORY' ? outOfMemory(memoryMb) : messageOf(error)
      failure = { cause: 'fault', reason }
    })
    worker.once('exit', (code) => {
      resolve(failure ?? { cause: code === 0 ? 'done' : 'fault', reason: `its thread ended with code ${code}` })
    })
  })
}
