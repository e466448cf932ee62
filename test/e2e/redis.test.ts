import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, writeFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, test } from 'node:test'
import { createClient } from 'redis'
import { silentLogger } from '../../src/base/log.ts'
import type { Clock } from '../../src/base/time.ts'
import type { Component } from '../../src/base/component.ts'
import { type Cache, createCache } from '../../src/cache/index.ts'
import { RedisStore } from '../../src/cache/redis-store.ts'
import { StoreCache } from '../../src/cache/store-cache.ts'
import { createLogger, type LogEntry, systemClock } from '../../src/platform/index.ts'
import { cacheContract, type OpenedCache } from '../contract/cache.ts'
import { isLeftOut } from './support/left-out.ts'
import { freePort as freeNodePort, makeHome, p2p, startNode } from './support/node-process.ts'

const PASSWORD = 'kirschbaum'
const MINUTE_MS = 60_000
const START_ATTEMPTS = 5
const never = new AbortController().signal

/** A Redis of this test's own: loopback, a port of its own, nothing kept on disk. */
class RedisServer {
  #directory = ''
  #port = 0
  #process: ChildProcess | undefined

  get url(): string {
    return `redis://:${PASSWORD}@127.0.0.1:${this.#port}`
  }

  get address(): string {
    return `127.0.0.1:${this.#port}/0`
  }

