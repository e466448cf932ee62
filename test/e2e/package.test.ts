import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')

test('the packed tarball, installed globally, brings the p2p command and runs a node', async (t) => {
  const prefix = mkdtempSync(join(tmpdir(), 'p2p-package-'))
  t.after(() => rmSync(prefix, { recursive: true, force: true }))
  const env = { ...process.env, npm_config_prefix: prefix, NODE_OPTIONS: '', npm_config_loglevel: 'error' }
  const packed = await run('npm', ['pack', '--ignore-scripts', '--json', '--pack-destination', prefix], {
    cwd: root,
    env,
  })
  const [{ filename, files }] = JSON.parse(packed.stdout) as [{ filename: string; files: { path: string }[] }]
  assert.ok(
    files.every((file) => !/^data\/|^dist\/services\/plot|\.ts$(?<!\.d\.ts)/.test(file.path)),
    'no plot, no state and no sources are packed',
  )
  await run('npm', ['install', '--global', join(prefix, filename)], { cwd: prefix, env })

  const command = join(prefix, 'bin/p2p')
  const version = await run(process.execPath, [command, '--version'])
  assert.match(version.stdout, /^3\.\d+\.\d+\n$/)

  // The example services come with the package; `p2p local` shows them where the folder has none of its own.
  assert.ok(files.some((file) => file.path === 'dist/services/inventory/main.js'))
  const made = await run(process.execPath, [command, 'init', 'shop'], { cwd: prefix, env })
  assert.match(made.stderr, /p2p test shop/)
  const tested = await run(process.execPath, [command, 'test', 'shop'], { cwd: prefix, env })
  assert.match(tested.stdout, /pass 2/)

  const home = makeHome(t)
  const file = home.config('coordinator-1', {
    port: await freePort(),
    bind_address: '127.0.0.1',
    coordinator_mode: true,
  })
  const node = startNode(t, file, { command })
  await node.ready()
  const login = await p2p(['login'], { cwd: home.directory, command })
  assert.equal(login.code, 0, login.stderr)
  const call = await p2p(['call', 'system/get_system_info', '--output', 'json'], { cwd: home.directory, command })
  assert.equal(JSON.parse(call.stdout).node_id, 'coordinator-1', call.stderr)
  assert.equal(await node.stop(), 0)
})
