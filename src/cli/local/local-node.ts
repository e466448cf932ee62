import { type ChildProcess, spawn } from 'node:child_process'
import { openSync, closeSync, readFileSync } from 'node:fs'
import { CliError } from '../../base/errors.ts'
import type { NodeEvent } from '../../context/index.ts'

/** What to start: a node's name, its configuration and where its log lines go. */
export interface NodeSpec {
  nodeId: string
  configFile: string
  logFile: string
}

export type ReadyEvent = Extract<NodeEvent, { type: 'ready' }>

/** How a node's process ended that we did not stop. */
export interface NodeEnd {
  nodeId: string
  how: string
  /** `stopped`: somebody told it to. */
  outcome: 'stopped' | 'killed' | 'failed'
  logFile: string
  lastLines: string[]
}

/** A node that runs as a child process. */
export interface LocalNode {
  nodeId: string
  pid: number
  /** Rejects when the process ends first. */
  ready: Promise<ReadyEvent>
  /** Resolves when the process ended by itself; never after `stop`. */
  ended: Promise<NodeEnd>
  /** Asks it to stop and waits until it has. Idempotent. */
  stop(): Promise<void>
}

/**
 * Starts `p2p --config …` as a child in its own process group: a Ctrl-C in the terminal reaches us alone, and we
 * stop the nodes in order. A child whose parent dies sees its IPC channel close and stops by itself.
 */
export function startLocalNode(spec: NodeSpec, onEvent: (event: NodeEvent) => void, signal: AbortSignal): LocalNode {
  const log = openSync(spec.logFile, 'a', 0o600)
  const child = spawn(process.execPath, [...process.execArgv, process.argv[1] as string, '--config', spec.configFile], {
    // On the standard input the channel outlives a change of the program (process.execve keeps no other descriptor).
    stdio: ['ipc', log, log],
    detached: true,
    windowsHide: true,
  })
  closeSync(log)
  let isStopping = false
  const exited = new Promise<Pick<NodeEnd, 'how' | 'outcome'>>((resolve) => {
    child.once('exit', (code, killedBy) => {
      if (killedBy) resolve({ how: `was killed by ${killedBy}`, outcome: 'killed' })
      else if (code === 0) resolve({ how: 'has stopped', outcome: 'stopped' })
      else resolve({ how: `exited with code ${code}`, outcome: 'failed' })
    })
    child.once('error', (error) => resolve({ how: `could not be started: ${error.message}`, outcome: 'failed' }))
  })
  const ended = new Promise<NodeEnd>((resolve) => {
    void exited.then((end) => {
      const { nodeId, logFile } = spec
      if (!isStopping) resolve({ ...end, nodeId, logFile, lastLines: lastLines(logFile, 12) })
    })
  })
  const ready = new Promise<ReadyEvent>((resolve, reject) => {
    child.on('message', (message) => {
      const event = message as NodeEvent
      onEvent(event)
      if (event.type === 'ready') resolve(event)
    })
    signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    void ended.then((end) =>
      reject(
        new CliError(
          'P2P_CLI_UNREACHABLE',
          `${end.nodeId} ${end.how} before it was ready. Its log, ${end.logFile}, ends with:\n${end.lastLines.join('\n')}`,
        ),
      ),
    )
  })
  // A rejection may come before anybody awaits `ready`; it is not lost, only not unhandled.
  ready.catch(() => {})

  async function stop(): Promise<void> {
    if (!isStopping) {
      isStopping = true
      askToStop(child)
    }
    await exited
  }

  return { nodeId: spec.nodeId, pid: child.pid ?? 0, ready, ended, stop }
}

/** Windows has no SIGTERM to handle: there a node stops when its IPC channel closes. */
function askToStop(child: ChildProcess): void {
  if (process.platform === 'win32') child.disconnect()
  else child.kill('SIGTERM')
}

function lastLines(file: string, count: number): string[] {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-count)
  } catch {
    return []
  }
}
