import assert from 'node:assert/strict'
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { systemTools } from '../../src/service/host/system-tools.ts'
import { eventually } from './support/node-process.ts'
import { isAlive, type ServiceNode, startServices } from './support/service-node.ts'

const isPosix = process.platform !== 'win32'
const sandbox = (await systemTools()).bwrap

const WEB_SERVER = `
const http = require('node:http')
const [port, greeting] = process.argv.slice(2)
if (process.env.FAIL) process.exit(9)
let isWell = true
http.createServer((request, response) => {
  if (request.url === '/sicken') isWell = false
  response.statusCode = request.url === '/health' && !isWell ? 500 : 200
  response.end(greeting + ' ' + process.env.SECRET + ' ' + process.pid)
}).listen(Number(port))
process.on('SIGTERM', () => { console.log('goodbye'); process.exit(0) })
console.log('listening')
`

/** `node` is found in PATH by its own path only where the tests are run by another one. */
function manifest(value: object): string {
  return JSON.stringify(value)
}

function webManifest(changes: object = {}): string {
  return manifest({
    exec: {
      command: process.execPath,
      args: ['server.cjs', '{port}', 'Hello {config:name}'],
      env: { SECRET: '{secret:key}' },
    },
    ports: { web: 0 },
    permissions: { net: true, childProcess: true },
    ...changes,
  })
}

function portOf(node: ServiceNode, name: string): number {
  return node.instances(name)[0]?.ports?.['web'] as number
}

function ask(port: number, path = '/'): Promise<string> {
  return new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, path, agent: false }, (answer) => resolve(text(answer))).once('error', reject)
  })
}

