import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { LogEntry } from '../../src/base/log.ts'
import type { CallSpan } from '../../src/service/index.ts'
import { eventually } from './support/node-process.ts'
import { isAlive, service, startServices } from './support/service-node.ts'

const PUBLIC = `description: 'x', public: true`
const ECHO = `echo: method({ ${PUBLIC}, params: z.object({ text: z.string() }), handler: ({ text }) => ({ text, pid: process.pid }) })`

describe('a service in a process of its own', () => {
  test('is called like any other: schemas, failures, and what it says of itself', async (t) => {
    const node = await startServices(t, {
      'shop/main.ts': service(
        'shop',
        `${ECHO},
        refuse: method({ ${PUBLIC}, handler: () => { throw new ServiceError('SOLD_OUT', 'Nothing is left', { left: 0 }) } }),
        fail: method({ ${PUBLIC}, handler: () => { throw new Error('secret details') } }),
        forbid: method({ ${PUBLIC}, result: z.object({ count: z.number() }), handler: (): any => ({ count: 'many' }) }),
        hidden: method({ description: 'x', handler: () => 1 }),
        count: method({ ${PUBLIC}, handler: (_, call) => { call.service.metrics.increment('counted'); return {} } })`,
        `initialize(service) { service.logger.info('Open', { doors: 2 }); console.log('plain line') }`,
      ),
    })
    await node.manager.settled()
    const { pid, state, version } = node.instances('shop')[0] ?? {}
    assert.deepEqual([state, version], ['running', '1.0.0'])
    assert.notEqual(pid, process.pid)
    assert.equal(((await node.call('shop/echo', { text: 'ä' })) as { text: string }).text, 'ä')
    await assert.rejects(node.call('shop/echo', { text: 3 }), { code: 'P2P_RPC_INVALID_PARAMS', message: /text/ })
    await assert.rejects(node.call('shop/refuse'), {
      code: 'P2P_RPC_SERVICE_FAILED',
      details: { method: 'shop/refuse', reason: 'SOLD_OUT', left: 0 },
    })
    await assert.rejects(node.call('shop/fail'), (error: Error) => !error.message.includes('secret details'))
    await assert.rejects(node.call('shop/forbid'), { code: 'P2P_RPC_INVALID_RESULT', message: /count/ })
    await assert.rejects(node.call('shop/hidden'), { code: 'P2P_RPC_ACCESS_DENIED' })
    await assert.rejects(node.call('shop/nothing'), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
    const description = node.manager.get('shop')
    assert.deepEqual(description?.methods.find(({ name }) => name === 'echo')?.params?.required, ['text'])
    assert.deepEqual(node.manager.records()[0]?.methods.slice(0, 2), ['echo', 'refuse'])
    await node.until(() => node.log.some(({ message }) => message === 'Open'))
    await node.until(() => node.log.some(({ message }) => message === 'plain line'))
    const opened = node.log.find(({ message }) => message === 'Open')
    assert.deepEqual([opened?.logger, opened?.level, opened?.fields], ['Service.shop', 'INFO', { doors: 2 }])
    const failure = node.log.find(({ message }) => message === 'A method failed')
    assert.match(JSON.stringify(failure?.fields), /secret details.*main\.ts:\d+/)
    await node.call('shop/count')
    // Told with the next heartbeat, which is no event.
    const counted = async () => node.manager.serviceMetrics().get('shop')?.counters['counted']
    await eventually(counted, (count) => count === 1)
  })

  test('calls others through its node, as itself, with its deadline and trace', async (t) => {
    const node = await startServices(t, {
      'front/main.ts': service(
        'front',
        `ask: method({ ${PUBLIC}, handler: (_, call) => call.service.proxy.back.who({ from: 'front' }) }),
        early: method({ ${PUBLIC}, timeoutMs: 200, handler: (_, call) => call.service.proxy.back.never({}, { timeoutMs: 60_000 }) })`,
      ),
      'back/main.ts': service(
        'back',
        `who: method({ description: 'x', handler: (params, call) => ({ ...params, caller: call.caller, trace: call.traceId }) }),
        never: method({ description: 'x', handler: (_, call) => new Promise((_, reject) => {
          call.signal.addEventListener('abort', () => { call.service.logger.info('given up'); reject(call.signal.reason) })
        }) })`,
      ),
    })
    await node.manager.settled()
    assert.deepEqual(await node.call('front/ask'), {
      from: 'front',
      caller: { kind: 'node', nodeId: 'n1', role: 'worker', service: 'front' },
      trace: '0123456789abcdef0123456789abcdef',
    })
    await assert.rejects(node.call('front/early'), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
    await node.until(() => node.log.some(({ message }) => message === 'given up'))
  })

  test('spans of calls between processes hang together, and lines carry their trace', async (t) => {
    const spans: CallSpan[] = []
    const node = await startServices(
      t,
      {
        'front/main.ts': service(
          'front',
          `ask: method({ ${PUBLIC}, handler: async (_, call) => {
            call.service.logger.info('asked')
            return call.service.proxy.back.who()
          } })`,
        ),
        'back/main.ts': service('back', `who: method({ description: 'x', handler: (_, call) => call.spanId })`),
      },
      { spans: { wants: () => true, ended: (span) => void spans.push(span) } },
    )
    await node.manager.settled()
    const seenByBack = await node.call('front/ask')
    const [back, front] = spans
    assert.deepEqual([back?.method, front?.method], ['back/who', 'front/ask'])
    assert.equal(back?.spanId, seenByBack, 'the process knows its call by the id that is told of it')
    assert.equal(back?.parentSpanId, front?.spanId)
    assert.equal(front?.parentSpanId, undefined)
    assert.deepEqual([back?.error, front?.error], [undefined, undefined])
    const asked = (): LogEntry | undefined => node.log.find(({ message }) => message === 'asked')
    await node.until(() => asked() !== undefined)
    assert.equal(asked()?.fields['traceId'], front?.traceId)
  })

  test('streams, also to a caller who stops reading', async (t) => {
    const node = await startServices(t, {
      'tail/main.ts': service(
        'tail',
        `lines: method({ ${PUBLIC}, stream: true, handler: async function* (_, call) {
          try { for (let n = 0; n < 1_000; n++) yield { n } } finally { call.service.logger.info('closed') }
        } })`,
      ),
    })
    await node.manager.settled()
    const seen: unknown[] = []
    for await (const item of (await node.call('tail/lines')) as AsyncIterable<unknown>) {
      seen.push(item)
      if (seen.length === 3) break
    }
    assert.deepEqual(seen, [{ n: 0 }, { n: 1 }, { n: 2 }])
    await node.until(() => node.log.some(({ message }) => message === 'closed'))
  })

  test('gets its configuration and secrets over the link: neither is in arguments or environment', async (t) => {
    const node = await startServices(t, {
      'vault/main.ts': service(
        'vault',
        `tell: method({ ${PUBLIC}, handler: (_, { service }) => ({ config: service.config, key: service.secrets.key, env: process.env }) })`,
      ),
      'vault/manifest.json': '{"name":"vault","secrets":["key"],"config":{"color":"red"}}',
    })
    await node.manager.settled()
    assert.match(node.manager.get('vault')?.failure ?? '', /needs secrets it was not given: key/)
    process.env['P2P_PASSWORD'] = 'the password of the node'
    await node.manager.host.deploy(
      node.spec('vault', { name: 'vault', config: { color: 'blue' }, secrets: { key: 'hunter2' } }),
    )
    const told = (await node.call('vault/tell')) as { config: object; key: string; env: Record<string, string> }
    delete process.env['P2P_PASSWORD']
    assert.deepEqual([told.config, told.key], [{ color: 'blue' }, 'hunter2'])
    assert.equal(JSON.stringify(told.env).includes('hunter2'), false)
    assert.equal(told.env['P2P_PASSWORD'], undefined)
    const { pid } = node.instances('vault')[0] ?? {}
    if (process.platform === 'linux') {
      const seen = ['cmdline', 'environ'].map((file) => readFileSync(`/proc/${pid}/${file}`, 'utf8')).join()
      assert.equal(/hunter2|the password/.test(seen), false)
    }
  })

  test('may do what its manifest says and no more, and is told what is missing', async (t) => {
    const node = await startServices(t, {
      'nosy/main.ts': service(
        'nosy',
        `read: method({ ${PUBLIC}, handler: async () => (await import('node:fs')).readFileSync('/etc/hostname', 'utf8') }),
        write: method({ ${PUBLIC}, handler: async (_, { service }) => {
          const { writeFileSync } = await import('node:fs')
          writeFileSync(service.dataDirectory + '/kept', '1')
          try { writeFileSync('/tmp/p2p-nosy', '1') } catch (error: any) { return error.code }
          return 'wrote'
        } }),
        run: method({ ${PUBLIC}, handler: async () => { try { (await import('node:child_process')).execSync('true') } catch (error: any) { return error.code } } }),
        listen: method({ ${PUBLIC}, handler: async () => {
          const { createServer } = await import('node:net')
          try {
            return await new Promise((resolve) => createServer().listen(0, () => resolve('listens')))
          } catch (error: any) { return error.code }
        } })`,
      ),
    })
    await node.manager.settled()
    await assert.rejects(node.call('nosy/read'), { code: 'P2P_RPC_SERVICE_FAILED' })
    const failure = node.log.find(({ message }) => message === 'A method failed')
    assert.match(JSON.stringify(failure?.fields), /ERR_ACCESS_DENIED/)
    assert.equal(await node.call('nosy/write'), 'ERR_ACCESS_DENIED')
    assert.equal(existsSync('/tmp/p2p-nosy'), false)
    assert.equal(existsSync(join(node.state, 'services/nosy/data/kept')), true)
    assert.equal(await node.call('nosy/run'), 'ERR_ACCESS_DENIED')
    assert.equal(await node.call('nosy/listen'), 'ERR_ACCESS_DENIED')
    node.write({ 'nosy/manifest.json': '{"permissions":{"net":true,"read":["/etc/hostname"]}}' })
    await node.manager.host.restart('nosy')
    assert.equal(await node.call('nosy/listen'), 'listens')
    assert.equal(await node.call('nosy/read'), readFileSync('/etc/hostname', 'utf8'))
    assert.equal(await node.call('nosy/run'), 'ERR_ACCESS_DENIED')
  })

  test('is translated once, and starts from what was kept', async (t) => {
    const CLASS = `
      import { BaseService, serviceMethod } from 'p2p-core/service'
      import { add } from './lib/add.ts'
      enum Kind { One = 1 }
      export class Run extends BaseService {
        static SERVICE_NAME = 'typed'
        constructor(name: string, proxy?: any) { super(name, proxy); this.info.version = '2.0.0' }
        @serviceMethod({ description: 'x', public: true }) sum(): number { return add(Kind.One, 2) }
        @serviceMethod({ description: 'x', public: true }) fail(): void { throw new Error('here') }
      }`
    const node = await startServices(t, {
      'typed/main.ts': CLASS,
      'typed/lib/add.ts': 'export function add(a: number, b: number): number { return a + b }',
    })
    await node.manager.settled()
    assert.equal(await node.call('typed/sum'), 3)
    assert.equal(node.manager.get('typed')?.version, '2.0.0')
    await assert.rejects(node.call('typed/fail'))
    assert.match(
      JSON.stringify(node.log.findLast(({ message }) => message === 'A method failed')?.fields),
      /main\.ts:9/,
    )
    const kept = join(node.state, 'services/.translated')
    const files = readdirSync(kept).flatMap((name) => readdirSync(join(kept, name)))
    assert.equal(files.length, 2)
    node.write({ 'typed/lib/add.ts': 'export const add = (a: number, b: number): number => a * b' })
    await node.manager.host.restart('typed')
    assert.equal(await node.call('typed/sum'), 2)
    const after = readdirSync(kept).flatMap((name) => readdirSync(join(kept, name)))
    assert.equal(after.length, 2)
    assert.equal(after.filter((name) => files.includes(name)).length, 1)
  })

  test('leaves nothing behind when its node stops', async (t) => {
    const node = await startServices(t, {
      'shop/main.ts': service('shop', ECHO, `cleanup(service) { service.logger.info('closed') }`),
      'shop/manifest.json': '{"instances":3}',
    })
    await node.manager.settled()
    const pids = node.instances('shop').map(({ pid }) => pid as number)
    assert.equal(new Set(pids).size, 3)
    await node.manager.stop()
    assert.deepEqual(pids.filter(isAlive), [])
    assert.equal(node.log.filter(({ message }) => message === 'closed').length, 3)
    assert.deepEqual(JSON.parse(readFileSync(join(node.state, 'services/processes.json'), 'utf8')), [])
  })
})

describe('what cannot run in a process is listed with its reason:', () => {
  const reasonOf = async (t: Parameters<typeof startServices>[0], tree: Record<string, string>): Promise<string> => {
    const node = await startServices(t, tree)
    await node.manager.settled()
    assert.equal(node.manager.get('bad')?.status, 'error', JSON.stringify(node.manager.list()))
    return node.manager.get('bad')?.failure ?? ''
  }

  test('a module that throws, with file and line', async (t) => {
    const text = `// one\n\nconst x: number = 1\nthrow new Error('no database')\nexport class Run {}`
    assert.match(await reasonOf(t, { 'bad/main.ts': text }), /no database \(main\.ts:4:\d+\)/)
  })

  test('source that is no TypeScript or no JavaScript, with file and line', async (t) => {
    assert.match(await reasonOf(t, { 'bad/main.ts': 'const a = 1\nconst = 2' }), /\(main\.ts:2:\d+\)/)
    assert.match(await reasonOf(t, { 'bad/main.js': 'const a = 1\nconst = 2' }), /Unexpected token.*\(main\.js:2/)
  })

  test('an import that is not there, no Run, a wrong manifest', async (t) => {
    assert.match(await reasonOf(t, { 'bad/main.ts': `import 'no-such-package'` }), /no-such-package/)
    assert.match(await reasonOf(t, { 'bad/main.ts': 'export const run = 1' }), /neither a class Run/)
    const tree = { 'bad/main.ts': 'export {}', 'bad/manifest.json': '{"limits":{"memoryMB":1}}' }
    assert.match(await reasonOf(t, tree), /limits\.memoryMB: there is no such member; did you mean memoryMb\?/)
  })
})
