import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { describe, test } from 'node:test'
import type { ServiceState } from '../../src/service/index.ts'
import { familyOf, processesWith } from '../../src/service/host/linux-processes.ts'
import { MARK_VARIABLE } from '../../src/service/host/leftovers.ts'
import { findCommand } from '../../src/service/host/system-tools.ts'
import { eventually } from './support/node-process.ts'
import { isAlive, service, startServices, type Tree } from './support/service-node.ts'

const PUBLIC = `description: 'x', public: true`

/** A service that answers, one whose event loop stands still, and a program with children of its own. */
const TREE: Tree = {
  'calm/main.js': service('calm', `who: method({ ${PUBLIC}, handler: () => 1 })`),
  'calm/manifest.json': '{"instances":2}',
  'deaf/main.js': service(
    'deaf',
    `who: method({ ${PUBLIC}, handler: () => 1 })`,
    `initialize() { setTimeout(() => { for (;;) ; }, 50) }`,
  ),
  'deaf/manifest.json': JSON.stringify({ health: { kind: 'heartbeat', intervalMs: 60_000, timeoutMs: 60_000 } }),
  'tree/run.sh': `trap '' TERM HUP INT\nsleep 43210 & sleep 43210 & wait`,
  'tree/manifest.json': JSON.stringify({ exec: { command: 'sh', args: ['run.sh'] } }),
}

describe('when a node is killed with SIGKILL, its services die with it', { skip: process.platform !== 'linux' }, () => {
  test('by what this machine has for it', async (t) => {
    const node = await startParent(t, TREE, process.env['PATH'] as string)
    await node.running()
    const processes = await node.processes()
    assert.ok(processes.length >= 6, `${processes.length} processes`)
    node.kill()
    await eventually(node.processes, (left) => left.length === 0)
  })

  test('by its guard alone, where the machine has nothing', async (t) => {
    const node = await startParent(t, TREE, await barePath(t))
    await node.running()
    assert.equal(
      (await commandsOf(await node.processes())).some((name) => name === 'bwrap'),
      false,
    )
    node.kill()
    await eventually(node.processes, (left) => left.length === 0)
  })

  test('by its next life, when even the guard was killed', async (t) => {
    const node = await startParent(t, TREE, await barePath(t))
    await node.running()
    const guard = await node.guard()
    // Stopped, so that it cannot put another one in its place.
    process.kill(node.pid, 'SIGSTOP')
    process.kill(guard, 'SIGKILL')
    node.kill()
    await eventually(node.processes, (left) => left.length > 0 && left.length <= 5)
    const next = await startServices(t, { 'calm/main.js': TREE['calm/main.js'] as string }, { state: node.state })
    await next.manager.settled()
    const own = new Set(await familyOf(next.instances('calm')[0]?.pid as number))
    await eventually(node.processes, (left) => left.every((each) => own.has(each)))
    assert.ok(next.log.some(({ message }) => message === 'A process was left behind and was ended'))
    await next.manager.stop()
  })
})

test('a guard that was killed is replaced', { skip: process.platform !== 'linux' }, async (t) => {
  const node = await startParent(t, TREE, await barePath(t))
  await node.running()
  const guard = await node.guard()
  process.kill(guard, 'SIGKILL')
  await eventually(
    () => node.guard(),
    (found) => found !== 0 && found !== guard,
  )
  node.kill()
  await eventually(node.processes, (left) => left.length === 0)
})

/** A node in a process of its own, to be killed. */
async function startParent(t: Parameters<typeof startServices>[0], tree: Tree, path: string) {
  const state = realpathSync(mkdtempSync(join(tmpdir(), 'p2p-state-')))
  t.after(() => rmSync(state, { recursive: true, force: true, maxRetries: 5 }))
  const script = join(import.meta.dirname, 'support/service-parent.ts')
  const child: ChildProcess = spawn(process.execPath, ['--conditions=source', script, state], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, PATH: path },
  })
  t.after(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    await eventually(processes, (left) => left.length === 0)
  })
  child.stdin?.end(JSON.stringify(tree))
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream })
  const pid = child.pid as number
  const processes = (): Promise<number[]> =>
    processesWith(MARK_VARIABLE, (mark) => mark.startsWith(`${join(state, 'services')}#`))
  return {
    pid,
    state,
    processes,
    kill: () => void child.kill('SIGKILL'),
    async running(): Promise<ServiceState[]> {
      for await (const line of lines) {
        const states = JSON.parse(line) as ServiceState[]
        const isUp = states.every(
          ({ instances, wanted }) => instances.filter((i) => i.state === 'running').length === wanted,
        )
        if (states.length === 3 && isUp) return states
      }
      throw new Error('the node ended')
    },
    /** The shell that waits for the node's end. */
    async guard(): Promise<number> {
      const family = await familyOf(pid)
      const guard = family.find((each) => isAlive(each) && commandLine(each).includes('trap'))
      return guard ?? 0
    },
  }
}

/** A PATH with a shell and little else. */
async function barePath(t: Parameters<typeof startServices>[0]): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-path-'))
  t.after(() => rmSync(directory, { recursive: true, force: true }))
  mkdirSync(directory, { recursive: true })
  for (const name of ['sh', 'sleep']) symlinkSync(findCommand(name, '/') as string, join(directory, name))
  return directory
}

async function commandsOf(pids: readonly number[]): Promise<string[]> {
  return pids.map((pid) => commandLine(pid).split('\0')[0]?.split('/').at(-1) ?? '')
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
