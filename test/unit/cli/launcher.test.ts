import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { VERSION } from '../../../src/base/version.ts'

const bin = resolve(import.meta.dirname, '../../../bin')

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  output: string
  talk: string
}

/** The command in a clone without a build: the sources, by way of a child process. */
function p2p(
  t: TestContext,
  argv: string[],
  launcher = join(bin, 'p2p.cjs'),
): { child: ChildProcess; ended: Promise<Ended> } {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-launcher-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const environment = { PATH: process.env.PATH, HOME: folder }
  const child = spawn(process.execPath, [launcher, ...argv], { cwd: folder, env: environment })
  const said = { output: '', talk: '' }
  child.stdout.on('data', (chunk: Buffer) => (said.output += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said.talk += chunk.toString()))
  const ended = new Promise<Ended>((settle) => child.once('close', (code, signal) => settle({ code, signal, ...said })))
  return { child, ended }
}

/** The launcher beside whatever `dist/p2p.js` the test writes, or beside nothing. */
function packed(t: TestContext, bundle?: string): string {
  const root = mkdtempSync(join(tmpdir(), 'p2p-packed-'))
  t.after(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'bin'))
  cpSync(join(bin, 'p2p.cjs'), join(root, 'bin/p2p.cjs'))
  if (bundle !== undefined) {
    mkdirSync(join(root, 'dist'))
    writeFileSync(join(root, 'package.json'), '{"type":"module"}')
    writeFileSync(join(root, 'dist/p2p.js'), bundle)
  }
  return join(root, 'bin/p2p.cjs')
}

/** The sources without a build, as a fresh clone has them. */
function clone(t: TestContext): string {
  const root = mkdtempSync(join(tmpdir(), 'p2p-clone-'))
  t.after(() => rmSync(root, { recursive: true }))
  mkdirSync(join(root, 'bin'))
  cpSync(join(bin, 'p2p.cjs'), join(root, 'bin/p2p.cjs'))
  const entry = JSON.stringify(resolve(bin, 'p2p.ts'))
  writeFileSync(join(root, 'bin/p2p.ts'), `await import(${entry})\n`)
  return join(root, 'bin/p2p.cjs')
}

test('in a clone the command runs from its sources and passes the exit code on', async (t) => {
  const launcher = clone(t)
  const version = await p2p(t, ['--version'], launcher).ended
  assert.deepEqual(version, { code: 0, signal: null, output: `${VERSION}\n`, talk: '' })
  const wrong = await p2p(t, ['--cofnig', 'x'], launcher).ended
  assert.equal(wrong.code, 2)
  assert.match(wrong.talk, /Did you mean --config\?/)
})

test('a signal to the launcher reaches the command, and both end by it', {
  skip: process.platform === 'win32',
}, async (t) => {
  const server = createServer()
  const connected = new Promise<void>((settle) =>
    server.once('connection', (socket) => settle(void socket.on('error', () => {}))),
  )
  await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle))
  t.after(() => server.close())
  const { port } = server.address() as AddressInfo
  const credentials = mkdtempSync(join(tmpdir(), 'p2p-credential-'))
  t.after(() => rmSync(credentials, { recursive: true }))
  const file = join(credentials, 'operator.json')
  writeFileSync(
    file,
    JSON.stringify({ url: `https://127.0.0.1:${port}`, cluster: 'c', ca_certificate: '', credential: 'x' }),
  )
  // It waits for an answer that never comes.
  const { child, ended } = p2p(t, ['login', '--credential-file', file], clone(t))
  await connected
  child.kill('SIGTERM')
  assert.equal((await ended).signal, 'SIGTERM')
})

test('a package runs its bundle in the same process', async (t) => {
  const launcher = packed(t, 'console.log(process.pid, process.argv.slice(2).join()); process.exitCode = 75')
  const { child, ended } = p2p(t, ['a', 'b'], launcher)
  assert.deepEqual(await ended, { code: 75, signal: null, output: `${child.pid} a,b\n`, talk: '' })
})

test('a bundle that cannot be loaded and one that is missing are said, exit code 1', async (t) => {
  const broken = await p2p(t, [], packed(t, 'throw new Error("broken bundle")')).ended
  assert.equal(broken.code, 1)
  assert.match(broken.talk, /broken bundle/)
  const missing = await p2p(t, [], packed(t)).ended
  assert.equal(missing.code, 1)
  assert.match(missing.talk, /p2p is not complete: .*p2p\.js is missing/)
})

test('an old Node.js is told which one is needed', async (t) => {
  const launcher = packed(t, '')
  const pretend = join(launcher, '../old.cjs')
  const version = "Object.defineProperty(process, 'versions', { value: { node: '18.20.0' } })"
  writeFileSync(pretend, `${version}\nrequire('./p2p.cjs')\n`)
  const { code, talk } = await p2p(t, [], pretend).ended
  assert.equal(code, 1)
  assert.match(talk, /^p2p needs Node\.js 24 or later; this is 18\.20\.0\./)
})

test('shells complete commands, options and choices', async (t) => {
  const launcher = clone(t)
  const script = await p2p(t, ['completions', 'bash'], launcher).ended
  assert.equal(script.code, 0)
  assert.match(script.output, /bash completion for p2p/)
  assert.match((await p2p(t, ['complete', '--', 'nodes', ''], launcher).ended).output, /^approve\t/m)
  assert.match((await p2p(t, ['complete', '--', 'nodes', '--output', ''], launcher).ended).output, /^yaml/m)
  assert.equal((await p2p(t, ['completions', 'tcsh'], launcher).ended).code, 2)
})