describe('a program that is no service of Node', { skip: !isPosix }, () => {
  test('runs, is reached at its port, writes to the log, and ends in order', async (t) => {
    const node = await startServices(t, { 'web/server.cjs': WEB_SERVER, 'web/manifest.json': webManifest() })
    await node.manager.settled()
    const { host } = node.manager
    const spec = node.spec('web', { name: 'web', config: { name: 'Ada' }, secrets: { key: 'hunter2' } })
    await host.deploy(spec)
    assert.match(await ask(portOf(node, 'web')), /^Hello Ada hunter2 \d+$/)
    assert.deepEqual(
      [node.manager.get('web')?.status, node.manager.get('web')?.methods, host.states()[0]?.kind],
      ['running', [], 'exec'],
    )
    const [facts] = node.instances('web')
    if (process.platform === 'linux') {
      assert.equal(readFileSync(`/proc/${facts?.pid}/cmdline`, 'utf8').includes('hunter2'), false)
    }
    const before = portOf(node, 'web')
    await host.restart('web')
    assert.notEqual(portOf(node, 'web'), before)
    await host.stop('web')
    assert.equal(isAlive(facts?.pid as number), false)
    const own = node.log.filter(({ logger }) => logger === 'Service.web').map(({ message }) => message)
    assert.deepEqual(own.filter((message) => message === 'goodbye' || message === 'listening').sort(), [
      'goodbye',
      'goodbye',
      'listening',
      'listening',
    ])
  })

  test('is found wherever it lies, also where the services see nothing else', async (t) => {
    const elsewhere = mkdtempSync(join(tmpdir(), 'p2p-tools-'))
    t.after(() => rmSync(elsewhere, { recursive: true, force: true }))
    symlinkSync(process.execPath, join(elsewhere, 'linked'))
    copyFileSync('/bin/sh', join(elsewhere, 'copied'))
    const runs = (command: string, ...args: string[]): string =>
      manifest({ exec: { command: join(elsewhere, command), args } })
    const say = (message: string): string => `console.log('${message}'); setInterval(() => {}, 60_000)`
    const node = await startServices(t, {
      'linked/manifest.json': runs('linked', '-e', say('from a link')),
      'copied/manifest.json': runs('copied', '-c', 'echo from a copy; exec sleep 60'),
    })
    await node.manager.settled()
    const said = (): string[] =>
      node.log.map(({ message }) => message).filter((message) => message.startsWith('from a'))
    await node.until(() => said().length === 2)
    assert.deepEqual(said().sort(), ['from a copy', 'from a link'])
  })

  test('is healthy while its check says so, and started again when it does not', async (t) => {
    const node = await startServices(t, {
      'web/server.cjs': WEB_SERVER,
      'web/manifest.json': webManifest({
        exec: { command: process.execPath, args: ['server.cjs', '{port}', 'Hello'] },
        health: { kind: 'http', path: '/health', intervalMs: 20, timeoutMs: 10_000, failures: 2, restartAfter: 4 },
        restart: { backoffMs: 10 },
      }),
    })
    await node.manager.settled()
    assert.equal(node.manager.get('web')?.status, 'running')
    await ask(portOf(node, 'web'), '/sicken')
    await node.until(() => node.instances('web')[0]?.health === 'failing')
    assert.match(node.instances('web')[0]?.reason ?? '', /GET \/health answered 500/)
    await node.until(() => node.instances('web')[0]?.restarts === 1 && node.manager.get('web')?.status === 'running')
    assert.match(await ask(portOf(node, 'web'), '/health'), /^Hello/)
  })

  test('may be a shell script that is checked by a script, and is killed with all it started', async (t) => {
    const node = await startServices(t, {
      'job/run.sh': `trap '' TERM\necho ready > "$1/ready"\nsleep 54321 & sleep 54321 & wait`,
      'job/check.sh': `test -s "$1"/ready`,
      'job/manifest.json': manifest({
        exec: { command: 'sh', args: ['run.sh', '{data}'] },
        stopTimeoutMs: 200,
      }),
    })
    node.write({
      'job/manifest.json': manifest({
        exec: { command: 'sh', args: ['run.sh', '{data}'] },
        health: {
          kind: 'script',
          command: 'sh',
          args: ['check.sh', join(node.state, 'services/job/data')],
          intervalMs: 20,
        },
        stopTimeoutMs: 200,
      }),
    })
    await node.manager.host.restart('job')
    assert.equal(node.instances('job')[0]?.state, 'running')
    assert.equal(existsSync(join(node.state, 'services/job/data/ready')), true)
    const { pid } = node.instances('job')[0] ?? {}
    await node.manager.host.stop('job')
    assert.equal(isAlive(pid as number), false)
    await eventually(
      async () => isAlive(-(pid as number)),
      (isThere) => !isThere,
    )
  })

  test('that did its work is left alone, one that failed is started again', async (t) => {
    const once = { restart: { policy: 'on-failure', backoffMs: 10, attempts: 2 } }
    const node = await startServices(t, {
      'good/manifest.json': manifest({ exec: { command: 'true' }, ...once }),
      'bad/manifest.json': manifest({ exec: { command: 'sh', args: ['-c', 'echo why >&2; exit 4'] }, ...once }),
      'none/manifest.json': manifest({ exec: { command: './not-there' } }),
    })
    await node.until(() => node.instances('good')[0]?.state === 'stopped')
    assert.equal(node.instances('good')[0]?.reason, 'it ended with exit code 0')
    await node.until(() => node.instances('bad')[0]?.state === 'failed')
    assert.match(node.instances('bad')[0]?.reason ?? '', /ended 2 times.*it ended with exit code 4: why/)
    await node.until(() => node.instances('none')[0]?.state === 'failed')
    assert.match(node.instances('none')[0]?.reason ?? '', /exec\.command: there is no program \.\/not-there/)
  })

  test('with a port of its own gives it to its successor, and gets it back when that fails', async (t) => {
    const node = await startServices(t, { 'web/server.cjs': WEB_SERVER, 'web/manifest.json': webManifest() })
    await node.manager.settled()
    const { host } = node.manager
    const make = (changes: object) => {
      node.write({ 'web/manifest.json': webManifest(changes) })
      return node.spec('web', { name: 'web', config: { name: 'Ada' }, secrets: { key: 'k' } })
    }
    await host.deploy(make({}))
    const port = portOf(node, 'web')
    const fixed = { ports: { web: port } }
    // The port is free again once the one who had it by chance has ended.
    await host.stop('web')
    await host.deploy(make(fixed))
    await host.start('web')
    assert.equal(portOf(node, 'web'), port)
    await host.deploy(make({ ...fixed, exec: { command: process.execPath, args: ['server.cjs', '{port}', 'Bye'] } }))
    assert.match(await ask(port), /^Bye/)
    const broken = { exec: { command: process.execPath, args: ['server.cjs', '{port}', 'x'], env: { FAIL: '1' } } }
    await assert.rejects(host.deploy(make({ ...fixed, ...broken })), { code: 'P2P_SERVICE_START_FAILED' })
    await node.until(() => node.instances('web')[0]?.state === 'running')
    assert.match(await ask(port), /^Bye/)
  })
})

describe('a program in a sandbox', { skip: sandbox === undefined }, () => {
  test('sees neither what the node keeps nor what others keep, and writes to its own folder only', async (t) => {
    const node = await startServices(t, {
      'spy/run.sh': `ls "$1" /root /home 2>&1 | tr '\\n' ' '; touch "$1/stolen" ./here 2>/dev/null && echo WROTE
        touch "$2/kept"; cat /proc/1/comm; grep -c : /proc/net/dev | sed 's/^/interfaces /'; sleep 60`,
      'spy/manifest.json': manifest({ exec: { command: 'sh', args: ['run.sh', 'STATE', '{data}'] } }),
    })
    await node.manager.settled()
    node.write({ 'spy/manifest.json': manifest({ exec: { command: 'sh', args: ['run.sh', node.state, '{data}'] } }) })
    await node.manager.host.restart('spy')
    await node.until(() => node.log.some(({ message }) => message === 'interfaces 1'))
    const lines = node.log.filter(({ logger }) => logger === 'Service.spy').map(({ message }) => message)
    assert.equal(lines.includes('WROTE'), false)
    assert.ok(
      lines.some((line) => line.includes('bwrap')),
      lines.join('|'),
    )
    assert.equal(existsSync(join(node.state, 'services/spy/data/kept')), true)
    assert.equal(existsSync(join(node.state, 'stolen')), false)
  })
})