  /** Starts it, the second time on the same port. */
  async start(): Promise<void> {
    this.#directory ||= await mkdtemp(join(tmpdir(), 'p2p-redis-'))
    const isPortKnown = this.#port > 0
    for (let attempt = 1; ; attempt++) {
      if (!isPortKnown) this.#port = await freePort()
      if (await this.#launch()) return
      assert.ok(attempt < START_ATTEMPTS, 'redis-server does not start')
    }
  }

  /** Ends it without warning and without a chance to say good-bye. */
  async kill(): Promise<void> {
    const child = this.#process
    if (!child) return
    this.#process = undefined
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }

  /** Stops answering, connections stay open. */
  hang(): void {
    this.#process?.kill('SIGSTOP')
  }

  resume(): void {
    this.#process?.kill('SIGCONT')
  }

  async dispose(): Promise<void> {
    await this.kill()
    await rm(this.#directory, { recursive: true, force: true })
  }

  async #launch(): Promise<boolean> {
    const options = { port: this.#port, bind: '127.0.0.1', dir: this.#directory, requirepass: PASSWORD }
    const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
    const child = spawn('redis-server', [...flags, '--save', '', '--appendonly', 'no', '--daemonize', 'no'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const lines = createInterface({ input: child.stdout })
    const isReady = await new Promise<boolean>((resolve) => {
      child.once('exit', () => resolve(false))
      lines.on('line', (line) => {
        if (line.includes('Ready to accept connections')) resolve(true)
      })
    })
    if (isReady) this.#process = child
    return isReady
  }
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as { port: number }
  probe.close()
  await once(probe, 'close')
  return port
}

/** The log as a test wants it: every line kept, and waited for by what it says. */
class LogRecorder {
  readonly entries: LogEntry[] = []
  readonly log = createLogger({
    level: 'DEBUG',
    format: 'json',
    destination: { write: () => {} },
    sinks: [(entry) => this.#take(entry)],
  })
  #waiting: { text: string; resolve: () => void }[] = []

  /** Resolves with the next line that holds `text`. */
  next(text: string): Promise<void> {
    return new Promise((resolve) => this.#waiting.push({ text, resolve }))
  }

  messages(): string[] {
    return this.entries.map(({ level, message }) => `${level} ${message.split(';')[0]}`)
  }

  #take(entry: LogEntry): void {
    this.entries.push(entry)
    const [matching, others] = [true, false].map((wanted) =>
      this.#waiting.filter(({ text }) => entry.message.includes(text) === wanted),
    )
    this.#waiting = others ?? []
    for (const { resolve } of matching ?? []) resolve()
  }
}

const IN_USE = 'Redis is in use'
const AWAY = 'Redis is away'
const server = new RedisServer()
const skip = isLeftOut('redis-server') && 'redis-server is not installed'

function testWithRedis(title: string, body: () => Promise<void>): void {
  test(title, { skip }, body)
}

/**
 * The real clock with timers that take their time: on a busy machine Redis may not get the processor for 100 ms,
 * which must not count as its failure where a test is about something else.
 */
function patientClock(factor: number): Clock {
  return {
    ...systemClock,
    after: (delayMs, fn) => systemClock.after(delayMs * factor, fn),
    every: (periodMs, fn) => systemClock.every(periodMs * factor, fn),
  }
}
/** Where a test waits for Redis to be given up, and for the next attempt. */
const OUTAGE = patientClock(4)
const NO_OUTAGE = patientClock(50)

interface OpenedNode {
  cache: Cache & Component
  recorder: LogRecorder
}

/** A node's cache, started, stopped when `body` is done. */
async function withNodes(clock: Clock, count: number, body: (...nodes: OpenedNode[]) => Promise<void>): Promise<void> {
  const nodes = Array.from({ length: count }, () => {
    const recorder = new LogRecorder()
    return { cache: createCache({ clock, log: recorder.log }, { redisUrl: server.url }), recorder }
  })
  try {
    await Promise.all(nodes.map(({ cache }) => cache.start(never)))
    await body(...nodes)
  } finally {
    await Promise.all(nodes.map(({ cache }) => cache.stop()))
  }
}

/** Asks until it is so: for what another process does in its own time. */
async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setImmediate(resolve))
}

async function withControl<T>(body: (control: ReturnType<typeof createControl>) => Promise<T>): Promise<T> {
  const control = createControl()
  await control.connect()
  try {
    return await body(control)
  } finally {
    control.destroy()
  }
}

function createControl() {
  const control = createClient({ url: server.url, RESP: 3, socket: { reconnectStrategy: false } })
  control.on('error', () => {})
  return control
}

before(async () => {
  if (!skip) await server.start()
})
after(() => server.dispose())

async function opened(cache: Cache & Component): Promise<OpenedCache> {
  await cache.start(never)
  await withControl((control) => control.flushAll())
  return {
    cache,
    close: () => cache.stop(),
    pass: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  }
}

if (!skip) {
  const needs = { clock: NO_OUTAGE, log: silentLogger }
  cacheContract('redis', () => opened(new StoreCache(new RedisStore(needs, server.url))))
  cacheContract('two-level', () => opened(createCache(needs, { redisUrl: server.url })))
}

testWithRedis('nodes share values, and a change by one is seen by those who hold a copy', async () => {
  await withNodes(NO_OUTAGE, 3, async (a, b, c) => {
    await a.cache.set('s', 'k', 'first', MINUTE_MS)
    for (const { cache } of [b, c]) {
      assert.equal(await cache.get('s', 'k'), 'first')
      assert.equal(cache.stats().entries, 1)
    }
    await b.cache.set('s', 'k', 'second', MINUTE_MS)
    assert.equal(await b.cache.get('s', 'k'), 'second', 'a node sees its own write at once')
    for (const { cache } of [a, c]) await until(async () => (await cache.get('s', 'k')) === 'second')
    await a.cache.delete('s', 'k')
    for (const { cache } of [a, b, c]) await until(async () => (await cache.get('s', 'k')) === undefined)
    await a.cache.set('s', 'k', 'third', MINUTE_MS)
    for (const { cache } of [a, b, c]) assert.equal(await cache.get('s', 'k'), 'third')
    await c.cache.clear('s')
    for (const { cache } of [a, b, c]) await until(async () => (await cache.get('s', 'k')) === undefined)
    for (const { recorder } of [a, b, c])
      assert.deepEqual(recorder.messages(), ['INFO Redis is in use as the shared cache'])
  })
})

testWithRedis('changes raced by reads never leave an old copy behind', async () => {
  await withNodes(NO_OUTAGE, 2, async (a, b) => {
    for (let round = 1; round <= 200; round++) {
      const reads = [b.cache.get('s', 'k'), b.cache.get('s', 'k')]
      await a.cache.set('s', 'k', round, MINUTE_MS)
      await Promise.all([...reads, b.cache.get('s', 'k')])
      await until(async () => (await b.cache.get('s', 'k')) === round)
    }
  })
})

testWithRedis('a change made while a node was cut off reaches it with the new connection', async () => {
  await withNodes(OUTAGE, 1, async ({ cache, recorder }) => {
    await cache.set('s', 'k', 'old', MINUTE_MS)
    assert.equal(await cache.get('s', 'k'), 'old')
    const back = recorder.next(IN_USE)
    await withControl(async (control) => {
      const cutOff = ['CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes']
      await control
        .multi()
        .addCommand(cutOff)
        .set('p2p:cache:s:k', '"new"', { expiration: { type: 'EX', value: 60 } })
        .exec()
      await back
    })
    assert.equal(await cache.get('s', 'k'), 'new')
  })
})

testWithRedis('a copy is served without asking Redis, also while Redis hangs', async () => {
  await withNodes(OUTAGE, 1, async ({ cache, recorder }) => {
    await cache.set('s', 'k', 1, MINUTE_MS)
    await cache.get('s', 'k')
    server.hang()
    try {
      assert.equal(await cache.get('s', 'k'), 1)
      assert.equal(cache.stats().redis?.isReady, true, 'Redis was not even asked')
      const away = recorder.next(AWAY)
      assert.equal(await cache.get('s', 'unknown'), undefined)
      await away
      assert.equal(cache.stats().redis?.isReady, false)
      assert.equal(await cache.get('s', 'k'), 1)
      assert.equal(await cache.getOrCompute('s', 'own', MINUTE_MS, () => 2), 2)
      assert.equal(await cache.get('s', 'own'), 2)
    } finally {
      server.resume()
    }
    await recorder.next(IN_USE)
    assert.equal(cache.stats().redis?.isReady, true)
    assert.equal(recorder.entries.length, 3, 'one line per change of state')
  })
})

testWithRedis('what was changed while Redis was away is not seen in its old form afterwards', async () => {
  await withNodes(OUTAGE, 2, async (a, b) => {
    for (const key of ['deleted', 'replaced', 'kept']) await a.cache.set('s', key, 'old', MINUTE_MS)
    await a.cache.set('cleared', 'k', 'old', MINUTE_MS)
    const back = Promise.all([a, b].map(({ recorder }) => recorder.next(AWAY).then(() => recorder.next(IN_USE))))
    server.hang()
    try {
      await Promise.all([a, b].map(({ cache }) => cache.get('s', 'opens the circuit')))
      await a.cache.delete('s', 'deleted')
      await a.cache.set('s', 'replaced', 'new', MINUTE_MS)
      await a.cache.clear('cleared')
      assert.equal(await a.cache.get('s', 'replaced'), 'new')
    } finally {
      server.resume()
    }
    await back
    assert.equal(await b.cache.get('s', 'kept'), 'old', 'Redis did not lose its memory')
    for (const { cache } of [a, b]) {
      await until(async () => (await cache.get('s', 'deleted')) === undefined)
      await until(async () => (await cache.get('s', 'replaced')) !== 'old')
      await until(async () => (await cache.get('cleared', 'k')) === undefined)
    }
  })
})

testWithRedis('killed and started again in full use, no call fails and Redis is in use again', async () => {
  await withNodes(OUTAGE, 2, async (a, b) => {
    const over = new AbortController()
    let calls = 0
    const use = async ({ cache }: OpenedNode, worker: number): Promise<void> => {
      for (let index = 0; !over.signal.aborted; index++) {
        const key = String(index % 50)
        const value = await cache.getOrCompute('s', key, MINUTE_MS, () => ({ key }))
        assert.deepEqual(value, { key })
        if (index % 7 === worker) await cache.delete('s', key)
        if (index % 11 === worker) await cache.set('s', key, { key }, MINUTE_MS)
        if (index % 97 === worker) await cache.clear('s')
        calls++
        await new Promise((resolve) => setImmediate(resolve))
      }
    }
    const users = Promise.all([a, b].flatMap((node) => [0, 1, 2].map((worker) => use(node, worker))))
    for (let round = 0; round < 2; round++) {
      const gone = Promise.all([a, b].map(({ recorder }) => recorder.next(AWAY)))
      await server.kill()
      await gone
      const before = calls
      await until(async () => calls > before + 100)
      const back = Promise.all([a, b].map(({ recorder }) => recorder.next(IN_USE)))
      await server.start()
      await back
    }
    over.abort()
    await users
    const [inUse, away] = ['INFO Redis is in use as the shared cache', 'WARNING Redis is away']
    for (const { recorder } of [a, b]) assert.deepEqual(recorder.messages(), [inUse, away, inUse, away, inUse])
  })
})

testWithRedis('a node starts while Redis is away, works, and uses it once it is there', async () => {
  await server.kill()
  await withNodes(OUTAGE, 1, async ({ cache, recorder }) => {
    assert.deepEqual(cache.stats().redis, { server: server.address, isReady: false })
    assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, () => 1), 1)
    assert.equal(await cache.get('s', 'k'), 1)
    const back = recorder.next(IN_USE)
    await server.start()
    await back
    await cache.set('s', 'k', 2, MINUTE_MS)
    assert.equal(await withControl((control) => control.get('p2p:cache:s:k')), '2')
    assert.deepEqual(recorder.messages(), ['WARNING Redis is away', 'INFO Redis is in use as the shared cache'])
  })
})

testWithRedis('a node starts and stops while Redis hangs', async () => {
  server.hang()
  try {
    await withNodes(OUTAGE, 1, async ({ cache }) => {
      assert.equal(cache.stats().redis?.isReady, false)
      assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, () => 1), 1)
      assert.equal(await cache.get('s', 'k'), 1)
    })
  } finally {
    server.resume()
  }
})

