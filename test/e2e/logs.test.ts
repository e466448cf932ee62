import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { callMethod, getJson, type NodeApi, signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, P2P, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)

interface LogLine {
  node_id: string
  level: string
  logger_name: string
  message: string
  fields: Record<string, unknown>
  seq: number
}

interface Page {
  logs: LogLine[]
  total: number
  nodes: string[]
  next_cursor: number | null
  cleared: number
  status?: number
}

/** A service that writes as many lines as it is told, numbered on. */
const TALKER = `
let last = 0
import { defineService, method, z } from 'p2p-core/service'
export default defineService({
  name: 'talker',
  version: '1.0.0',
  description: 'Talks',
  methods: {
    talk: method({
      description: 'Writes lines from one number to another',
      public: true,
      params: z.object({ from: z.number(), to: z.number() }),
      handler({ from, to }, call) {
        // A call that is made again because its answer was lost writes nothing twice.
        for (; last < to; last++) if (last + 1 >= from) call.service.logger.info('line ' + (last + 1))
        return {}
      },
    }),
  },
})
`

function addTalker(home: { directory: string }): void {
  const folder = join(home.directory, 'dist/services/talker')
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'main.js'), TALKER)
}

test('the log of the cluster is on the coordinator: read, searched, followed and cleared there', async (t) => {
  const home = makeHome(t)
  addTalker(home)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1', max_log_entries: 200 }
  const coordinator = startNode(t, home.config('coordinator-1', { ...common, port, coordinator_mode: true }))
  const { operatorFile, url } = await coordinator.ready()
  assert.ok(operatorFile)
  const seeds = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
  const worker = startNode(t, home.config('worker-1', { ...common, ...seeds }))
  await worker.ready()
  await worker.event('joined')
  const cwd = home.directory
  const login = await p2p(['login'], { cwd })
  assert.equal(login.code, 0, login.stderr)
  const api: NodeApi = { url, ...(await signIn(url, operatorFile)) }

  const curl = async (path: string, ...more: string[]) => {
    const address = `https://127.0.0.1:${port}${path}`
    const { stdout } = await run('curl', ['-sS', '-K', join(cwd, 'xdg/p2p/curlrc'), ...more, address])
    return JSON.parse(stdout) as Page
  }

  /** Until the service is up. */
  const talk = (params: object): Promise<unknown> =>
    eventually(
      () => callMethod(api, { method: 'talker/talk', params, node: 'worker-1' }).catch(() => undefined),
      (answer) => answer !== undefined,
    )

  await t.test('the documented curl lines answer', async () => {
    const theirs = await eventually(
      () => curl('/api/logs?node_id=worker-1&search=starting'),
      ({ logs }) => logs.some(({ message }) => message === 'Starting'),
    )
    assert.deepEqual(theirs.nodes, ['coordinator-1', 'worker-1'])
    assert.ok(theirs.logs.every(({ node_id }) => node_id === 'worker-1'))
    const own = await curl('/api/logs?limit=1000')
    for (const node of ['coordinator-1', 'worker-1']) {
      assert.ok(own.logs.some(({ node_id, message }) => node_id === node && message === 'Starting'))
    }
    assert.equal((await curl('/api/logs?node_id=worker-1&level=CRITICAL&limit=100')).total, 0)
    const named = await curl('/api/logs?logger_name=GOSSIP&limit=50')
    assert.ok(named.logs.every(({ logger_name }) => logger_name === 'Gossip'))
  })

  await t.test('lines of a service are there, numbered on by its node', async () => {
    await talk({ from: 1, to: 3 })
    const { logs } = await eventually(
      () => getJson<Page>(api, '/api/logs?node_id=worker-1&search=line&logger_name=talker'),
      (page) => page.total === 3,
    )
    assert.deepEqual(
      logs.map(({ message }) => message),
      ['line 3', 'line 2', 'line 1'],
    )
    assert.ok(logs.every(({ seq }, index) => seq === (logs[0]?.seq ?? 0) - index))
  })

  await t.test('p2p logs shows them to a person', async () => {
    const { code, stdout, stderr } = await p2p(['logs', '--node', 'worker-1', '--grep', 'starting'], { cwd })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^\S+Z INFO {5}worker-1 p2p: Starting node_id=worker-1 role=worker /m)
    const none = await p2p(['logs', '--node', 'worker-2'], { cwd })
    assert.equal(none.code, 1, none.stdout)
    assert.match(none.stderr, /No node worker-2 is known here.*did you mean worker-1\?/)
  })

  await t.test('p2p logs -f goes on with each new line, once', async () => {
    const child = spawn(process.execPath, [P2P, 'logs', '-f', '--grep', 'line', '--output', 'json'], {
      cwd,
      env: { ...process.env, XDG_CONFIG_HOME: join(cwd, 'xdg') },
    })
    t.after(() => child.kill('SIGKILL'))
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    const seen = (): string[] =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line) => (JSON.parse(line) as LogLine).message)
    await eventually(
      async () => seen().length,
      (count) => count === 3,
    )
    await talk({ from: 4, to: 60 })
    await eventually(
      async () => seen().length,
      (count) => count >= 60,
    )
    assert.deepEqual(
      seen(),
      Array.from({ length: 60 }, (_, i) => `line ${i + 1}`),
    )
    child.kill('SIGINT')
  })

  await t.test('DELETE empties the log of a node and leaves who did it', async () => {
    const { cleared } = await curl('/api/logs?node_id=worker-1', '-X', 'DELETE')
    assert.ok(cleared > 0)
    assert.equal((await curl('/api/logs?node_id=worker-1')).total, 0)
    const { logs } = await eventually(
      () => curl('/api/logs?search=cleared'),
      ({ total }) => total > 0,
    )
    assert.match(String(logs[0]?.fields['by']), /^person:/)
    assert.deepEqual([logs[0]?.node_id, logs[0]?.fields['node']], ['coordinator-1', 'worker-1'])
  })
})

