import { RpcError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { LocalDispatch } from '../calls/local-dispatch.ts'
import { createModuleLoader, type ModuleLoader } from '../definition/module-loader.ts'
import type { ServiceKind, ServiceSpec } from '../definition/service-spec.ts'
import { translatedSource } from '../definition/translate.ts'
import { confinementGap } from './confinement.ts'
import type { DriverNeeds, DriverOptions, HostProgram } from './driver-needs.ts'
import { ExecDriver } from './exec-driver.ts'
import { InlineDriver } from './inline-driver.ts'
import { LogBudget } from './log-budget.ts'
import { ProcessDriver } from './process-driver.ts'
import { ProcessTable } from './process-table.ts'
import type { Driver, RunOrder } from './run.ts'
import { runScript } from './run-script.ts'
import { translationsOf } from './service-directories.ts'
import { systemTools } from './system-tools.ts'
import { ThreadDriver } from './thread-driver.ts'
import { Translations } from './translations.ts'

export interface DriversNeeds extends Omit<DriverNeeds, 'logBudget'> {
  random: Random
  dispatch: LocalDispatch
}

export interface DriversOptions {
  sdkUrl: string
  callTimeoutMs: number
  /** What a node must have to run services outside its own thread; undefined: it can run them there only. */
  outside: { program: HostProgram; stateDirectory: string } | undefined
}

/** The ways of running services that this node has, each made when it is first needed. */
export class Drivers {
  readonly #needs: DriversNeeds & DriverNeeds
  readonly #options: DriversOptions
  readonly #loader: ModuleLoader
  readonly #made = new Map<ServiceKind, Driver>()
  readonly #saidGaps = new Set<ServiceKind>()
  #outside: { options: DriverOptions; processes: ProcessTable; translations: Translations } | undefined

  constructor(needs: DriversNeeds, options: DriversOptions) {
    this.#needs = { ...needs, logBudget: new LogBudget(needs.clock) }
    this.#options = options
    this.#loader = createModuleLoader({ sdkUrl: options.sdkUrl, translate: translatedSource })
  }

  /** @throws {RpcError} P2P_SERVICE_LOAD_FAILED: this node has no such way */
  of({ kind, name }: ServiceSpec): Driver {
    const known = this.#made.get(kind)
    if (known) return known
    const driver = this.#make(kind, name)
    this.#made.set(kind, driver)
    if (kind !== 'inline') void this.#sayGap(kind)
    return driver
  }

  /** Runs a program of a service as the service itself would. @throws when it does not end with 0 */
  async runScript(order: RunOrder, command: string, args: readonly string[], signal: AbortSignal): Promise<void> {
    const { options, processes } = this.#outsideOf(order.spec.name)
    await runScript({ ...this.#needs, processes }, options, order, { command, args, signal })
  }

  async stop(): Promise<void> {
    this.#loader.close()
    await this.#outside?.processes.stop()
  }

  #make(kind: ServiceKind, service: string): Driver {
    const { callTimeoutMs, outside } = this.#options
    if (kind === 'inline') {
      const needs = { ...this.#needs, loader: this.#loader }
      return new InlineDriver(needs, { callTimeoutMs, stateDirectory: outside?.stateDirectory })
    }
    const { options, processes, translations } = this.#outsideOf(service)
    const needs = { ...this.#needs, processes, translations }
    switch (kind) {
      case 'process':
        return new ProcessDriver(needs, options)
      case 'thread':
        return new ThreadDriver(needs, options)
      case 'exec':
        return new ExecDriver(needs, options)
    }
  }

  #outsideOf(service: string) {
    if (this.#outside) return this.#outside
    const { sdkUrl, callTimeoutMs, outside } = this.#options
    if (!outside) {
      const message = `Service ${service} cannot run here: this node runs services in its own thread only`
      throw new RpcError('P2P_SERVICE_LOAD_FAILED', message, { service })
    }
    const options = { ...outside, sdkUrl, callTimeoutMs }
    const { files, log } = this.#needs
    this.#outside = {
      options,
      processes: new ProcessTable(this.#needs, outside.stateDirectory),
      translations: new Translations({ files, log }, translationsOf(outside.stateDirectory)),
    }
    return this.#outside
  }

  async #sayGap(kind: Exclude<ServiceKind, 'inline'>): Promise<void> {
    const gap = confinementGap(kind, await systemTools(), process.platform)
    if (gap === undefined || this.#saidGaps.has(kind)) return
    this.#saidGaps.add(kind)
    this.#needs.log.warning(`Of services of kind ${kind}: ${gap}`)
  }
}
