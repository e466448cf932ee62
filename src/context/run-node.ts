import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { messageOf, P2PError } from '../base/errors.ts'
import type { LogEntry, Logger } from '../base/log.ts'
import { explained } from '../base/system-failure.ts'
import { VERSION } from '../base/version.ts'
import { createLogMemory, type LogMemory } from '../builtin/index.ts'
import type { NodeConfig } from '../config/index.ts'
import type { ProgramControl } from '../deploy/index.ts'
import { createLogger, systemClock, systemFiles, systemRandom } from '../platform/index.ts'
import { currentTraceId, type ServiceHost } from '../service/index.ts'
import { createLogSpool, type LogSpool, type OtlpExporter } from '../telemetry/index.ts'
import { type RunningNode, startNode } from './node.ts'
import type { NodeEvent } from './node-event.ts'
import { otlpExporterOf } from './otlp.ts'
import { becomeNext, createProgramControl } from './program-control.ts'
import type { Unlock } from './unlock.ts'

export interface RunNodeOptions {
  config: NodeConfig
  unlock: Unlock
  /** `P2P1-…`: lets a worker in that has no certificate yet. */
  joinToken: string | undefined
  /** Sent with each request to `otlp_endpoint`: `Name=value,Name=value`. */
  otlpHeaders?: string | undefined
  /** Why this process could not begin anew with another program; undefined: it could. */
  cannotRestart: string | undefined
  /** When aborted the node stops in order. */
  signal: AbortSignal
  onEvent: (event: NodeEvent) => void
  /** Gets every line of the log, which is then not written to the standard output. */
  onLine?: (line: LogEntry) => void
  /** Given what starts and stops the services of the node, once it runs. */
  onStarted?: (services: ServiceHost) => void
}

/** Longer than any component's own grace; what is not closed by then is cut by the end of the process. */
const STOP_MS_MAX = 15_000

/**
 * Runs a node until it is asked to stop or cannot go on.
 * @returns the exit code of the process
 */
export async function runNode(options: RunNodeOptions): Promise<number> {
  const { config, onLine } = options
  const logMemory = createLogMemory({ max: config.logEntriesMax, traceId: currentTraceId })
  const logSpool = createLogSpool(
    { clock: systemClock, random: systemRandom, files: systemFiles, log: () => log, traceId: currentTraceId },
    { directory: join(config.stateDirectory, 'log-spool'), bytesMax: config.logSpoolBytesMax },
  )
  const otlp = otlpExporterOf(config, options.otlpHeaders, () => log)
  const log = createLogger({
    level: config.logLevel,
    format: 'text',
    sinks: [logMemory.sink, logSpool.sink, ...(otlp ? [otlp.sink] : []), ...(onLine ? [onLine] : [])],
    ...(onLine && { destination: { write: () => {} } }),
  })
  log.info('Starting', { node_id: config.nodeId, role: config.role, version: VERSION, pid: process.pid })
  const strays = catchStrays(log)
  const restart = new AbortController()
  const program = createProgramControl({
    stateDirectory: config.stateDirectory,
    cannotRestart: options.cannotRestart,
    onRestart: (reason) => restart.abort(new Error(reason)),
  })
  let exitCode: number
  try {
    exitCode = await runUntilEnd(
      options,
      log,
      { logMemory, logSpool, otlp, program },
      { crashed: strays.signal, restart: restart.signal },
    )
  } finally {
    strays.dispose()
    await otlp?.stop()
    // What is still in it goes out at the next start.
    await logSpool.stop()
  }
  // A part that did not stop cleanly is no reason to stay: its descriptors end with this program.
  if (restart.signal.aborted && !options.signal.aborted && !strays.signal.aborted) becomeNext()
  return exitCode
}

async function runUntilEnd(
  options: RunNodeOptions,
  log: Logger,
  kept: { logMemory: LogMemory; logSpool: LogSpool; otlp: OtlpExporter | undefined; program: ProgramControl },
  { crashed, restart }: { crashed: AbortSignal; restart: AbortSignal },
): Promise<number> {
  const { signal, onEvent } = options
  let node: RunningNode
  try {
    node = await startNode({ ...options, signal: AbortSignal.any([signal, crashed]), log, ...kept })
  } catch (error) {
    if (signal.aborted) return 0
    return fail(log, explained(error, options.config.stateDirectory))
  }
  // Held back by bin/p2p.cjs while the program was loaded: from here on only load makes the nursery grow.
  setFlagsFromString('--semi-space-growth-factor=2')
  options.onStarted?.(node.services)
  const reason = await endOf(AbortSignal.any([signal, restart]), AbortSignal.any([node.failed, crashed]))
  onEvent({ type: 'stopping', reason: reason.text })
  log.info('Stopping', { reason: reason.text })
  try {
    await withTimeLimit(node.stop())
  } catch (error) {
    log.error('The node did not stop cleanly', { error })
    return reason.exitCode || 1
  }
  log.info('Stopped')
  return reason.exitCode
}

/**
 * What a service throws outside any call ends up here, because services share the node's process. A rejected promise nobody
 * handled is said and survived; after an uncaught exception nothing can be relied on, so the node stops in order, and
 * whatever runs it (systemd, a container) starts it again.
 */
function catchStrays(log: Logger): { signal: AbortSignal; dispose(): void } {
  const crashed = new AbortController()
  const onRejection = (error: unknown): void => log.error('A promise was rejected and nobody handled it', { error })
  const onException = (error: unknown): void => {
    log.critical('An exception was thrown outside any call; the node stops', { error })
    crashed.abort(new Error(`uncaught exception: ${messageOf(error)}`))
  }
  process.on('unhandledRejection', onRejection)
  process.on('uncaughtException', onException)
  return {
    signal: crashed.signal,
    dispose() {
      process.off('unhandledRejection', onRejection)
      process.off('uncaughtException', onException)
    },
  }
}

function fail(log: Logger, error: unknown): number {
  if (error instanceof P2PError) {
    log.critical(`Cannot start: ${error.message}`, { code: error.code })
    return error.facts.exit ?? 1
  }
  log.critical(`Cannot start: ${messageOf(error)}`, { error })
  return 1
}

/** Resolves when the node is asked to stop, or when it has failed. */
function endOf(asked: AbortSignal, failed: AbortSignal): Promise<{ text: string; exitCode: number }> {
  return new Promise((resolve) => {
    const onAsked = (): void => resolve({ text: messageOf(asked.reason), exitCode: 0 })
    const onFailed = (): void => resolve({ text: messageOf(failed.reason), exitCode: 1 })
    if (failed.aborted) onFailed()
    else if (asked.aborted) onAsked()
    failed.addEventListener('abort', onFailed, { once: true })
    asked.addEventListener('abort', onAsked, { once: true })
  })
}

async function withTimeLimit(stopping: Promise<void>): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const limit = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not stopped after ${STOP_MS_MAX / 1000} s`)), STOP_MS_MAX)
  })
  try {
    await Promise.race([stopping, limit])
  } finally {
    clearTimeout(timer)
  }
}
