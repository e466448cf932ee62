import { messageOf, P2PError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { VERSION } from '../base/version.ts'
import { createLogMemory } from '../builtin/index.ts'
import type { NodeConfig } from '../config/index.ts'
import { createLogger } from '../platform/index.ts'
import { type RunningNode, startNode } from './node.ts'
import type { NodeEvent } from './node-event.ts'
import type { Unlock } from './unlock.ts'

export interface RunNodeOptions {
  config: NodeConfig
  unlock: Unlock
  /** `P2P1-…`: lets a worker in that has no certificate yet. */
  joinToken: string | undefined
  /** When aborted the node stops in order. */
  signal: AbortSignal
  onEvent: (event: NodeEvent) => void
}

/** Longer than any component's own grace; what is not closed by then is cut by the end of the process. */
const STOP_MS_MAX = 15_000

/**
 * Runs a node until it is asked to stop or cannot go on.
 * @returns the exit code of the process
 */
export async function runNode(options: RunNodeOptions): Promise<number> {
  const { config, signal, onEvent } = options
  const logMemory = createLogMemory({ max: config.logEntriesMax })
  const log = createLogger({ level: config.logLevel, format: 'text', sinks: [logMemory.sink] })
  log.info('Starting', { node_id: config.nodeId, role: config.role, version: VERSION, pid: process.pid })
  let node: RunningNode
  try {
    node = await startNode({ ...options, log, logMemory })
  } catch (error) {
    if (signal.aborted) return 0
    return fail(log, error)
  }
  const reason = await endOf(signal, node.failed)
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
