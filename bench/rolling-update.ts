import { type ClientHttp2Session, connect } from 'node:http2'
import { Agent, request } from 'node:https'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import type { NodeApi } from '../test/e2e/support/node-api.ts'
import { withCleanup } from './services/cleanup.ts'
import { LiveCluster, type ServiceFiles } from './services/live-cluster.ts'

/*
 * Calls go on at a steady rate while the called service and the one that calls it are updated, one after the other and both at
 * once, in a cluster of three nodes: a person's calls over one HTTP/2 connection to the coordinator, to the service desk on a worker, to the
 * service shop on a worker. No method is idempotent, so that nothing that may have run is made again. Calls are sent when
 * their time has come, however slow the answers are.
 *   node --conditions=source bench/rolling-update.ts [--rate 200] [--updates 6] [--http1] [--command PATH]
 */

export interface RollingUpdateOptions {
  callsPerSecond: number
  updates: number
  /** Over HTTP/1.1 connections that are used again, at most {@link HTTP1_CONNECTIONS_MAX} of them. */
  isHttp1?: boolean
  /** Another installation's `p2p`. */
  command?: string | undefined
  onProgress?: (line: string) => void
}

export interface RollingUpdateResult {
  calls: number
  /** What calls were answered that failed, and how many. */
  failures: Map<string, number>
  /** Answers by the versions of both that gave them: `desk 1.0.2, shop 1.0.1`. */
  answers: Map<string, number>
  latenciesMs: number[]
  updateSeconds: number[]
}

const WORK_MS = 20
const IN_FLIGHT_MAX = 10_000
const TICK_MS = 5
const HTTP1_CONNECTIONS_MAX = 256

/** Answers after a while, so that an update always meets calls that are under way. */
function shop(version: string): ServiceFiles {
  return {
    'manifest.json': { name: 'shop', version },
    'main.js': `
      import { setTimeout as pause } from 'node:timers/promises'
      import { defineService, method, z } from 'p2p-core/service'
      export default defineService({
        name: 'shop', version: '${version}', description: 'Tells prices',
        methods: { price: method({
          description: 'The price of an article', public: true, params: z.object({ article: z.int() }),
          async handler({ article }) { await pause(${WORK_MS}); return { article, price: article * 3, version: '${version}' } },
        }) },
      })`,
  }
}

function desk(version: string): ServiceFiles {
  return {
    'manifest.json': { name: 'desk', version },
    'main.js': `
      import { defineService, method, z } from 'p2p-core/service'
      export default defineService({
        name: 'desk', version: '${version}', description: 'Takes orders',
        methods: { order: method({
          description: 'Orders an article', public: true, params: z.object({ article: z.int() }),
          async handler({ article }, { service }) {
            const { price, version } = await service.proxy.shop.price({ article })
            return { article, price, versions: 'desk ${version}, shop ' + version }
          },
        }) },
      })`,
  }
}

const SERVICES = { shop, desk }
const CHANGES: readonly (readonly (keyof typeof SERVICES)[])[] = [['shop'], ['desk'], ['shop', 'desk']]

export function benchRollingUpdate(options: RollingUpdateOptions): Promise<RollingUpdateResult> {
  const { updates, callsPerSecond, isHttp1 = false, command, onProgress = () => {} } = options
  return withCleanup(async (cleanup) => {
    const cluster = new LiveCluster(cleanup, { workers: ['w1', 'w2'], command })
    await cluster.start()
    const first = { count: 2, placement: { labels: { role: 'worker' } }, healthy_ms: 500 }
    for (const [name, files] of Object.entries(SERVICES)) await cluster.deploy(name, files('1.0.0'), first)
    await Promise.all(Object.keys(SERVICES).map((name) => cluster.rolledOut(name)))
    const load = new SteadyLoad(cluster.api, callsPerSecond, isHttp1)
    const running = load.run()
    const updateSeconds: number[] = []
    for (let update = 1; update <= updates; update++) {
      const names = CHANGES[(update - 1) % CHANGES.length] as (typeof CHANGES)[number]
      const beginMs = performance.now()
      for (const name of names) await cluster.deploy(name, SERVICES[name](`1.0.${update}`))
      await Promise.all(names.map((name) => cluster.rolledOut(name)))
      updateSeconds.push((performance.now() - beginMs) / 1_000)
      onProgress(`update ${update} of ${updates}, ${names.join(' and ')}: ${load.sent} calls, ${load.failed} failed`)
    }
    load.stop()
    await running
    const { failures, answers, latenciesMs } = load
    return { calls: load.sent, failures, answers, latenciesMs, updateSeconds }
  })
}

/** Orders at a steady rate until it is stopped. */
class SteadyLoad {
  readonly failures = new Map<string, number>()
  readonly answers = new Map<string, number>()
  readonly latenciesMs: number[] = []
  readonly #callsPerSecond: number
  readonly #client: Client
  readonly #open = new Set<Promise<void>>()
  #sent = 0
  #isOver = false

  constructor(api: NodeApi, callsPerSecond: number, isHttp1: boolean) {
    this.#callsPerSecond = callsPerSecond
    this.#client = isHttp1 ? new Http1Client(api) : new Http2Client(api)
  }

  get sent(): number {
    return this.#sent
  }

