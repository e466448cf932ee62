import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import type { ServiceDescription } from '../../../src/service/index.ts'
import { defineService, method } from '../../../src/service/index.ts'
import { ManualClock } from './support/manual-clock.ts'
import { call, startNode, type TestNode, turn } from './support/node.ts'

/** Files by path below the services directory. */
type Tree = Record<string, string>

const CLASS = `
import { BaseService, serviceMethod, ServiceError, z } from 'p2p-core/service'

interface Greeting { result: string }

export class Run extends BaseService {
  static SERVICE_NAME = 'my_service'
  #greeted = 0

  constructor(serviceName: string, proxyClient?: any) {
    super(serviceName, proxyClient)
    this.info.version = '1.0.0'
    this.logger.info('constructed')
  }

  async initialize() {
    this.logger.info('Service initialized')
    this.metrics.gauge('started', 1)
  }

  @serviceMethod({ description: 'Example method', public: true, params: z.object({ param: z.string() }) })
  async my_method({ param }: { param: string }): Promise<Greeting> {
    this.#greeted++
    return { result: \`Hello \${param}\` }
  }

  @serviceMethod({ description: 'Counts', public: true })
  count() { return this.#greeted }

  @serviceMethod({ description: 'Fails for its caller', public: true })
  refuse() { throw new ServiceError('NOT_TODAY', 'Come back tomorrow', { day: 1 }) }

  @serviceMethod({ description: 'Calls what is not there', public: true })
  relay() { return this.proxy.nobody.home() }

  secret() { return 'never called from outside' }
}
`
const DEFINED = `
import { defineService, method } from 'p2p-core/service'
export default defineService({
  name: 'defined', version: '2.0.0', description: 'By a definition',
  methods: { echo: method({ description: 'Echoes', public: true, handler: (params) => params }) },
})
`

async function withServices(
  tree: Tree,
  use: (node: TestNode, directory: string) => Promise<void>,
  clock?: ManualClock,
): Promise<void> {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'p2p-services-')))
  const directory = join(root, 'services')
  mkdirSync(directory)
  for (const [path, text] of Object.entries(tree)) {
    mkdirSync(join(directory, path, '..'), { recursive: true })
    writeFileSync(join(directory, path), text)
  }
  const node = await startNode({ servicesDirectory: directory, ...(clock && { clock }) })
  try {
    await use(node, directory)
  } finally {
    await node.manager.stop()
    rmSync(root, { recursive: true })
  }
}

async function failureOf(tree: Tree, name: string): Promise<string> {
  let found: ServiceDescription | undefined
  await withServices({ ...tree, 'zz_good/main.js': DEFINED }, async (node) => {
    await node.manager.settled()
    found = node.manager.get(name)
    assert.equal(found?.status, 'error', JSON.stringify(node.manager.list()))
    assert.equal(node.manager.records().find((record) => record.name === name)?.health, 'failing')
    assert.deepEqual(await call(node, 'defined/echo', { alive: true }), { alive: true })
    await assert.rejects(call(node, `${name.split('@')[0]}/anything`))
  })
  return found?.failure as string
}

