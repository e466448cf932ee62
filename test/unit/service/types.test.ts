import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  BaseService,
  defineService,
  method,
  type MethodCall,
  type ServiceClient,
  serviceMethod,
  type ServiceProxy,
  z,
} from '../../../src/service/sdk/index.ts'

const shop = defineService({
  name: 'shop',
  version: '1',
  description: '',
  methods: {
    price: method({
      description: '',
      params: z.object({ id: z.number(), currency: z.string().default('EUR') }),
      result: z.object({ amount: z.number() }),
      handler: ({ id, currency }) => ({ amount: id + currency.length }),
    }),
    ping: method({ description: '', handler: () => new Promise((resolve) => resolve('pong')) }),
    orders: method({
      description: '',
      stream: true,
      params: z.object({ since: z.string().optional() }),
      item: z.object({ id: z.number() }),
      async *handler({ since }, call) {
        const text: string | undefined = since
        yield { id: (text?.length ?? 0) + call.hops! }
      },
    }),
    raw: method({
      description: '',
      stream: true,
      async *handler() {
        yield Buffer.from('x')
      },
    }),
  },
})

class Run extends BaseService {
  rate = 1
  greet({ name }: { name: string }, _call?: MethodCall): { text: string } {
    return { text: name }
  }
  async later(): Promise<number> {
    return this.rate
  }
  async *tail({ lines = 1 }: { lines?: number }): AsyncGenerator<string> {
    yield 'x'.repeat(lines)
  }
}

/** Checked by the compiler: each line that is expected to be wrong must be. */
async function types(proxy: ServiceProxy): Promise<void> {
  const client = proxy.shop as ServiceClient<typeof shop>
  const price: { amount: number } = await client.price({ id: 1 })
  const there: { amount: number } | undefined = await client['edge-17']?.price(
    { id: 1 },
    { timeoutMs: 5, retries: 2, fallback: 0 },
  )
  const anywhere: { amount: number } = await client.remote.price({ id: 1 })
  await client.ping()
  for await (const { id } of await client.orders()) void (id satisfies number)
  for await (const { id } of await client.worker.orders({ since: 'x' })) void (id satisfies number)
  for await (const item of await client.raw({})) void (item satisfies unknown)
  // @ts-expect-error a parameter is missing
  await client.price()
  // @ts-expect-error the parameter has another type
  await client.price({ id: 'x' })
  // @ts-expect-error no such method
  await client.buy({})
  // @ts-expect-error no such method there
  await client.coordinator.buy({})
  // @ts-expect-error the items have another type
  for await (const { id } of await client.orders()) void (id satisfies string)

  for (const run of [proxy.run as ServiceClient<typeof Run>, proxy.run as ServiceClient<Run>]) {
    const text: { text: string } = await run.greet({ name: 'Ada' })
    const there: { text: string } = await run.local.greet({ name: 'Ada' }, { timeoutMs: 5 })
    const later: number = await run.later()
    for await (const line of await run.tail({})) void (line satisfies string)
    // @ts-expect-error a parameter is missing
    await run.greet()
    // @ts-expect-error what every service has is not called by others
    await run.initialize()
    // @ts-expect-error no method
    await run.rate()
    void [text, there, later]
  }
  void [price, there, anywhere]

  void method({
    description: '',
    stream: true,
    item: z.object({ id: z.number() }),
    // @ts-expect-error the item has another type
    async *handler() {
      yield { id: 'x' }
    },
  })
  // @ts-expect-error a method that streams has no result
  void method({ description: '', stream: true, result: z.string(), async *handler() {} })
  void serviceMethod({ description: '', stream: true, item: z.number() }) satisfies unknown
}

test('a client has the types of the methods, of definitions and classes, with targets', () => {
  assert.equal(typeof types, 'function')
})