  get failed(): number {
    return this.failures.values().reduce((sum, count) => sum + count, 0)
  }

  stop(): void {
    this.#isOver = true
  }

  /** Resolves when it was stopped and the last answer has come. */
  async run(): Promise<void> {
    const beginMs = performance.now()
    while (!this.#isOver) {
      const due = ((performance.now() - beginMs) / 1_000) * this.#callsPerSecond
      while (this.#sent < due && this.#open.size < IN_FLIGHT_MAX) this.#send(this.#sent++)
      await pause(TICK_MS)
    }
    await Promise.all(this.#open)
    this.#client.close()
  }

  #send(article: number): void {
    const sentMs = performance.now()
    const call = this.#order(article)
      .then(
        (versions) => count(this.answers, versions),
        (error: unknown) => count(this.failures, error instanceof Error ? error.message : String(error)),
      )
      .then(() => {
        this.latenciesMs.push(performance.now() - sentMs)
        this.#open.delete(call)
      })
    this.#open.add(call)
  }

  /** @returns by which versions it was answered. @throws what came instead */
  async #order(article: number): Promise<string> {
    const body = { jsonrpc: '2.0', id: article, method: 'desk/order', params: { article } }
    const { result, error } = JSON.parse(await this.#client.post('/rpc', JSON.stringify(body))) as {
      result?: { article: number; price: number; versions: string }
      error?: { message: string; data?: { code: string } }
    }
    if (error) throw new Error(`${error.data?.code}: ${error.message}`)
    if (result?.article !== article || result.price !== article * 3) throw new Error('the answer of another call')
    return result.versions
  }
}

interface Client {
  /** @returns the text of an answer with status 200. @throws what came instead */
  post(path: string, body: string): Promise<string>
  close(): void
}

class Http2Client implements Client {
  readonly #headers: Record<string, string>
  readonly #session: ClientHttp2Session

  constructor({ url, caCertificate: ca, accessToken }: NodeApi) {
    this.#headers = headersOf(accessToken)
    this.#session = connect(url, { ca, checkServerIdentity: () => undefined })
    // The calls tell.
    this.#session.on('error', () => {})
  }

  post(path: string, body: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({ ':method': 'POST', ':path': path, ...this.#headers })
      let status = 0
      stream.on('response', (headers) => (status = Number(headers[':status'])))
      readAnswer(stream, () => status, resolve, reject)
      stream.on('error', reject)
      stream.end(body)
    })
  }

  close(): void {
    this.#session.close()
  }
}

class Http1Client implements Client {
  readonly #api: NodeApi
  readonly #agent: Agent

  constructor(api: NodeApi) {
    this.#api = api
    const { caCertificate: ca } = api
    const limits = { maxSockets: HTTP1_CONNECTIONS_MAX, keepAlive: true }
    this.#agent = new Agent({ ...limits, ca, checkServerIdentity: () => undefined })
  }

  post(path: string, body: string): Promise<string> {
    const { url, accessToken } = this.#api
    return new Promise((resolve, reject) => {
      const options = { method: 'POST', agent: this.#agent, headers: headersOf(accessToken) }
      const outgoing = request(new URL(path, url), options, (answer) => {
        readAnswer(answer, () => answer.statusCode ?? 0, resolve, reject)
      })
      outgoing.on('error', reject)
      outgoing.end(body)
    })
  }

  close(): void {
    this.#agent.destroy()
  }
}

function headersOf(accessToken: string): Record<string, string> {
  return { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' }
}

function readAnswer(
  source: NodeJS.ReadableStream,
  status: () => number,
  resolve: (text: string) => void,
  reject: (error: Error) => void,
): void {
  let text = ''
  source.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  source.on('end', () => {
    if (status() === 200) resolve(text)
    else reject(new Error(`HTTP ${status()}: ${text}`))
  })
}

function count(counts: Map<string, number>, what: string): void {
  counts.set(what, (counts.get(what) ?? 0) + 1)
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rate: { type: 'string', default: '200' },
      updates: { type: 'string', default: '6' },
      http1: { type: 'boolean', default: false },
      command: { type: 'string' },
    },
  })
  const { rate, updates, http1: isHttp1, command } = values
  const options = {
    callsPerSecond: Number(rate),
    updates: Number(updates),
    isHttp1,
    command,
    onProgress: console.log,
  }
  const result = await benchRollingUpdate(options)
  const sorted = result.latenciesMs.sort((x, y) => x - y)
  const quantile = (part: number): string => (sorted[Math.floor(sorted.length * part)] ?? 0).toFixed(0)
  const failed = result.failures.values().reduce((sum, each) => sum + each, 0)
  for (const [versions, answers] of result.answers) console.log(`${versions}: ${answers} answers`)
  for (const [failure, times] of result.failures) console.log(`FAILED ${times} times: ${failure}`)
  const seconds = result.updateSeconds.map((each) => each.toFixed(1)).join(', ')
  console.log(
    `updates took ${seconds} s; p50 ${quantile(0.5)} ms, p99 ${quantile(0.99)} ms, longest ${quantile(1 - 1e-9)} ms`,
  )
  console.log(`${failed} of ${result.calls} calls failed`)
  process.exitCode = failed === 0 ? 0 : 1
}