testWithRedis('a wrong password is said once, without any password, and the node caches in memory', async () => {
  const recorder = new LogRecorder()
  const redisUrl = server.url.replace(PASSWORD, 'apfelbaum')
  const cache = createCache({ clock: NO_OUTAGE, log: recorder.log }, { redisUrl })
  await cache.start(never)
  assert.equal(await cache.getOrCompute('s', 'k', MINUTE_MS, () => 1), 1)
  assert.equal(await cache.get('s', 'k'), 1)
  await cache.stop()
  assert.deepEqual(recorder.messages(), ['WARNING Redis is away'])
  const text = JSON.stringify(recorder.entries)
  assert.match(text, /WRONGPASS/)
  assert.doesNotMatch(text, /baum/)
})

testWithRedis('a full Redis keeps nothing, forgets what it had under the key, and is said once', async () => {
  await withNodes(NO_OUTAGE, 1, async ({ cache, recorder }) => {
    await withControl(async (control) => {
      await cache.set('s', 'k', 'old', MINUTE_MS)
      await control.configSet('maxmemory', '1')
      try {
        await cache.set('s', 'k', 'new', MINUTE_MS)
        await cache.set('s', 'k', 'new', MINUTE_MS)
        assert.notEqual(await cache.get('s', 'k'), 'old')
        assert.equal(await control.exists('p2p:cache:s:k'), 0)
        assert.equal(cache.stats().redis?.isReady, true)
        assert.deepEqual(recorder.messages().slice(1), ['WARNING Redis refuses to keep values'])
      } finally {
        await control.configSet('maxmemory', '0')
      }
      await cache.set('s', 'k', 'new', MINUTE_MS)
      assert.equal(await cache.get('s', 'k'), 'new')
    })
  })
})

