import { realpathSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { messageOf, RpcError } from '../../base/errors.ts'
import type { ServiceMetricsSnapshot } from '../definition/descriptor.ts'
import { type ExecProgram, PROCESSES_MAX } from '../definition/manifest.ts'
import type { DriverNeeds, DriverOptions } from './driver-needs.ts'
import { OTHERS_DIRECTORIES } from './confinement.ts'
import { causeOf, exitText } from './exit-text.ts'
import { filledIn, type Placeholders } from './placeholders.ts'
import type { Settings } from './host-message.ts'
import type { ProcessTable } from './process-table.ts'
import { ProgramFiles } from './program-files.ts'
import {
  type Driver,
  endOf,
  type RunEnd,
  type RunEvents,
  type RunOrder,
  type RunUsage,
  type ServiceRun,
} from './run.ts'
import { dataDirectoryOf } from './service-directories.ts'
import { ServiceLog } from './service-log.ts'
import { type SpawnedProcess, spawnProcess } from './spawn-process.ts'
import { filesOf, findCommand } from './system-tools.ts'

/** Runs any program. It has no methods; whether it is ready its health check tells. */
export class ExecDriver implements Driver {
  readonly #needs: DriverNeeds & { processes: ProcessTable }
  readonly #options: DriverOptions

  constructor(needs: DriverNeeds & { processes: ProcessTable }, options: DriverOptions) {
    this.#needs = needs
    this.#options = options
  }

  start(order: RunOrder, events: RunEvents): ServiceRun {
    return new ExecRun(this.#needs, this.#options, order, events)
  }
}

/** Of a shell: there is no such program, or it may not be run. */
const NOT_FOUND_CODES: ReadonlySet<number> = new Set([126, 127])
const HIDDEN = ` (in its sandbox it sees nothing below ${OTHERS_DIRECTORIES.join(', ')} but what permissions.read in manifest.json names)`

class ExecRun implements ServiceRun {
  readonly #needs: DriverNeeds & { processes: ProcessTable }
  readonly #options: DriverOptions
  readonly #order: RunOrder
  readonly #events: RunEvents
  #process: SpawnedProcess | undefined
  #files: ProgramFiles | undefined
  #values: Placeholders | undefined
  #wantsEnd = false

  readonly callsUnderWay = 0
  ports: Readonly<Record<string, number>> = {}

  constructor(
    needs: DriverNeeds & { processes: ProcessTable },
    options: DriverOptions,
    order: RunOrder,
    events: RunEvents,
  ) {
    this.#needs = needs
    this.#options = options
    this.#order = order
    this.#events = events
    void this.#run()
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  forward(method: string): never {
    throw new RpcError('P2P_RPC_METHOD_NOT_FOUND', `${this.#order.id} is a program without methods`, { method })
  }

  async idle(): Promise<void> {}

  async ping(): Promise<void> {}

  async reconfigure(settings: Settings): Promise<void> {
    const files = this.#files
    if (!files || !this.#values) throw new Error('it has no exec.files in which it would find them')
    const values = { ...this.#values, ...settings }
    await files.write(this.#texts(values))
    this.#values = values
    await this.#process?.hangUp()
  }

  metrics(): ServiceMetricsSnapshot | undefined {
    return undefined
  }

  async usage(): Promise<RunUsage | undefined> {
    return this.#process?.usage()
  }

  end(): void {
    this.#wantsEnd = true
    this.#process?.terminate()
  }

  kill(): void {
    this.#wantsEnd = true
    this.#process?.kill()
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    let end: RunEnd
    try {
      end = await this.#live()
    } catch (error) {
      end = endOf(error)
    }
    await this.#files?.remove().catch((error: unknown) => {
      this.#needs.log.warning('Files of a program were not removed', {
        instance: this.#order.id,
        reason: messageOf(error),
      })
    })
    this.#events.ended(end)
  }

  async #live(): Promise<RunEnd> {
    const { clock, log, logBudget, files, processes } = this.#needs
    const { spec, id } = this.#order
    const { exec, limits, ports = {} } = spec.manifest
    if (!exec) throw new RpcError('P2P_SERVICE_LOAD_FAILED', 'manifest.json has no exec: { "command": … }')
    this.#events.loaded(spec.name)
    const stateDirectory = realpathSync(this.#options.stateDirectory)
    const folder = realpathSync(spec.folder)
    const dataDirectory = dataDirectoryOf(stateDirectory, spec.name)
    await files.makeDirectory(dataDirectory)
    this.ports = Object.fromEntries(
      await Promise.all(
        Object.entries(ports).map(async ([name, port]) => [name, port === 0 ? await freePort() : port]),
      ),
    ) as Record<string, number>
    const needs = await processes.needs()
    const names = Object.keys(exec.files ?? {})
    const made = names.length > 0 ? await ProgramFiles.create(stateDirectory) : undefined
    this.#files = made
    this.#values = {
      ports: this.ports,
      folder,
      data: dataDirectory,
      instance: id.slice(id.indexOf('#') + 1),
      config: spec.config,
      secrets: spec.secrets,
      files: Object.fromEntries(names.map((name) => [name, made?.pathOf(name) ?? ''])),
    }
    await made?.write(this.#texts(this.#values))
    const command = this.#command(exec, this.#values)
    if (this.#wantsEnd) return { cause: 'killed', reason: 'it was stopped before it began' }
    const serviceLog = new ServiceLog(clock, log.child(`Service.${spec.name}`), logBudget.of(spec.name))
    const child = spawnProcess(needs, {
      instance: id,
      ...command,
      cwd: exec.cwd === undefined ? folder : join(folder, exec.cwd),
      confinement: {
        permissions: spec.permissions,
        folder,
        dataDirectory,
        stateDirectory,
        program: [...filesOf(command.command[0] as string), ...(made ? [made.directory] : [])],
      },
      hasLink: false,
      limits: { memoryMb: limits?.memoryMb, cpus: limits?.cpus, processes: limits?.processes ?? PROCESSES_MAX },
      log: serviceLog,
    })
    this.#process = child
    this.#events.ready({ version: spec.version, description: spec.manifest.description ?? '', methods: [] })
    const exit = await child.exited
    await processes.endEscaped(id)
    const hint = needs.tools.bwrap !== undefined && NOT_FOUND_CODES.has(exit.code ?? 0) ? HIDDEN : ''
    return { cause: causeOf(exit), reason: `${exitText(exit, serviceLog.tail, undefined)}${hint}` }
  }

  #texts(values: Placeholders): Record<string, string> {
    const { files = {} } = this.#order.spec.manifest.exec ?? {}
    return Object.fromEntries(
      Object.entries(files).map(([name, text]) => [name, filledIn(text, values, `exec.files.${name}`)]),
    )
  }

  #command(
    exec: ExecProgram,
    values: Placeholders,
  ): { command: readonly string[]; env: Readonly<Record<string, string>> } {
    const found = findCommand(exec.command, values.folder)
    if (found === undefined) {
      const message = `exec.command: there is no program ${exec.command} on this machine, or it may not be run`
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', message)
    }
    // Secrets only go where nobody but this process and its user can read them.
    const { secrets: _secrets, ...open } = values
    const args = exec.args.map((arg, i) => filledIn(arg, { ...open, secrets: {} }, `exec.args.${i}`))
    const env = Object.entries(exec.env).map(([name, text]) => [name, filledIn(text, values, `exec.env.${name}`)])
    return { command: [found, ...args], env: Object.fromEntries(env) as Record<string, string> }
  }
}

/** A port nobody listens on. Somebody else may take it before the program does: it then ends, and gets another one. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.once('error', reject)
    server.listen(0, () => {
      const address = server.address()
      const port = typeof address === 'object' && address ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}