test('coordinator killed, worker killed, both back: every line is there once, in order', async (t) => {
  const home = makeHome(t)
  addTalker(home)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1' }
  const coordinatorFile = home.config('coordinator-1', { ...common, port, coordinator_mode: true })
  let coordinator = startNode(t, coordinatorFile)
  const { operatorFile, url } = await coordinator.ready()
  assert.ok(operatorFile)
  const seeds = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
  const workerFile = home.config('worker-1', { ...common, ...seeds })
  let worker = startNode(t, workerFile)
  const { url: workerUrl } = await worker.ready()
  await worker.event('joined')
  const login = await signIn(url, operatorFile)
  const api: NodeApi = { url, ...login }
  const workerApi: NodeApi = { url: workerUrl, ...login }
  let last = 0
  const talk = async (count: number): Promise<void> => {
    const params = { from: last + 1, to: last + count }
    await eventually(
      () =>
        callMethod(workerApi, { method: 'talker/talk', params }).then(
          () => 'talked',
          (error: unknown) => String(error),
        ),
      (outcome) => outcome === 'talked',
    )
    last += count
  }
  const written = (): Promise<unknown> =>
    eventually(
      () => callMethod(workerApi, { method: 'log_collector/get_stats' }),
      (stats) => (stats as { spool: { unwritten: number } }).spool.unwritten === 0,
    )

  for (let round = 0; round < 3; round++) await talk(60)
  coordinator.kill('SIGKILL')
  await coordinator.exited
  for (let round = 0; round < 3; round++) await talk(60)
  await written()
  worker.kill('SIGKILL')
  await worker.exited
  worker = startNode(t, workerFile)
  await worker.ready()
  coordinator = startNode(t, coordinatorFile)
  await coordinator.ready()
  // Its token key comes to the worker again with the coordinator's record.
  await talk(60)
  const { logs } = await eventually(
    () => getJson<Page>(api, '/api/logs?node_id=worker-1&search=line&logger_name=talker&limit=1000'),
    ({ total }) => total >= last,
  )
  assert.deepEqual(
    logs.map(({ message }) => message).toReversed(),
    Array.from({ length: last }, (_, i) => `line ${i + 1}`),
  )
})