testWithRedis('what others put under our keys is not known to the cache', async () => {
  await withNodes(NO_OUTAGE, 1, async ({ cache, recorder }) => {
    await withControl(async (control) => {
      const expiration = { type: 'PX', value: MINUTE_MS } as const
      await control.set('p2p:cache:s:not-json', '{', { expiration })
      await control.set('p2p:cache:s:too-long', `"${'x'.repeat(2 ** 20)}"`, { expiration })
      await control.set('p2p:cache:s:endless', '1')
      await control.lPush('p2p:cache:s:list', '1')
      for (const key of ['not-json', 'too-long', 'endless', 'list'])
        assert.equal(await cache.get('s', key), undefined, key)
      await cache.set('s', 'list', 1, MINUTE_MS)
      assert.equal(await cache.get('s', 'list'), 1)
      await control.set('p2p:cache:s:list', '2', { expiration })
      await until(async () => (await cache.get('s', 'list')) === 2)
      await control.flushAll()
      await until(async () => (await cache.get('s', 'list')) === undefined)
      assert.equal(recorder.entries.length, 1, 'none of it is a reason to leave Redis')
    })
  })
})

testWithRedis('stop closes every connection, and what comes after it disturbs nobody', async () => {
  const node = createCache({ clock: NO_OUTAGE, log: silentLogger }, { redisUrl: server.url })
  await node.start(never)
  await node.set('s', 'k', 1, MINUTE_MS)
  const under = node.get('s', 'k')
  await node.stop()
  await node.stop()
  await under
  assert.equal(await node.get('s', 'k'), undefined)
  await withControl(async (control) => {
    await until(async () => (await control.clientList()).length === 1)
  })
})

const CACHED_SERVICE = `import { BaseService, serviceMethod } from 'p2p-core/service'
export class Run extends BaseService {
  static SERVICE_NAME = 'once'
  @serviceMethod({ description: 'Another answer each time it runs', public: true, cacheTtlMs: 60_000 })
  async get() { return { at: process.hrtime.bigint().toString() } }
}
`

test('the built program keeps results in Redis', { skip }, async (t) => {
  const home = makeHome(t)
  mkdirSync(join(home.directory, 'dist/services/once'), { recursive: true })
  writeFileSync(join(home.directory, 'dist/services/once/main.ts'), CACHED_SERVICE)
  const values = {
    port: await freeNodePort(),
    bind_address: '127.0.0.1',
    coordinator_mode: true,
    redis_url: server.url,
  }
  const node = startNode(t, home.config('coordinator-1', values))
  await node.ready()
  const ask = async (): Promise<string> => {
    const { code, stdout, stderr } = await p2p(['call', 'once/get', '--output', 'json'], { cwd: home.directory })
    assert.equal(code, 0, stderr)
    return stdout
  }
  await new Promise<void>((isInUse) => node.whenWritten(/Redis is in use/, isInUse))
  const first = await ask()
  assert.equal(await ask(), first)
  await withControl(async (control) => {
    const keys = await control.keys('p2p:cache:rpc:*')
    assert.ok(
      keys.some((key) => decodeURIComponent(key).startsWith('p2p:cache:rpc:coordinator-1/once/get@')),
      keys.join(),
    )
  })
})
