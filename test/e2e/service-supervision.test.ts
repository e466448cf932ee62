import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { InstanceFacts } from '../../src/service/index.ts'
import { eventually } from './support/node-process.ts'
import { isAlive, service, type ServiceNode, startServices } from './support/service-node.ts'

const PUBLIC = `description: 'x', public: true`
/** Every process has another `me`; its id is no help, for in a sandbox it is always the same. */
const WHO = `who: method({ ${PUBLIC}, handler: () => (globalThis.me ??= crypto.randomUUID()) })`
/** Quick to notice, quick to come back, quick to give up. */
const QUICK = { restart: { backoffMs: 10, backoffMsMax: 20, attempts: 3 } }

function manifest(value: object): string {
  return JSON.stringify(value)
}

function first(node: ServiceNode, name: string): InstanceFacts {
  return node.instances(name)[0] as InstanceFacts
}

describe('an instance that ends', () => {
  test('is started again at once, and calls go on', async (t) => {
    const node = await startServices(t, {
      'shop/main.js': service('shop', `${WHO}, die: method({ ${PUBLIC}, handler: () => process.exit(3) })`),
    })
    await node.manager.settled()
    const before = await node.call('shop/who')
    await assert.rejects(node.call('shop/die'), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
    await node.until(() => first(node, 'shop').state === 'backoff')
    assert.equal(first(node, 'shop').reason, 'it ended with exit code 3')
    assert.equal(node.manager.get('shop')?.status, 'error')
    await assert.rejects(node.call('shop/who'), { code: 'P2P_RPC_NO_INSTANCE', message: /exit code 3/ })
    await node.until(() => first(node, 'shop').state === 'running')
    assert.notEqual(await node.call('shop/who'), before)
    assert.deepEqual([first(node, 'shop').restarts, first(node, 'shop').id], [1, 'shop#1'])
  })

  test('because of something thrown in a timer: only that process dies, and says where', async (t) => {
    const node = await startServices(t, {
      'bomb/main.ts': service(
        'bomb',
        `${WHO}, light: method({ ${PUBLIC}, handler: (): void => {
          setTimeout(() => { throw new Error('boom') }, 1) } }),
        forget: method({ ${PUBLIC}, handler: () => { void Promise.reject(new Error('nobody looks')) } })`,
      ),
      'other/main.js': service('other', WHO),
    })
    await node.manager.settled()
    const other = await node.call('other/who')
    await node.call('bomb/light')
    await node.until(() => first(node, 'bomb').state === 'backoff')
    assert.match(first(node, 'bomb').reason ?? '', /boom \(main\.ts:5:\d+\)/)
    await node.until(() => first(node, 'bomb').state === 'running')
    await node.call('bomb/forget').catch(() => {})
    await node.until(() => first(node, 'bomb').reason?.startsWith('nobody looks') ?? false)
    assert.equal(await node.call('other/who'), other)
  })

  test('again and again is given up, with its reason, and started by hand', async (t) => {
    const node = await startServices(t, {
      'brief/main.js': `process.exit(7)`,
      'brief/manifest.json': manifest(QUICK),
    })
    await node.until(() => first(node, 'brief')?.state === 'failed')
    assert.match(first(node, 'brief').reason ?? '', /ended 3 times within 300 s.*exit code 7/)
    assert.equal(node.manager.records()[0]?.health, 'failing')
    node.write({ 'brief/main.js': service('brief', WHO) })
    await node.manager.host.restart('brief')
    assert.equal(typeof (await node.call('brief/who')), 'string')
  })

  test('while it starts is tried again, when it was not its code', async (t) => {
    const node = await startServices(t, {
      'late/main.js': service(
        'late',
        WHO,
        `initialize(service) {
          const fs = process.getBuiltinModule('node:fs')
          const file = service.dataDirectory + '/tries'
          const tries = fs.existsSync(file) ? Number(fs.readFileSync(file, 'utf8')) : 0
          fs.writeFileSync(file, String(tries + 1))
          if (tries < 2) throw new Error('the database is not there yet')
        }`,
      ),
      'late/manifest.json': manifest({ restart: { backoffMs: 10 } }),
    })
    await node.manager.settled()
    assert.match(node.manager.get('late')?.failure ?? '', /the database is not there yet \(main\.js/)
    await node.until(() => first(node, 'late').state === 'running')
    assert.equal(first(node, 'late').restarts, 2)
  })
})

describe('an instance that is no use', () => {
  test('because it loops for ever is noticed and started again', async (t) => {
    const node = await startServices(t, {
      'loop/main.js': service('loop', `${WHO}, spin: method({ ${PUBLIC}, handler: () => { for (;;) ; } })`),
      'loop/manifest.json': manifest({
        ...QUICK,
        health: { kind: 'heartbeat', intervalMs: 20, timeoutMs: 200, failures: 2, restartAfter: 10 },
      }),
    })
    await node.manager.settled()
    const { pid } = first(node, 'loop')
    await assert.rejects(node.call('loop/spin'), { code: 'P2P_TRANSPORT_CHANNEL_CLOSED' })
    await node.until(() => first(node, 'loop').restarts >= 1 && first(node, 'loop').state === 'running')
    assert.ok(node.log.some(({ fields }) => /health check \(heartbeat\) failed/.test(String(fields['reason']))))
    assert.equal(isAlive(pid as number), false)
  })

  test('because it leaks memory ends, and says so', async (t) => {
    const node = await startServices(t, {
      'leak/main.js': service(
        'leak',
        `eat: method({ ${PUBLIC}, handler: () => { const kept = []; for (;;) kept.push({ text: 'x'.repeat(10) + kept.length }) } })`,
      ),
      'leak/manifest.json': manifest({ ...QUICK, limits: { memoryMb: 160 } }),
    })
    await node.manager.settled()
    await assert.rejects(node.call('leak/eat'))
    await node.until(() => first(node, 'leak').state === 'backoff')
    // By its own engine, or by the node's look at it: whichever is first.
    const { reason = '' } = first(node, 'leak')
    assert.match(reason, /^it (ran out of memory:|uses [\d.]+ MiB;) limits\.memoryMb in manifest\.json is 160$/)
  })

  test('because it starts more programs than it may ends with them, and says so', {
    skip: process.platform !== 'linux',
  }, async (t) => {
    const node = await startServices(t, {
      'bomb/run.sh': 'for i in 1 2 3 4 5 6 7 8 9; do sleep 65432 & done; wait',
      'bomb/manifest.json': manifest({
        exec: { command: 'sh', args: ['run.sh'] },
        limits: { processes: 6 },
        restart: { policy: 'never' },
        stopTimeoutMs: 200,
      }),
    })
    await node.until(() => node.instances('bomb')[0]?.state === 'failed')
    const { reason = '' } = node.instances('bomb')[0] ?? {}
    assert.match(reason, /^it has \d+ processes; limits\.processes in manifest\.json is 6$/)
    assert.deepEqual(sleepers(65_432), [])
  })

  test('because its method says it is ill is avoided, then started again', async (t) => {
    const node = await startServices(t, {
      'moody/main.js': service(
        'moody',
        `${WHO}, check: method({ description: 'x', handler: () => { if (globalThis.isIll) throw new ServiceError('ILL', 'I am ill') } }),
        infect: method({ ${PUBLIC}, handler: () => { globalThis.isIll = true; return (globalThis.me ??= crypto.randomUUID()) } })`,
      ),
      'moody/manifest.json': manifest({
        instances: 2,
        health: { kind: 'method', method: 'check', intervalMs: 20, timeoutMs: 10_000, failures: 2, restartAfter: 10 },
      }),
    })
    await node.manager.settled()
    const ill = await node.call('moody/infect')
    const isWell = (facts: InstanceFacts): boolean => facts.health === 'healthy' && facts.state === 'running'
    await node.until(() => node.instances('moody').filter(isWell).length === 1)
    assert.ok(node.instances('moody').some(({ reason }) => reason?.includes('I am ill')))
    assert.notEqual(await node.call('moody/who'), ill)
    await node.until(() => node.instances('moody').filter(isWell).length === 2)
    assert.equal(
      node.instances('moody').reduce((sum, { restarts }) => sum + restarts, 0),
      1,
    )
  })

  test('because it never becomes ready is ended, with the reason', async (t) => {
    const impatient = manifest({ ...QUICK, startTimeoutMs: 200 })
    const node = await startServices(t, {
      'never/main.js': service('never', WHO, `initialize: () => new Promise(() => {})`),
      'never/manifest.json': impatient,
      'wait/main.js': 'await new Promise(() => {})',
      'wait/manifest.json': impatient,
    })
    await node.until(() => ['never', 'wait'].every((name) => first(node, name)?.state === 'failed'))
    assert.match(first(node, 'never').reason ?? '', /initialize did not finish within 200 ms/)
    assert.match(first(node, 'wait').reason ?? '', /loading did not finish within 200 ms/)
  })

  test('because its code loops before it begins is killed', async (t) => {
    const tree = { 'hang/main.js': 'for (;;) ;', 'hang/manifest.json': manifest({ ...QUICK, startTimeoutMs: 50 }) }
    const node = await startServices(t, tree, { processStartMs: 100 })
    await node.until(() => first(node, 'hang')?.state === 'failed')
    assert.match(first(node, 'hang').reason ?? '', /ended 3 times.*it was not ready within 200 ms/)
  })
})

describe('a service that misbehaves', () => {
  test('by flooding its log is cut short and counted, and still answers', async (t) => {
    const node = await startServices(t, {
      'noisy/main.js': service(
        'noisy',
        `flood: method({ ${PUBLIC}, handler: () => { for (let i = 0; i < 50_000; i++) console.log('line ' + i); return 'done' } }),
        log: method({ ${PUBLIC}, handler: (_, { service }) => { for (let i = 0; i < 20_000; i++) service.logger.info('line ' + i); return 'done' } }),
        odd: method({ ${PUBLIC}, handler: () => { console.log('y'.repeat(1_048_576)); console.log('\\u001b[31mred\\u0000'); console.error(JSON.stringify({ level: 50, msg: 'kept', code: 7 })); return 1 } })`,
      ),
    })
    await node.manager.settled()
    assert.equal(await node.call('noisy/odd'), 1)
    await node.until(() => node.log.some(({ message }) => message === 'kept'))
    const isRed = ({ message }: { message: string }): boolean => message.includes('red')
    await node.until(() => node.log.some(isRed))
    const own = node.log.filter(({ logger }) => logger === 'Service.noisy')
    const long = own.find(({ message }) => message.startsWith('yyy'))
    const red = own.find(isRed)
    const structured = own.find(({ message }) => message === 'kept')
    assert.ok((long?.message.length ?? 0) < 20_000)
    assert.equal(red?.message, '\\u001b[31mred\\u0000')
    assert.deepEqual([structured?.level, structured?.fields], ['ERROR', { code: 7 }])
    assert.equal(await node.call('noisy/flood', {}, 60_000), 'done')
    assert.equal(await node.call('noisy/log', {}, 60_000), 'done')
    const kept = (): number => node.log.filter(({ message }) => /^line \d+$/.test(message)).length
    const reports = () => node.log.filter(({ message }) => /too many lines/.test(message))
    const counted = (): number => reports().reduce((sum, { fields }) => sum + Number(fields['lines']), 0)
    await node.until(() => counted() > 0 && kept() + counted() === 70_000)
    assert.equal(first(node, 'noisy').restarts, 0)
  })

  test('by not ending when it is told to is killed after its time', async (t) => {
    const node = await startServices(t, {
      'stubborn/main.js': service('stubborn', WHO, `cleanup: () => { for (;;) ; }`),
      'stubborn/manifest.json': manifest({ stopTimeoutMs: 200 }),
    })
    await node.manager.settled()
    const { pid } = first(node, 'stubborn')
    await node.manager.host.stop('stubborn')
    assert.equal(first(node, 'stubborn').state, 'stopped')
    assert.equal(isAlive(pid as number), false)
  })

  test('by starting programs that leave its group takes them with it', {
    skip: process.platform !== 'linux',
  }, async (t) => {
    const node = await startServices(t, {
      'fork/main.js': service(
        'fork',
        `go: method({ ${PUBLIC}, handler: () => {
          const { spawn } = process.getBuiltinModule('node:child_process')
          spawn('sleep', ['98765'], { detached: true, stdio: 'ignore' }).unref()
          return 1
        } })`,
      ),
      'fork/manifest.json': manifest({ permissions: { childProcess: true } }),
    })
    await node.manager.settled()
    await node.call('fork/go')
    assert.equal(sleepers().length, 1)
    await node.manager.host.stop('fork')
    await eventually(
      async () => sleepers(),
      (left) => left.length === 0,
    )
  })
})

describe('what runs is replaced', () => {
  const versionOf = (version: string, delayMs = 0): string =>
    service(
      'shop',
      `version: method({ ${PUBLIC}, handler: async () => { await new Promise((go) => setTimeout(go, ${delayMs})); return '${version}' } })`,
    )

  test('without one failed call, while hundreds are under way', async (t) => {
    const node = await startServices(
      t,
      { 'v1/main.js': versionOf('1', 5), 'v2/main.js': versionOf('2', 5) },
      { servicesDirectory: undefined as never },
    )
    const { host } = node.manager
    await host.deploy(node.spec('v1', { name: 'shop', version: '1', instances: 2, generation: 1 }))
    const seen = new Set<unknown>()
    const done = new AbortController()
    let calls = 0
    const callers = Array.from({ length: 16 }, async () => {
      while (!done.signal.aborted) {
        seen.add(await node.call('shop/version'))
        calls++
      }
    })
    await host.deploy(node.spec('v2', { name: 'shop', version: '2', instances: 2, generation: 2 }))
    const before = calls
    await host.restart('shop')
    await host.deploy(node.spec('v2', { name: 'shop', version: '2', instances: 3, generation: 3 }))
    await host.deploy(node.spec('v2', { name: 'shop', version: '2', instances: 1, generation: 4 }))
    done.abort()
    await Promise.all(callers)
    assert.deepEqual([...seen].sort(), ['1', '2'])
    assert.ok(calls > before && before > 0)
    const [state] = host.states()
    assert.deepEqual(
      state?.instances.map(({ generation, restarts }) => [generation, restarts]),
      [[4, 0]],
    )
  })

  test('only by what becomes ready: else the old runs on untouched', async (t) => {
    const node = await startServices(
      t,
      {
        'v1/main.js': versionOf('1'),
        'broken/main.js': service('shop', WHO, `initialize() { throw new Error('no disk') }`),
        'slow/main.js': service('shop', WHO, `initialize: () => new Promise(() => {})`),
        'none/main.js': 'export const nothing = 1',
        'other/main.js': service('another', WHO),
      },
      { servicesDirectory: undefined as never },
    )
    const { host } = node.manager
    await host.deploy(node.spec('v1', { name: 'shop', version: '1' }))
    const { pid } = first(node, 'shop')
    const failed = { code: 'P2P_SERVICE_START_FAILED' }
    await assert.rejects(host.deploy(node.spec('broken', { name: 'shop', version: '2' })), {
      ...failed,
      message: /no disk/,
    })
    await assert.rejects(host.deploy(node.spec('slow', { name: 'shop', version: '3' }), { readyTimeoutMs: 300 }), {
      ...failed,
      message: /not ready within 300 ms/,
    })
    await assert.rejects(host.deploy(node.spec('none', { name: 'shop', version: '4' })), {
      ...failed,
      message: /neither a class Run/,
    })
    await assert.rejects(host.deploy(node.spec('other', { name: 'shop', version: '5' })), {
      ...failed,
      message: /names the service another, and not shop/,
    })
    assert.equal(await node.call('shop/version'), '1')
    assert.deepEqual(
      node.instances('shop').map((facts) => [facts.pid, facts.version]),
      [[pid, '1.0.0']],
    )
  })

  test('by a deployment in place of a folder, which comes back afterwards', async (t) => {
    const node = await startServices(t, {
      'shop/main.js': versionOf('folder'),
      '../apart/main.js': versionOf('deployed'),
    })
    await node.manager.settled()
    const { host } = node.manager
    assert.equal(await node.call('shop/version'), 'folder')
    await host.deploy(node.spec('../apart', { name: 'shop', generation: 1 }))
    assert.equal(await node.call('shop/version'), 'deployed')
    assert.deepEqual(
      host.states().map(({ name, origin }) => [name, origin]),
      [['shop', 'deployed']],
    )
    await host.remove('shop')
    assert.equal(await node.call('shop/version'), 'folder')
    assert.deepEqual(
      host.states().map(({ name, origin }) => [name, origin]),
      [['shop', 'folder']],
    )
  })

  test('only by what was granted what it asks for', async (t) => {
    const node = await startServices(t, {
      '../shop/main.js': versionOf('1'),
      '../shop/manifest.json': manifest({ permissions: { net: true, read: ['/etc/x'] } }),
    })
    const spec = node.spec('../shop', {
      name: 'shop',
      permissions: { net: false, childProcess: false, read: ['/etc'], write: [] },
    })
    await assert.rejects(node.manager.host.deploy(spec), {
      code: 'P2P_SERVICE_PERMISSION_DENIED',
      message: /not granted: net\. Grant it/,
    })
    assert.deepEqual(node.manager.host.states(), [])
  })
})

describe('a person', () => {
  test('stops a service, which stays so, and starts it again', async (t) => {
    const stopped: string[] = []
    const tree = { 'shop/main.js': service('shop', WHO) }
    const node = await startServices(t, tree, { stopped })
    await node.manager.settled()
    const { host } = node.manager
    await host.stop('shop')
    await host.stop('shop')
    assert.deepEqual([host.states()[0]?.isStopped, stopped], [true, ['shop']])
    assert.equal(node.manager.get('shop')?.status, 'stopped')
    await assert.rejects(node.call('shop/who'), { code: 'P2P_RPC_NO_INSTANCE' })
    const again = await startServices(t, tree, { stopped })
    await again.manager.settled()
    assert.equal(again.manager.get('shop')?.status, 'stopped')
    await again.manager.host.start('shop')
    assert.equal(typeof (await again.call('shop/who')), 'string')
    assert.deepEqual(stopped, [])
    await assert.rejects(host.stop('nobody'), { code: 'P2P_SERVICE_NOT_FOUND' })
  })

  test('adds a folder and takes one away while the node runs', async (t) => {
    const node = await startServices(t, { 'one/main.js': service('one', WHO) })
    await node.manager.settled()
    node.write({ 'two/main.js': service('two', WHO) })
    await node.manager.host.restart('two')
    assert.equal(typeof (await node.call('two/who')), 'string')
    node.write({ 'three/main.js': service('three', WHO) })
    await node.manager.rescan()
    assert.deepEqual(
      node.manager.list().map(({ name, status }) => [name, status]),
      [
        ['one', 'running'],
        ['three', 'running'],
        ['two', 'running'],
      ],
    )
  })

  test('deploys a service whose folder is just being let go of', async (t) => {
    const ending = Promise.withResolvers<void>()
    Object.assign(globalThis, { ending: ending.promise, begunToEnd: Promise.withResolvers<void>() })
    const { begunToEnd } = globalThis as unknown as { begunToEnd: PromiseWithResolvers<void> }
    const cleanup = `async cleanup() { globalThis.begunToEnd.resolve(); await globalThis.ending },`
    const node = await startServices(t, {
      'shop/main.js': service('shop', `which: method({ ${PUBLIC}, handler: () => 'folder' })`, cleanup),
      'shop/manifest.json': '{ "kind": "inline" }',
      '../bundle/main.js': service('shop', `which: method({ ${PUBLIC}, handler: () => 'deployed' })`),
    })
    await node.manager.settled()
    rmSync(join(node.directory, 'shop'), { recursive: true })
    const rescanned = node.manager.rescan()
    await begunToEnd.promise
    const deployed = node.manager.host.deploy(node.spec('../bundle', { name: 'shop', kind: 'inline' }))
    ending.resolve()
    await Promise.all([rescanned, deployed])
    assert.equal(await node.call('shop/which'), 'deployed')
  })

  test('gives two folders one name: the first by folder has it, whichever was quicker', async (t) => {
    const slow = `await new Promise((go) => setTimeout(go, 300));`
    const node = await startServices(t, {
      'aa/main.js': slow + service('same', `${WHO}, which: method({ ${PUBLIC}, handler: () => 'aa' })`),
      'zz/main.js': service('same', `${WHO}, which: method({ ${PUBLIC}, handler: () => 'zz' })`),
    })
    await node.manager.settled()
    assert.equal(await node.call('same/which'), 'aa')
    assert.deepEqual(
      node.manager.list().map(({ name, status }) => [name, status]),
      [
        ['same', 'running'],
        ['same@zz', 'error'],
      ],
    )
    assert.match(node.manager.get('same@zz')?.failure ?? '', /taken by the service in folder aa/)
  })
})

test('a service in a thread lives and dies apart from its node', async (t) => {
  const node = await startServices(t, {
    'thread/main.ts': service(
      'thread',
      `where: method({ ${PUBLIC}, handler: async () => (await import('node:worker_threads')).isMainThread }),
      ask: method({ ${PUBLIC}, handler: (_, call) => call.service.proxy.thread.where() }),
      die: method({ ${PUBLIC}, handler: () => { setTimeout(() => { throw new Error('boom') }, 1) } }),
      spin: method({ ${PUBLIC}, handler: () => { for (;;) ; } })`,
      `initialize() { console.log('from a thread') }`,
    ),
    'thread/manifest.json': manifest({
      kind: 'thread',
      ...QUICK,
      health: { kind: 'heartbeat', intervalMs: 20, timeoutMs: 200, failures: 1, restartAfter: 5 },
    }),
  })
  await node.manager.settled()
  assert.equal(await node.call('thread/where'), false)
  assert.equal(await node.call('thread/ask'), false)
  assert.equal(first(node, 'thread').pid, undefined)
  await node.until(() =>
    node.log.some(({ message, logger }) => message === 'from a thread' && logger === 'Service.thread'),
  )
  await node.call('thread/die')
  await node.until(() => first(node, 'thread').restarts >= 1 && first(node, 'thread').state === 'running')
  await assert.rejects(node.call('thread/spin'))
  await node.until(() => first(node, 'thread').restarts >= 2 && first(node, 'thread').state === 'running')
  await node.manager.host.restart('thread')
  assert.equal(await node.call('thread/where'), false)
})

/** Processes `sleep 98765` on this machine. */
function sleepers(seconds = 98_765): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'utf8') === `sleep\0${seconds}\0`
    } catch {
      return false
    }
  })
}
