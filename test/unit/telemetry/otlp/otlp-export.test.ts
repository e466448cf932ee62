import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { gunzipSync } from 'node:zlib'
import type { AddressInfo } from 'node:net'
import { suite, test, type TestContext } from 'node:test'
import { type LogEntry, type Logger, silentLogger } from '../../../../src/base/log.ts'
import { headersOf } from '../../../../src/context/otlp.ts'
import { createHttpPost, systemRandom } from '../../../../src/platform/index.ts'
import { defineService, method } from '../../../../src/service/index.ts'
import { createOtlpExporter, type OtlpExporter } from '../../../../src/telemetry/index.ts'
import { isSampled } from '../../../../src/telemetry/otlp/otlp-exporter.ts'
import { machineMetrics } from '../../service/http/stub-dashboard.ts'
import { ManualClock } from '../../service/support/manual-clock.ts'
import { MemoryNetwork } from '../../service/support/memory-peers.ts'
import { ADMIN, countingRandom, introduce, startNode, TRACE } from '../../service/support/node.ts'

interface Asked {
  path: string
  headers: IncomingHttpHeaders
  // oxlint-disable-next-line typescript/no-explicit-any -- what a collector reads is what is tested
  body: any
}

/** An HTTP server that answers as the test says and hands out what it was asked, in order. */
async function startCollector(t: TestContext, statuses: number[] = [], answer: object = {}) {
  const asked: Asked[] = []
  const waiting: (() => void)[] = []
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const bytes = Buffer.concat(chunks)
      const isGzip = request.headers['content-encoding'] === 'gzip'
      const body: unknown = JSON.parse((isGzip ? gunzipSync(bytes) : bytes).toString())
      response.writeHead(statuses.shift() ?? 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer))
      asked.push({ path: request.url ?? '', headers: request.headers, body })
      for (const wake of waiting.splice(0)) wake()
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async until(count: number): Promise<Asked[]> {
      while (asked.length < count) await new Promise<void>((resolve) => waiting.push(resolve))
      return asked
    },
  }
}

interface Started {
  clock: ManualClock
  exporter: OtlpExporter
  warnings: object[]
}

function startExporter(t: TestContext, url: string, more: { traceRatio?: number; nodeId?: string } = {}): Started {
  const clock = new ManualClock()
  const warnings: object[] = []
  const log: Logger = {
    ...silentLogger,
    child: () => log,
    warning: (message, fields) => void warnings.push({ message, ...fields }),
  }
  const exporter = createOtlpExporter(
    {
      clock,
      random: countingRandom,
      log: () => log,
      traceId: () => TRACE,
      post: createHttpPost(url, headersOf('Authorization=Bearer%20abc, x-team = a%2Cb')),
    },
    {
      nodeId: 'w1',
      role: 'worker',
      softwareVersion: '3.0.0',
      hostname: 'box',
      metricsEveryMs: 15_000,
      traceRatio: 1,
      ...more,
    },
  )
  t.after(() => exporter.stop())
  return { clock, exporter, warnings }
}

const entry = (message: string, more: Partial<LogEntry> = {}): LogEntry => ({
  timeMs: 1_767_323_045_067,
  level: 'INFO',
  logger: 'Gossip',
  message,
  fields: {},
  ...more,
})

/** Lets what was answered be read: the exporter goes on once the answer is in. */
async function settled(exporter: OtlpExporter, isDone: (stats: ReturnType<OtlpExporter['stats']>) => boolean) {
  while (!isDone(exporter.stats())) await new Promise((resolve) => setImmediate(resolve))
}

