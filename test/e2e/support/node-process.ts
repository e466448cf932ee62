import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { NodeEvent } from '../../../src/context/index.ts'
import { nextFreePort } from '../../../src/cli/local/free-port.ts'

const root = resolve(import.meta.dirname, '../../..')

export type ReadyEvent = Extract<NodeEvent, { type: 'ready' }>

/** The program as users get it: the built bundle. */
export const P2P = join(root, 'bin/p2p.cjs')

/** A plot is made once for all tests: making it is tested elsewhere. */
export interface Home {
  directory: string
  /** Writes `config/<nodeId>.yaml` and answers its path. */
  config(nodeId: string, values: Record<string, unknown>): string
}

/** A test, or a benchmark that runs what it is given at its own end. */
export interface Cleanup {
  after(fn: () => unknown): void
}

/** A temporary folder that holds a cluster's configuration, plot, services and state. Removed after the test. */
export function makeHome(t: Cleanup): Home {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-e2e-'))
  t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
  mkdirSync(join(directory, 'config'))
  const services = join(root, 'dist/services')
  for (const name of ['inventory', 'watch']) {
    if (existsSync(join(services, name))) {
      cpSync(join(services, name), join(directory, 'dist/services', name), { recursive: true })
    }
  }
  return {
    directory,
    config(nodeId, values) {
      const file = join(directory, 'config', `${nodeId}.yaml`)
      const all = { node_id: nodeId, state_directory: `data/${nodeId}`, challenge_port: 0, ...values }
      writeFileSync(
        file,
        Object.entries(all)
          .map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`)
          .join(''),
      )
      return file
    },
  }
}

const taken = new Set<number>()

/** A free loopback port that no other caller in this process gets; below those the system gives to connections that go out. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  const port = await nextFreePort(20_000 + Math.floor(Math.random() * 12_600), host, taken)
  taken.add(port)
  return port
}

/** One node in a process of its own. */
export interface NodeProcess {
  readonly pid: number
  readonly events: NodeEvent[]
  /** Everything it wrote to stdout and stderr. */
  output(): string
  /** Resolves at the first event of this type from now on or already seen; rejects when the process ends first. */
  event<T extends NodeEvent['type']>(type: T): Promise<Extract<NodeEvent, { type: T }>>
  ready(): Promise<ReadyEvent>
  /** Calls `then` in the moment in which it has written something that matches; at once when it has. */
  whenWritten(pattern: RegExp, then: () => void): void
  kill(signal: NodeJS.Signals): void
  /** Exit code, or the signal that ended it. */
  exited: Promise<number | NodeJS.Signals>
  /** SIGTERM and wait. */
  stop(): Promise<number | NodeJS.Signals>
}

export interface StartOptions {
  args?: string[]
  env?: Record<string, string>
  cwd?: string
  /** Put in front of the command, for example `['ip', 'netns', 'exec', 'a']`. */
  prefix?: string[]
  /** Another installation's `p2p`. */
  command?: string
  /** Its events come through its standard input, as in `p2p local`: then they go on when it becomes another program. */
  isReplaceable?: boolean
}

/** Starts `p2p --config FILE` and stops it after the test, by force if need be. */
export function startNode(t: Cleanup, configFile: string, options: StartOptions = {}): NodeProcess {
  const command = [
    ...(options.prefix ?? []),
    process.execPath,
    options.command ?? P2P,
    '--config',
    configFile,
    ...(options.args ?? []),
  ]
  const child: ChildProcess = spawn(command[0] as string, command.slice(1), {
    stdio: options.isReplaceable ? ['ipc', 'pipe', 'pipe'] : ['ignore', 'pipe', 'pipe', 'ipc'],
    cwd: options.cwd ?? tmpdir(),
    env: { ...process.env, ...options.env },
  })
  let text = ''
  child.stdout?.on('data', (chunk) => (text += chunk))
  child.stderr?.on('data', (chunk) => (text += chunk))
  const events: NodeEvent[] = []
  child.on('message', (message) => events.push(message as NodeEvent))
  const exited = once(child, 'exit').then(([code, signal]) => (signal ?? code) as number | NodeJS.Signals)
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
    await exited
  })

  async function event<T extends NodeEvent['type']>(type: T): Promise<Extract<NodeEvent, { type: T }>> {
    const isWanted = (candidate: NodeEvent): candidate is Extract<NodeEvent, { type: T }> => candidate.type === type
    for (;;) {
      const found = events.find(isWanted)
      if (found) return found
      const ended = await Promise.race([once(child, 'message').then(() => undefined), exited])
      if (ended !== undefined && !events.some(isWanted)) {
        throw new Error(`The node ended (${ended}) before it sent "${type}". It wrote:\n${text}`)
      }
    }
  }

  return {
    pid: child.pid as number,
    events,
    output: () => text,
    event,
    ready: () => event('ready'),
    whenWritten(pattern, then) {
      const look = (): void => {
        if (!pattern.test(text)) return
        child.stdout?.off('data', look)
        child.stderr?.off('data', look)
        then()
      }
      child.stdout?.on('data', look)
      child.stderr?.on('data', look)
      look()
    },
    kill: (signal) => void child.kill(signal),
    exited,
    async stop() {
      child.kill('SIGTERM')
      return exited
    },
  }
}

/** Runs the `p2p` command to its end. */
export async function p2p(
  args: string[],
  options: { cwd: string; env?: Record<string, string>; prefix?: string[]; command?: string },
): Promise<{ code: number; stdout: string; stderr: string }> {
  const command = [...(options.prefix ?? []), process.execPath, options.command ?? P2P, ...args]
  const child = spawn(command[0] as string, command.slice(1), {
    cwd: options.cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, XDG_CONFIG_HOME: join(options.cwd, 'xdg'), NO_COLOR: '1', ...options.env },
  })
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk) => (stdout += chunk))
  child.stderr.on('data', (chunk) => (stderr += chunk))
  const [code] = await once(child, 'close')
  return { code: code as number, stdout, stderr }
}

/** Asks until the answer satisfies; fails with the last answer after `attempts`. For conditions that no event announces. */
export async function eventually<T>(
  ask: () => Promise<T>,
  isEnough: (answer: T) => boolean,
  attempts = 200,
): Promise<T> {
  let last: T | undefined
  for (let attempt = 0; attempt < attempts; attempt++) {
    last = await ask()
    if (isEnough(last)) return last
    await new Promise((again) => setTimeout(again, 100))
  }
  throw new Error(`Never came true; last seen: ${JSON.stringify(last, null, 1)}`)
}
