import assert from 'node:assert/strict'
import { suite, test } from 'node:test'
import { BaseService, defineService, method, ServiceError, serviceMethod, z } from '../../../src/service/sdk/index.ts'
import { SimulatedClock, startTestService } from '../../../src/testing/index.ts'

const library = defineService({
  name: 'library',
  version: '1.0.0',
  description: 'Lends books',
  initialize(service) {
    service.events.subscribe('books.*', (data, { topic, from }) => {
      service.logger.info('Heard', { topic, from: from.service, data })
    })
  },
  cleanup: (service) => service.logger.info('Closed'),
  methods: {
    lend: method({
      description: 'Lends one book',
      public: true,
      params: z.strictObject({ id: z.int(), days: z.number().default(14) }),
      result: z.object({ title: z.string(), days: z.number() }),
      async handler({ id, days }, { service }) {
        if (id === 0) throw new ServiceError('BOOK_UNKNOWN', 'No book has the id 0', { id })
        if (id < 0) throw new TypeError('a bug')
        const { title } = await service.proxy.catalogue.coordinator.title({ id })
        service.metrics.increment('lent')
        service.events.publish('books.lent', { id })
        return { title, days, hidden: 'not in the schema' }
      },
    }),
    own: method({ description: 'For services of the node only', handler: () => 'here' }),
    told: method({
      description: 'Gives what it was given',
      public: true,
      handler: (_params, { service: { config, secrets, dataDirectory } }) => ({ config, secrets, dataDirectory }),
    }),
    hang: method({ description: 'Never answers', timeoutMs: 5_000, handler: () => new Promise<never>(() => {}) }),
    count: method({
      description: 'Counts',
      stream: true,
      item: z.object({ n: z.number() }),
      async *handler() {
        for (let n = 1; n <= 3; n++) yield { n, hidden: true }
      },
    }),
    ill: method({
      description: 'Says that it is ill',
      handler: (_params, { service }) => service.reportHealth('failing', 'the disk is full'),
    }),
    wait: method({
      description: 'Waits for another service',
      handler: (_params, { service }) => service.proxy.catalogue.slow({}, { timeoutMs: 1_000 }),
    }),
  },
})

const services = { catalogue: { title: ({ id }: { id: number }) => ({ title: `Book ${id}` }) } }