suite('export by OTLP/HTTP', { timeout: 20_000 }, () => {
  test('log lines go out together, as the JSON encoding has them', async (t) => {
    const collector = await startCollector(t)
    const { clock, exporter } = startExporter(t, collector.url)
    exporter.watch(
      { machine: () => undefined, services: { methodMetrics: () => [], serviceMetrics: () => new Map() } },
      'blue',
    )
    exporter.sink(entry('Member joined', { fields: { node: 'w2', tries: 3, ok: true, ratio: 0.5, deep: { a: [1] } } }))
    exporter.sink(
      entry('Disk full \ud800', { level: 'CRITICAL', logger: 'Vault', fields: { traceId: 'a'.repeat(32) } }),
    )
    clock.advance(1_000)
    const [asked] = await collector.until(1)
    assert.equal(asked?.path, '/v1/logs')
    assert.equal(asked?.headers['content-type'], 'application/json')
    assert.equal(asked?.headers.authorization, 'Bearer abc')
    assert.equal(asked?.headers['x-team'], 'a,b')
    const text = (stringValue: string) => ({ stringValue })
    assert.deepEqual(asked?.body, {
      resourceLogs: [
        {
          resource: {
            attributes: [
              { key: 'service.name', value: text('p2p-core') },
              { key: 'service.namespace', value: text('blue') },
              { key: 'service.instance.id', value: text('w1') },
              { key: 'service.version', value: text('3.0.0') },
              { key: 'host.name', value: text('box') },
              { key: 'p2p.role', value: text('worker') },
            ],
          },
          scopeLogs: [
            {
              scope: { name: 'Gossip' },
              logRecords: [
                {
                  timeUnixNano: '1767323045067000000',
                  observedTimeUnixNano: '1767323045067000000',
                  severityNumber: 9,
                  severityText: 'INFO',
                  body: text('Member joined'),
                  attributes: [
                    { key: 'node', value: text('w2') },
                    { key: 'tries', value: { intValue: '3' } },
                    { key: 'ok', value: { boolValue: true } },
                    { key: 'ratio', value: { doubleValue: 0.5 } },
                    { key: 'deep', value: text('{"a":[1]}') },
                  ],
                  traceId: TRACE,
                },
              ],
            },
            {
              scope: { name: 'Vault' },
              logRecords: [
                {
                  timeUnixNano: '1767323045067000000',
                  observedTimeUnixNano: '1767323045067000000',
                  severityNumber: 21,
                  severityText: 'CRITICAL',
                  body: text('Disk full \ufffd'),
                  attributes: [{ key: 'traceId', value: text('a'.repeat(32)) }],
                  traceId: 'a'.repeat(32),
                },
              ],
            },
          ],
        },
      ],
    })
  })

  test('each call is a span whose parent is the call that made it; a failure is said', async (t) => {
    const collector = await startCollector(t)
    const { clock, exporter } = startExporter(t, collector.url)
    const service = defineService({
      name: 'shop',
      version: '1.0.0',
      description: 'Sells',
      methods: {
        inner: method({
          description: 'Fails',
          handler() {
            throw new Error('no such thing')
          },
        }),
        outer: method({
          description: 'Calls',
          public: true,
          async handler(_params, { service: own }) {
            const shop = own.proxy['shop'] as Record<string, () => Promise<unknown>>
            await shop['inner']?.().catch(() => {})
            return null
          },
        }),
      },
    })
    const node = await startNode({ services: [service], clock, spans: exporter.spans })
    t.after(() => node.manager.stop())
    const parentSpanId = '00f067aa0ba902b7'
    const deadlineMs = clock.nowMs() + 10_000
    await node.manager.call('shop/outer', {}, { caller: ADMIN, traceId: TRACE, parentSpanId, deadlineMs })
    clock.advance(2_000)
    const asked = (await collector.until(1)).find(({ path }) => path === '/v1/traces')
    const spans = asked?.body.resourceSpans[0].scopeSpans[0].spans
    assert.equal(spans.length, 2)
    const [inner, outer] = spans
    assert.deepEqual([inner.name, outer.name], ['shop/inner', 'shop/outer'])
    assert.equal(outer.parentSpanId, parentSpanId)
    assert.equal(inner.parentSpanId, outer.spanId)
    assert.deepEqual([inner.traceId, outer.traceId], [TRACE, TRACE])
    assert.match(outer.spanId, /^[\da-f]{16}$/)
    assert.equal(outer.kind, 2)
    assert.deepEqual(outer.status, {})
    assert.equal(inner.status.code, 2)
    assert.ok(BigInt(outer.endTimeUnixNano) >= BigInt(outer.startTimeUnixNano))
    const attributes = Object.fromEntries(
      inner.attributes.map(({ key, value }: { key: string; value: { stringValue: string } }) => [
        key,
        value.stringValue,
      ]),
    )
    assert.deepEqual(attributes, {
      'rpc.system': 'p2p',
      'rpc.service': 'shop',
      'rpc.method': 'inner',
      'p2p.caller': attributes['p2p.caller'],
      'error.type': 'P2P_RPC_SERVICE_FAILED',
    })
  })

  test('a call between nodes is a span on each side, that of the side it left the parent of the other', async (t) => {
    const collector = await startCollector(t)
    const { clock, exporter: nearExporter } = startExporter(t, collector.url)
    const farExporter = startExporter(t, collector.url, { nodeId: 'far' }).exporter
    const network = new MemoryNetwork()
    const store = defineService({
      name: 'store',
      version: '1.0.0',
      description: 'Keeps',
      methods: {
        find: method({ description: 'Finds', public: true, handler: () => 1 }),
        fail: method({
          description: 'Fails',
          public: true,
          handler() {
            throw new Error('no such thing')
          },
        }),
        list: method({
          description: 'Streams',
          public: true,
          stream: true,
          async *handler() {
            yield 1
            yield 2
          },
        }),
      },
    })
    const front = defineService({
      name: 'front',
      version: '1.0.0',
      description: 'Sells',
      methods: {
        buy: method({
          description: 'Calls',
          public: true,
          async handler(_params, { service: own }) {
            const far = own.proxy['store'] as {
              find(): Promise<number>
              fail(): Promise<never>
              list(): Promise<AsyncIterable<number>>
            }
            await far.find()
            await far.fail().catch(() => {})
            const items: number[] = []
            for await (const item of await far.list()) items.push(item)
            return items
          },
        }),
      },
    })
    const shared = { clock, network, random: systemRandom }
    const near = await startNode({ ...shared, nodeId: 'near', services: [front], spans: nearExporter.spans })
    const far = await startNode({ ...shared, nodeId: 'far', services: [store], spans: farExporter.spans })
    t.after(() => Promise.all([near.manager.stop(), far.manager.stop()]))
    introduce(near, far)
    const deadlineMs = clock.nowMs() + 10_000
    assert.deepEqual(await near.manager.call('front/buy', {}, { caller: ADMIN, traceId: TRACE, deadlineMs }), [1, 2])
    await Promise.all([nearExporter.stop(), farExporter.stop()])

    // oxlint-disable-next-line typescript/no-explicit-any -- as above
    const spans: any[] = collector.asked.flatMap(({ body }) => body.resourceSpans[0].scopeSpans[0].spans)
    const [server, client] = [2, 3]
    const span = (name: string, kind: number) => {
      const found = spans.filter((one) => one.name === name && one.kind === kind)
      assert.equal(found.length, 1, `${name} of kind ${kind}`)
      return found[0]
    }
    assert.equal(spans.length, 7)
    assert.equal(new Set(spans.map(({ spanId }) => spanId)).size, 7)
    assert.ok(spans.every(({ traceId }) => traceId === TRACE))
    const root = span('front/buy', server)
    assert.equal(root.parentSpanId, undefined)
    for (const name of ['store/find', 'store/fail', 'store/list']) {
      assert.equal(span(name, client).parentSpanId, root.spanId)
      assert.equal(span(name, server).parentSpanId, span(name, client).spanId)
      const attributes = Object.fromEntries(
        span(name, client).attributes.map((one: { key: string; value: { stringValue: string } }) => [
          one.key,
          one.value.stringValue,
        ]),
      )
      const isFailed = name === 'store/fail'
      assert.equal(attributes['peer.service'], 'p2p-core')
      assert.equal(attributes['server.address'], 'far')
      assert.equal(attributes['error.type'], isFailed ? 'P2P_RPC_SERVICE_FAILED' : undefined)
      assert.deepEqual(span(name, client).status.code, isFailed ? 2 : undefined)
    }
  })

  test('a call that leaves has no span of its own where nobody asked for traces', async (t) => {
    const { clock, exporter } = startExporter(t, 'http://127.0.0.1:1', { traceRatio: 0 })
    const network = new MemoryNetwork()
    let parent: string | undefined
    const store = defineService({
      name: 'store',
      version: '1.0.0',
      description: 'Keeps',
      methods: {
        find: method({
          description: 'Finds',
          public: true,
          handler: (_params, { parentSpanId }) => {
            parent = parentSpanId
            return null
          },
        }),
      },
    })
    const near = await startNode({ nodeId: 'near', clock, network, spans: exporter.spans })
    const far = await startNode({ nodeId: 'far', clock, network, services: [store] })
    t.after(() => Promise.all([near.manager.stop(), far.manager.stop()]))
    introduce(near, far)
    const parentSpanId = '00f067aa0ba902b7'
    const deadlineMs = clock.nowMs() + 10_000
    await near.manager.call('store/find', {}, { caller: ADMIN, traceId: TRACE, parentSpanId, deadlineMs })
    assert.equal(parent, parentSpanId)
    assert.equal(exporter.stats().spans.waiting, 0)
  })

  test('what nodes tell of themselves all the time is no trace', async (t) => {
    const { exporter } = startExporter(t, 'http://127.0.0.1:1')
    const span = { traceId: TRACE, spanId: '00f067aa0ba902b7', parentSpanId: undefined, caller: ADMIN, durationMs: 1 }
    for (const name of ['log_collector/add_logs', 'metrics_dashboard/report_metrics', 'log_collector/get_logs']) {
      exporter.spans.ended({ ...span, method: name, error: undefined })
    }
    assert.equal(exporter.stats().spans.waiting, 1)
  })

  test('metrics go out by themselves: gauges, sums and histograms that count from the start', async (t) => {
    const collector = await startCollector(t)
    const { clock, exporter } = startExporter(t, collector.url)
    const startNano = `${BigInt(Math.floor(clock.wallMs())) * 1_000_000n}`
    const durations = [
      { upToMs: 1, count: 2 },
      { upToMs: Number.POSITIVE_INFINITY, count: 1 },
    ]
    exporter.watch(
      {
        machine: () => machineMetrics(),
        services: {
          methodMetrics: () => [
            { service: 'shop', method: 'find', calls: 3, errors: 1, inFlight: 0, durationMsTotal: 12.5, durations },
          ],
          serviceMetrics: () => new Map([['shop', { counters: counters(3_000), gauges: { queue: 4 }, timers: {} }]]),
        },
      },
      'blue',
    )
    clock.advance(15_000)
    clock.advance(0)
    const [asked] = await collector.until(1)
    assert.equal(asked?.path, '/v1/metrics')
    const { metrics } = asked?.body.resourceMetrics[0].scopeMetrics[0] ?? {}
    // oxlint-disable-next-line typescript/no-explicit-any -- as above
    const named = (name: string): any => metrics.find((metric: { name: string }) => metric.name === name)
    const [duration] = named('rpc.server.duration').histogram.dataPoints
    assert.deepEqual(
      [duration.count, duration.sum, duration.bucketCounts, duration.explicitBounds],
      ['3', 12.5, ['2', '1'], [1]],
    )
    assert.equal(duration.startTimeUnixNano, startNano)
    assert.equal(named('rpc.server.duration').histogram.aggregationTemporality, 2)
    assert.equal(named('p2p.rpc.errors').sum.dataPoints[0].asDouble, 1)
    assert.equal(named('p2p.rpc.errors').sum.isMonotonic, true)
    assert.equal(named('system.cpu.utilization').gauge.dataPoints[0].asDouble, machineMetrics().cpu_percent / 100)
    assert.equal(named('p2p.service.count').sum.dataPoints.length, 2_000, 'names that are made up are bounded')
  })

  test('a collector that is away for a while is tried again, and nothing is lost', async (t) => {
    const collector = await startCollector(t, [503, 429])
    const { clock, exporter, warnings } = startExporter(t, collector.url)
    exporter.sink(entry('one'))
    clock.advance(1_000)
    for (const tries of [1, 2]) {
      await collector.until(tries)
      while (collector.asked.length === tries) {
        clock.advance(1_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    await settled(exporter, ({ logs }) => logs.sent === 1)
    assert.equal(exporter.stats().logs.lost, 0)
    assert.deepEqual(collector.asked[0]?.body, collector.asked[2]?.body)
    assert.deepEqual(warnings, [])
  })

  test('what it refuses is let go, counted and said once a minute', async (t) => {
    const collector = await startCollector(t, [400, 400])
    const { clock, exporter, warnings } = startExporter(t, collector.url)
    exporter.sink(entry('one'))
    clock.advance(1_000)
    await settled(exporter, ({ logs }) => logs.lost === 1)
    exporter.sink(entry('two'))
    clock.advance(1_000)
    await settled(exporter, ({ logs }) => logs.lost === 2)
    assert.equal(warnings.length, 1)
    clock.advance(60_000)
    assert.equal(warnings.length, 2)
  })

  test('a part that it refuses in a good answer is counted', async (t) => {
    const collector = await startCollector(t, [], {
      partialSuccess: { rejectedLogRecords: '1', errorMessage: 'too old' },
    })
    const { clock, exporter } = startExporter(t, collector.url)
    exporter.sink(entry('one'))
    exporter.sink(entry('two'))
    clock.advance(1_000)
    await settled(exporter, ({ logs }) => logs.lost > 0)
    const { sent, lost } = exporter.stats().logs
    assert.deepEqual([sent, lost], [1, 1])
  })

  test('without a collector what waits is bounded, and the oldest goes', async (t) => {
    const { clock, exporter } = startExporter(t, 'http://127.0.0.1:1')
    for (let index = 0; index < 20_000; index++) exporter.sink(entry(`line ${index}`))
    clock.advance(1_000)
    const { waiting, lost } = exporter.stats().logs
    assert.ok(waiting <= 8_192, `${waiting} wait`)
    assert.ok(lost >= 20_000 - 8_192 - 512, `${lost} were let go`)
  })

  test('what is there when the node stops is still sent', async (t) => {
    const collector = await startCollector(t)
    const { exporter } = startExporter(t, collector.url)
    exporter.sink(entry('last'))
    await exporter.stop()
    assert.equal(collector.asked.length, 1)
    assert.equal(exporter.stats().logs.sent, 1)
  })
})

suite('the choice of traces', () => {
  test('is the same on every node, and about the share that was asked for', () => {
    const traces = Array.from({ length: 10_000 }, () => {
      return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('')
    })
    assert.equal(traces.filter((trace) => isSampled(trace, 0)).length, 0)
    assert.equal(traces.filter((trace) => isSampled(trace, 1)).length, 10_000)
    const tenth = traces.filter((trace) => isSampled(trace, 0.1)).length
    assert.ok(tenth > 700 && tenth < 1_300, `${tenth} of 10,000`)
  })
})

test('headers for a collector: what is no pair, and what no header may hold, is left out', () => {
  assert.deepEqual(headersOf('A=1,b = x y ,=3,c,d=%0d%0aevil: 1,e=a=b'), { a: '1', b: 'x y', e: 'a=b' })
  assert.deepEqual(headersOf(''), {})
})

function counters(count: number): Record<string, number> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`c${index}`, index]))
}
