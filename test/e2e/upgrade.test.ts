import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { callMethod, signIn } from './support/node-api.ts'
import { freePort, makeHome, type NodeProcess, p2p, startNode } from './support/node-process.ts'
import { installProgram, packProgramAs } from './support/program-tarball.ts'

interface Program {
  version: string
  upgrade?: { state: string; reason?: string }
}

/** Which member of which cluster it said it was, at each of its starts. */
const identitiesOf = (node: NodeProcess): string[] =>
  node.events.flatMap((event) =>
    event.type === 'ready' ? [`${event.nodeId} ${event.cluster} ${event.caFingerprint}`] : [],
  )

test('a worker and then the coordinator become another version in place; a broken one is left again by itself', {
  skip: typeof process.execve !== 'function' && 'this Node cannot replace a running program',
}, async (t) => {
  const home = makeHome(t)
  const cwd = home.directory
  const command = installProgram(join(cwd, 'installed'))
  const { version: installed } = JSON.parse(readFileSync(join(cwd, 'installed/package.json'), 'utf8')) as {
    version: string
  }
  const [major = '0', minor = '0'] = installed.split('.')
  const [next, broken] = [`${major}.${minor}.901`, `${major}.${minor}.902`]
  const goodTarball = await packProgramAs(next, join(cwd, 'next'))
  const brokenTarball = await packProgramAs(broken, join(cwd, 'broken'), (folder) =>
    writeFileSync(join(folder, 'dist/p2p.js'), "throw new Error('broken on purpose')\n"),
  )

  const port = await freePort()
  const common = { bind_address: '127.0.0.1' }
  const start = (file: string): NodeProcess => startNode(t, file, { cwd, command, isReplaceable: true })
  const coordinator = start(home.config('coordinator-1', { ...common, port, coordinator_mode: true }))
  await coordinator.ready()
  const worker = start(
    home.config('worker-1', {
      ...common,
      port: await freePort(),
      coordinator_addresses: [`127.0.0.1:${port}`],
    }),
  )
  await worker.event('joined')

  const run = async (expected: number, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await p2p(args, { cwd, command })
    const logs = `${worker.output()}\n${coordinator.output()}`
    assert.equal(code, expected, `p2p ${args.join(' ')}\n${stdout}${stderr}\n${logs}`)
    return stdout + stderr
  }
  await run(0, 'login')
  const { url, operatorFile = '' } = await coordinator.ready()
  const api = { url, ...(await signIn(url, operatorFile)) }
  const programOf = async (node: string): Promise<Program> =>
    (await callMethod(api, { method: 'program/get_program', node, timeoutMs: 20_000 })) as Program
  const versions = async (): Promise<string[]> => [
    (await programOf('worker-1')).version,
    (await programOf('coordinator-1')).version,
  ]
  assert.deepEqual(await versions(), [installed, installed])

  // Both versions in one cluster: they call each other.
  await run(0, 'upgrade', goodTarball, '--node', 'worker-1')
  assert.deepEqual(await versions(), [next, installed])
  const workerApi = { ...api, url: (await worker.ready()).url }
  const asked = { method: 'program/get_program', node: 'coordinator-1', timeoutMs: 20_000 }
  assert.equal(((await callMethod(workerApi, asked)) as Program).version, installed)

  const ended = await run(0, 'upgrade', goodTarball)
  assert.match(ended, /Left out: worker-1 runs [^]*coordinator-1: done[^]*Done: p2p-core/)
  assert.deepEqual(await versions(), [next, next])

  // Fails on the worker, which goes back by itself; the coordinator is not asked.
  const failed = await run(1, 'upgrade', brokenTarball)
  assert.match(failed, /worker-1: returned: [^\n]*broken on purpose[^]*Failed: p2p-core/)
  assert.deepEqual(await versions(), [next, next])
  assert.equal((await programOf('worker-1')).upgrade?.state, 'returned')

  // The same processes, and the same members, all the time.
  for (const node of [worker, coordinator]) {
    process.kill(node.pid, 0)
    const told = identitiesOf(node)
    assert.ok(told.length >= 2, 'it was ready more than once')
    assert.equal(new Set(told).size, 1, told.join('\n'))
  }
  assert.equal(await worker.stop(), 0)
  assert.equal(await coordinator.stop(), 0)
})