suite('startTestService', () => {
  test('checks parameters, fills in defaults, and gives what the schema of the result names', async (t) => {
    const { client } = await startTestService(t, library, { services })
    assert.deepEqual(await client.lend({ id: 7 }), { title: 'Book 7', days: 14 })
    await assert.rejects(client.lend({ id: 'seven' } as never), { code: 'P2P_RPC_INVALID_PARAMS' })
    await assert.rejects(client.lend({ id: 7, pages: 3 } as never), { code: 'P2P_RPC_INVALID_PARAMS' })
    await assert.rejects((client as unknown as Record<string, () => Promise<void>>)['lent']?.() as Promise<void>, {
      code: 'P2P_RPC_METHOD_NOT_FOUND',
      message: /did you mean library\/lend/,
    })
  })

  test('records calls with their target, events, metrics and log lines', async (t) => {
    const service = await startTestService(t, library, { services })
    await service.client.lend({ id: 7 })
    const [call] = service.calls
    assert.deepEqual(
      [call?.service, call?.method, call?.target, call?.params],
      ['catalogue', 'title', 'coordinator', { id: 7 }],
    )
    assert.deepEqual(service.published, [{ topic: 'books.lent', data: { id: 7 } }])
    assert.equal(service.metrics().counters['lent'], 1)
    service.publish('books.bought', { id: 8 }, 'shop')
    assert.deepEqual(service.lines.at(-1)?.fields, { topic: 'books.bought', from: 'shop', data: { id: 8 } })
    await service.stop()
    assert.equal(service.lines.at(-1)?.message, 'Closed')
  })

  test('fails as its callers see it, and what nobody is told is in the log', async (t) => {
    const { client, lines } = await startTestService(t, library, { services })
    await assert.rejects(client.lend({ id: 0 }), {
      code: 'P2P_RPC_SERVICE_FAILED',
      message: 'No book has the id 0',
      details: { method: 'library/lend', reason: 'BOOK_UNKNOWN', id: 0 },
    })
    await assert.rejects(client.lend({ id: -1 }), (error: Error) => !error.message.includes('a bug'))
    assert.match(JSON.stringify(lines), /a bug/)
  })

  test('a call of a service the test has not names what to give', async (t) => {
    const { client } = await startTestService(t, library)
    await assert.rejects(client.lend({ id: 7 }), { message: /services: \{ catalogue: \{ title:/ })
  })

  test('decides access by the caller', async (t) => {
    const service = await startTestService(t, library, { services })
    assert.equal(await service.client.own(), 'here')
    const viewer = service.as({ kind: 'person', name: 'vic', role: 'viewer' })
    await assert.rejects(viewer.lend({ id: 7 }), { code: 'P2P_RPC_ACCESS_DENIED' })
    const elsewhere = service.as({ kind: 'node', nodeId: 'n2', role: 'worker', service: 'shop' })
    assert.equal((await elsewhere.lend({ id: 7 })).title, 'Book 7')
    await assert.rejects(elsewhere.own(), { code: 'P2P_RPC_ACCESS_DENIED' })
  })

  test('gives configuration, secrets and a data directory', async (t) => {
    const given = { config: { colour: 'red' }, secrets: { token: 'x' }, dataDirectory: '/data' }
    const { client } = await startTestService(t, library, given)
    assert.deepEqual(await client.told(), given)
  })

  test('keeps deadlines on a clock that the test moves', async (t) => {
    const clock = new SimulatedClock()
    const stuck = { catalogue: { slow: () => new Promise<never>(() => {}) } }
    const { client } = await startTestService(t, library, { clock, services: stuck })
    const hung = assert.rejects(client.hang(), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
    const waited = assert.rejects(client.wait(), { code: 'P2P_RPC_DEADLINE_EXCEEDED' })
    await clock.run(5_000)
    await Promise.all([hung, waited])
  })

  test('a caller that gives up is told so', async (t) => {
    const { client } = await startTestService(t, library)
    const gone = new AbortController()
    const call = client.hang({}, { signal: gone.signal })
    gone.abort()
    await assert.rejects(call, { code: 'P2P_RPC_CANCELLED' })
  })

  test('streams its items, as the schema names them', async (t) => {
    const { client } = await startTestService(t, library)
    const items: unknown[] = []
    for await (const item of await client.count()) items.push(item)
    assert.deepEqual(items, [{ n: 1 }, { n: 2 }, { n: 3 }])
  })

  test('says how it is', async (t) => {
    const service = await startTestService(t, library)
    assert.deepEqual(service.health(), { health: 'healthy', reason: undefined })
    await service.client.ill()
    assert.deepEqual(service.health(), { health: 'failing', reason: 'the disk is full' })
  })

  test('runs a class, with its own name or one that is given', async (t) => {
    class Run extends BaseService {
      override initialize(): void {
        this.info.version = '1.0.0'
      }
      hello({ name }: { name: string }): string {
        return `Hello ${name} from ${this.serviceName}`
      }
    }
    const { hello } = Object.getOwnPropertyDescriptors(Run.prototype)
    const mark = serviceMethod({ description: 'Greets', params: z.object({ name: z.string() }) })
    // What a decorator does, written out: Node's type stripping does not run them.
    mark(hello.value as Run['hello'], { kind: 'method', name: 'hello', static: false, private: false } as never)
    const { client } = await startTestService(t, Run, { name: 'greeter' })
    assert.equal(await client.hello({ name: 'Ada' }), 'Hello Ada from greeter')
  })

  test('a service that cannot start says why; what is no service is refused', async (t) => {
    const broken = defineService({
      ...library,
      initialize: () => {
        throw new Error('no database')
      },
    })
    await assert.rejects(startTestService(t, broken), { code: 'P2P_SERVICE_START_FAILED', message: /no database/ })
    await assert.rejects(startTestService(t, Date as never), { code: 'P2P_SERVICE_LOAD_FAILED' })
  })

  test('without a test the caller stops it', async () => {
    const service = await startTestService(undefined, library)
    await service.stop()
    await assert.rejects(service.client.own(), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
  })
})

test('gets other settings as it runs, or keeps what it has', async (t) => {
  const changes: object[] = []
  const painter = defineService({
    name: 'painter',
    version: '1.0.0',
    description: 'Paints',
    methods: {
      told: method({
        description: 'x',
        handler: (_params, { service }) => ({ ...service.config, ...service.secrets }),
      }),
    },
    reconfigure({ config }, change) {
      if (config['colour'] === 'none') throw new Error('none is no colour')
      changes.push(change)
    },
  })
  const service = await startTestService(t, painter, { config: { colour: 'red' }, secrets: { key: 'one' } })
  await service.reconfigure({ secrets: { key: 'two' } })
  await service.reconfigure({ config: { colour: 'blue', size: 3 } })
  assert.deepEqual(await service.client.told({}), { colour: 'blue', size: 3, key: 'two' })
  assert.deepEqual(changes, [
    { config: [], secrets: ['key'] },
    { config: ['colour', 'size'], secrets: [] },
  ])
  await assert.rejects(service.reconfigure({ config: { colour: 'none' } }), /none is no colour/)
  assert.deepEqual(await service.client.told({}), { colour: 'blue', size: 3, key: 'two' })
})
