import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { makeHome, P2P, p2p } from './support/node-process.ts'

interface Running {
  child: ChildProcess
  output(): string
  /** Resolves when the text was written; rejects when the process ends first. */
  wrote(pattern: RegExp): Promise<void>
}

function startLocal(t: TestContext, cwd: string): Running {
  const child = spawn(process.execPath, [P2P, 'local'], { cwd, stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (chunk) => (text += chunk))
  child.stderr.on('data', (chunk) => (text += chunk))
  const ended = once(child, 'close')
  t.after(async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await ended
  })
  return {
    child,
    output: () => text,
    async wrote(pattern) {
      while (!pattern.test(text)) {
        const isOver = await Promise.race([once(child.stdout, 'data').then(() => false), ended.then(() => true)])
        if (isOver && !pattern.test(text)) throw new Error(`It ended before it wrote ${pattern}:\n${text}`)
      }
    },
  }
}

test('p2p local: three nodes, stopped by Ctrl-C, back with the same identities', async (t) => {
  const { directory: cwd } = makeHome(t)

  const first = startLocal(t, cwd)
  await first.wrote(/Ctrl-C stops everything/)
  assert.match(first.output(), /3 nodes are up/)
  assert.match(first.output(), /Recovery key/)
  const login = await p2p(['login'], { cwd })
  assert.equal(login.code, 0, login.stderr)
  const before = await p2p(['ca', 'show', '--output', 'json'], { cwd })
  assert.equal(before.code, 0, before.stderr)
  first.child.kill('SIGINT')
  const [code] = await once(first.child, 'close')
  assert.equal(code, 0, first.output())

  const second = startLocal(t, cwd)
  await second.wrote(/Ctrl-C stops everything/)
  assert.doesNotMatch(second.output(), /Recovery key|made the certificate authority/)
  const again = await p2p(['login'], { cwd })
  assert.equal(again.code, 0, again.stderr)
  const after = await p2p(['ca', 'show', '--output', 'json'], { cwd })
  const identities = (text: string): unknown => {
    const { ca_fingerprint, issued } = JSON.parse(text)
    return { ca_fingerprint, serials: issued.map((certificate: { serial: string }) => certificate.serial).sort() }
  }
  assert.deepEqual(
    identities(after.stdout),
    identities(before.stdout),
    'the same CA, and no certificate was issued anew',
  )
})

test('a node of p2p local that is killed comes back, one that is told to stop stays away', async (t) => {
  const { directory: cwd } = makeHome(t)
  const running = startLocal(t, cwd)
  await running.wrote(/Ctrl-C stops everything/)
  process.kill(pidOf(cwd, 'worker-2'), 'SIGTERM')
  await running.wrote(/worker-2 +has stopped/)
  process.kill(pidOf(cwd, 'worker-1'), 'SIGKILL')
  await running.wrote(/worker-1 +was killed by SIGKILL; it is started again/)
  await running.wrote(/was killed by SIGKILL[^]*worker-1 +ready/)
  assert.doesNotMatch(running.output(), /worker-2 +has stopped[^]*worker-2 +ready/)
  running.child.kill('SIGINT')
  const [code] = await once(running.child, 'close')
  assert.equal(code, 0, running.output())
})

test('p2p local leaves nothing running when it is killed with -9', async (t) => {
  const { directory: cwd } = makeHome(t)
  const running = startLocal(t, cwd)
  await running.wrote(/Ctrl-C stops everything/)
  const pids = ['coordinator-1', 'worker-1', 'worker-2'].map((nodeId) => pidOf(cwd, nodeId))
  assert.ok(
    pids.every((pid) => pid > 0),
    `each log names its process: ${pids.join()}`,
  )
  running.child.kill('SIGKILL')
  for (const pid of pids) {
    while (isAlive(pid)) await new Promise((again) => setTimeout(again, 50))
  }
})

/** As its log tells. */
function pidOf(cwd: string, nodeId: string): number {
  const log = readFileSync(join(cwd, 'data/local', nodeId, 'node.log'), 'utf8')
  return Number(/"?pid"?[ =:]+(\d+)/.exec(log)?.[1])
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