describe('a service class in main.ts', () => {
  test('runs with decorators, its own proxy, logger and metrics', () =>
    withServices({ 'my_service/main.ts': CLASS }, async (node) => {
      await node.manager.settled()
      assert.deepEqual(await call(node, 'my_service/my_method', { param: 'Ada' }), { result: 'Hello Ada' })
      assert.equal(await call(node, 'my_service/count'), 1)
      const description = node.manager.get('my_service')
      assert.equal(description?.status, 'running')
      assert.equal(description.version, '1.0.0')
      assert.deepEqual(
        description.methods.map(({ name }) => name),
        ['my_method', 'count', 'refuse', 'relay', 'ping', 'get_service_info'],
      )
      assert.deepEqual(node.manager.serviceMetrics().get('my_service')?.gauges, { started: 1 })
      assert.deepEqual(description.methods[0]?.params?.required, ['param'])
    }))

  test('exposes only what is marked', () =>
    withServices({ 'my_service/main.ts': CLASS }, async (node) => {
      await node.manager.settled()
      for (const name of ['secret', 'initialize', 'cleanup', 'constructor', 'reportHealth', 'proxy']) {
        await assert.rejects(call(node, `my_service/${name}`), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
      }
    }))

  test('tells its callers its own failures, and those of what it called as its own', () =>
    withServices({ 'my_service/main.ts': CLASS }, async (node) => {
      await node.manager.settled()
      await assert.rejects(call(node, 'my_service/refuse'), {
        code: 'P2P_RPC_SERVICE_FAILED',
        details: { method: 'my_service/refuse', reason: 'NOT_TODAY', day: 1 },
      })
      await assert.rejects(call(node, 'my_service/relay'), {
        code: 'P2P_RPC_SERVICE_FAILED',
        details: { method: 'my_service/relay', reason: 'P2P_RPC_METHOD_NOT_FOUND' },
      })
    }))

  test('may import its own files, and inherit marked methods', () =>
    withServices(
      {
        'parts/main.ts': `import { Base } from './lib/base.ts'\nexport class Run extends Base { override hidden(): number { return 2 } }`,
        'parts/lib/base.ts': `import { BaseService, serviceMethod } from 'p2p-core/service'
          export class Base extends BaseService {
            @serviceMethod({ description: 'x', public: true }) inherited(): number { return 1 }
            @serviceMethod({ description: 'x', public: true }) hidden(): number { return 1 }
          }`,
      },
      async (node) => {
        await node.manager.settled()
        assert.equal(await call(node, 'parts/inherited'), 1)
        await assert.rejects(call(node, 'parts/hidden'), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
      },
    ))

  test('may be reached through a link', () =>
    withServices({ '../elsewhere/linked/main.ts': CLASS }, async (_node, directory) => {
      symlinkSync(join(directory, '../elsewhere/linked'), join(directory, 'linked'), 'junction')
      const node = await startNode({ nodeId: 'n2', servicesDirectory: directory })
      await node.manager.settled()
      assert.deepEqual(await call(node, 'my_service/my_method', ['Bob']), { result: 'Hello Bob' })
      await node.manager.stop()
    }))
})

describe('a service in main.js', () => {
  test('runs as it is, and with decorators when it has some', () =>
    withServices(
      {
        'defined/main.js': DEFINED,
        'marked/main.js': `import { BaseService, serviceMethod } from 'p2p-core/service'
export class Run extends BaseService {
  @serviceMethod({ description: 'x', public: true })
  one() { return 1 }
}`,
      },
      async (node) => {
        await node.manager.settled()
        assert.deepEqual(await call(node, 'defined/echo', { a: 1 }), { a: 1 })
        assert.equal(await call(node, 'marked/one'), 1)
      },
    ))

  test('that brings its own copy of the kit is recognised', async () => {
    const { build } = await import('esbuild')
    const bundle = await build({
      stdin: { contents: CLASS, loader: 'ts', resolveDir: import.meta.dirname },
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      conditions: ['source'],
      alias: { 'p2p-core/service': join(import.meta.dirname, '../../../src/service/sdk/index.ts') },
      tsconfigRaw: '{}',
    })
    await withServices({ 'bundled/main.js': (bundle.outputFiles[0] as { text: string }).text }, async (node) => {
      await node.manager.settled()
      assert.deepEqual(await call(node, 'my_service/my_method', { param: 'Ada' }), { result: 'Hello Ada' })
      await assert.rejects(call(node, 'my_service/refuse'), {
        details: { method: 'my_service/refuse', reason: 'NOT_TODAY', day: 1 },
      })
    })
  })
})

describe('what cannot run is listed with its reason, and disturbs nobody:', () => {
  test('a module that throws, with file and line', async () => {
    const text = `// one\n\nconst x: number = 1\nthrow new Error('no database')\nexport class Run {}`
    assert.match(await failureOf({ 'bad/main.ts': text }, 'bad'), /no database \(main\.ts:4:\d+\)/)
  })

  test('a module that throws in a file it imports', async () => {
    const tree = { 'bad/main.js': `import './db.js'`, 'bad/db.js': `\nthrow new Error('no database')` }
    assert.match(await failureOf(tree, 'bad'), /no database \(db\.js:2:\d+\)/)
  })

  test('source that is no TypeScript, with file and line', async () => {
    assert.match(await failureOf({ 'bad/main.ts': 'const a = 1\nconst = 2' }, 'bad'), /\(main\.ts:2:\d+\)/)
  })

  test('source that is no JavaScript, with file and line', async () => {
    assert.match(await failureOf({ 'bad/main.js': 'const a = 1\nconst = 2' }, 'bad'), /Unexpected token.*\(main\.js:2/)
  })

  test('an import that is not there', async () => {
    assert.match(await failureOf({ 'bad/main.ts': `import 'no-such-package'` }, 'bad'), /no-such-package/)
  })

  test('no Run', async () => {
    assert.match(await failureOf({ 'bad/main.ts': 'export const run = 1' }, 'bad'), /neither a class Run/)
  })

  test('a Run that is no service', async () => {
    assert.match(await failureOf({ 'bad/main.ts': 'export class Run {}' }, 'bad'), /does not extend BaseService/)
    assert.match(await failureOf({ 'bad/main.ts': 'export const Run = () => 1' }, 'bad'), /does not extend BaseService/)
  })

  test('wrong names', async () => {
    assert.match(
      await failureOf({ 'bad/main.ts': CLASS.replace('my_service', 'my/service') }, 'bad'),
      /"my\/service" is no service name/,
    )
    assert.match(
      await failureOf({ 'bad/main.js': DEFINED.replace('echo:', '"e cho":') }, 'bad'),
      /"e cho" of service defined/,
    )
    assert.match(
      await failureOf({ '2bad/main.ts': CLASS.replace(/static.*/, '') }, '2bad'),
      /"2bad" is no service name/,
    )
  })

  test('a name that is taken, by whichever of the two was loaded first', async () => {
    await withServices({ 'aa/main.js': DEFINED, 'zz/main.js': DEFINED }, async (node) => {
      await node.manager.settled()
      const [first, second] = node.manager.list()
      assert.deepEqual([first?.name, first?.status, second?.status], ['defined', 'running', 'error'])
      assert.match(second?.failure ?? '', /is taken/)
      assert.deepEqual(await call(node, 'defined/echo', { alive: true }), { alive: true })
    })
  })

  test('a manifest that is broken, too large, or names another service', async () => {
    const withManifest = (manifest: string): Tree => ({ 'bad/main.ts': CLASS, 'bad/manifest.json': manifest })
    assert.match(await failureOf(withManifest('{'), 'bad'), /manifest\.json: .*JSON/)
    assert.match(await failureOf(withManifest('{"name":"a b"}'), 'bad'), /manifest\.json: name: must be/)
    assert.match(await failureOf(withManifest('{"version":3}'), 'bad'), /manifest\.json: version:/)
    assert.match(await failureOf(withManifest(`"${'x'.repeat(70_000)}"`), 'bad'), /70002 bytes, 65536 are allowed/)
    assert.match(
      await failureOf(withManifest('{"name":"other"}'), 'bad'),
      /names the service other, its code my_service/,
    )
  })

  test('an initialize that throws, with file and line', async () => {
    const text = CLASS.replace(`this.logger.info('Service initialized')`, `throw new Error('no disk')`)
    assert.match(await failureOf({ 'my_service/main.ts': text }, 'my_service'), /no disk \(main\.ts:17:\d+\)/)
  })

  test('a constructor that throws', async () => {
    const text = CLASS.replace(`this.logger.info('constructed')`, `throw new Error('not even born')`)
    assert.match(await failureOf({ 'my_service/main.ts': text }, 'my_service'), /not even born/)
  })

  test('an initialize and a module that never end', async () => {
    const clock = new ManualClock()
    const begun = globalThis as { initializes?: boolean; loads?: boolean }
    const hangs = CLASS.replace(
      `this.logger.info('Service initialized')`,
      '(globalThis as any).initializes = true; await new Promise(() => {})',
    )
    const tree = {
      'my_service/main.ts': hangs,
      'never/main.js': 'globalThis.loads = true; await new Promise(() => {})',
    }
    await withServices(
      tree,
      async (node) => {
        while (!begun.initializes || !begun.loads) await turn()
        await assert.rejects(call(node, 'my_service/count'), { code: 'P2P_RPC_NO_INSTANCE', message: /initializing/ })
        clock.advance(30_000)
        await node.manager.settled()
        assert.match(node.manager.get('my_service')?.failure ?? '', /initialize did not finish within 30000 ms/)
        assert.match(node.manager.get('never')?.failure ?? '', /loading did not finish within 30000 ms/)
        await assert.rejects(call(node, 'my_service/count'), {
          code: 'P2P_RPC_NO_INSTANCE',
          message: /error: initialize did not/,
        })
      },
      clock,
    )
  })
})

describe('the services of a node', () => {
  test('are looked for in folders only, and a folder without main is none', () =>
    withServices({ plot: 'a key file', 'empty/README.md': '', 'defined/main.js': DEFINED }, async (node) => {
      await node.manager.settled()
      assert.deepEqual(
        node.manager.list().map(({ name }) => name),
        ['defined'],
      )
    }))

  test('may be none: the directory need not be there', async () => {
    const node = await startNode({ servicesDirectory: join(tmpdir(), 'p2p-no-such-directory') })
    await node.manager.settled()
    assert.deepEqual(node.manager.list(), [])
    await node.manager.stop()
  })

  test('take version and description from the manifest where the code gives none', () =>
    withServices(
      {
        'my_service/main.ts': CLASS,
        'my_service/manifest.json': '{"version":"9","description":"Greets","author":"a"}',
      },
      async (node) => {
        await node.manager.settled()
        const found = node.manager.get('my_service')
        assert.deepEqual([found?.version, found?.description], ['1.0.0', 'Greets'])
      },
    ))

  test('stop while they start: nothing is left running, and nothing hangs', async () => {
    const hangs = CLASS.replace(`this.logger.info('Service initialized')`, 'await new Promise(() => {})')
    await withServices(
      { 'my_service/main.ts': hangs, 'never/main.js': 'await new Promise(() => {})' },
      async (node) => {
        while (node.manager.get('my_service')?.status !== 'initializing') await turn()
        await node.manager.stop()
        assert.equal(node.manager.get('my_service')?.status, 'stopped')
        assert.equal(node.clock.timerCount, 0)
      },
    )
  })

  test('say how they are, and the other nodes are told', async () => {
    let report: ((health: 'healthy' | 'failing', reason?: string) => void) | undefined
    const service = defineService({
      name: 'sick',
      version: '1',
      description: '',
      methods: { internal: method({ description: '', handler: () => 1 }) },
      initialize: (runtime) => {
        report = (health, reason) => runtime.reportHealth(health, reason)
      },
    })
    const node = await startNode({ services: [service] })
    let changes = 0
    const stopListening = node.manager.onChange(() => changes++)
    report?.('failing', 'the disk is full')
    report?.('failing', 'the disk is full')
    assert.equal(changes, 1)
    const { health, healthReason } = node.manager.get('sick') ?? {}
    assert.deepEqual([health, healthReason], ['failing', 'the disk is full'])
    assert.deepEqual(node.manager.records(), [
      { name: 'sick', version: '1', description: '', health: 'failing', methods: ['ping', 'get_service_info'] },
    ])
    report?.('healthy')
    assert.equal(node.manager.get('sick')?.healthReason, undefined)
    stopListening()
    report?.('failing')
    assert.equal(changes, 2)
    await node.manager.stop()
    assert.equal(node.manager.records()[0]?.health, 'stopping')
  })
})
