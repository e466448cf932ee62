import { realpathSync } from 'node:fs'
import { RpcError } from '../../base/errors.ts'
import type { DriverNeeds, DriverOptions } from './driver-needs.ts'
import { exitText } from './exit-text.ts'
import type { ProcessTable } from './process-table.ts'
import type { RunOrder } from './run.ts'
import { dataDirectoryOf } from './service-directories.ts'
import { ServiceLog } from './service-log.ts'
import { spawnProcess } from './spawn-process.ts'
import { filesOf, findCommand } from './system-tools.ts'

/**
 * Runs a program of a service to its end, held back as the service itself is.
 * @throws {RpcError} P2P_SERVICE_START_FAILED: it cannot be run, or did not end with 0; the signal's reason
 */
export async function runScript(
  { clock, log, logBudget, files, processes }: DriverNeeds & { processes: ProcessTable },
  options: DriverOptions,
  { id, spec }: RunOrder,
  { command, args, signal }: { command: string; args: readonly string[]; signal: AbortSignal },
): Promise<void> {
  const folder = realpathSync(spec.folder)
  const stateDirectory = realpathSync(options.stateDirectory)
  const dataDirectory = dataDirectoryOf(stateDirectory, spec.name)
  const found = findCommand(command, folder)
  if (found === undefined) throw new RpcError('P2P_SERVICE_START_FAILED', `there is no program ${command}`)
  await files.makeDirectory(dataDirectory)
  const needs = await processes.needs()
  signal.throwIfAborted()
  const serviceLog = new ServiceLog(clock, log.child(`Service.${spec.name}`), logBudget.of(spec.name))
  const child = spawnProcess(needs, {
    instance: id,
    command: [found, ...args],
    cwd: folder,
    env: {},
    confinement: { permissions: spec.permissions, folder, dataDirectory, stateDirectory, program: filesOf(found) },
    hasLink: false,
    limits: {},
    log: serviceLog,
  })
  const onAbort = (): void => child.kill()
  signal.addEventListener('abort', onAbort, { once: true })
  const exit = await child.exited.finally(() => signal.removeEventListener('abort', onAbort))
  signal.throwIfAborted()
  if (exit.code !== 0) {
    throw new RpcError('P2P_SERVICE_START_FAILED', `${command}: ${exitText(exit, serviceLog.tail, undefined)}`)
  }
}
