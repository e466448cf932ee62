import assert from 'node:assert/strict'
import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'
import { freePort, makeHome, P2P, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)

/** A coordinator and a worker on this host, and an operator who is logged in. */
async function startCluster(t: TestContext) {
  const home = makeHome(t)
  const port = await freePort()
  const place = { bind_address: '127.0.0.1' }
  const coordinator = startNode(t, home.config('coordinator-1', { ...place, port, coordinator_mode: true }))
  await coordinator.ready()
  const workerFile = home.config('worker-1', {
    ...place,
    port: await freePort(),
    coordinator_addresses: [`127.0.0.1:${port}`],
  })
  const startWorker = async () => {
    const worker = startNode(t, workerFile)
    await worker.ready()
    return worker
  }
  const worker = await startWorker()
  await coordinator.event('joined')
  const cwd = home.directory
  const login = await p2p(['login'], { cwd })
  assert.equal(login.code, 0, login.stderr)
  const curl = async (path: string, ...args: string[]): Promise<string> => {
    const curlrc = join(cwd, 'xdg/p2p/curlrc')
    return (await run('curl', ['-sS', '-K', curlrc, ...args, `https://127.0.0.1:${port}${path}`])).stdout
  }
  return { cwd, coordinator, worker, startWorker, curl }
}

/** A program that goes on until it is stopped; its output line by line. */
function startProgram(t: TestContext, command: string, args: string[], cwd: string) {
  const child = spawn(command, args, {
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, XDG_CONFIG_HOME: join(cwd, 'xdg') },
  })
  const exited = once(child, 'close').then(([code]) => code as number)
  t.after(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
  return {
    child,
    exited,
    /** The next line that satisfies. */
    async line(isWanted: (line: string) => boolean): Promise<string> {
      for (;;) {
        const { value, done } = await lines.next()
        if (done) throw new Error(`${command} ended`)
        if (isWanted(value)) return value
      }
    },
  }
}

const indexIn = (head: string): string => /^x-p2p-index: (\d+)\r?$/im.exec(head)?.[1] as string

test('a change is seen by who watches, in every way there is, over HTTP/2 and HTTP/1.1', async (t) => {
  const { cwd, coordinator, worker, startWorker, curl } = await startCluster(t)
  const isOf = (status: string, previous?: string) => (line: string) =>
    line.includes('"event":"member"') &&
    line.includes(`"status":"${status}"`) &&
    line.includes('"node_id":"worker-1"') &&
    (previous === undefined || line.includes(`"previous_status":"${previous}"`))

  const watch = startProgram(t, process.execPath, [P2P, 'nodes', '--watch', '--output', 'json'], cwd)
  const snapshot = JSON.parse(await watch.line((line) => line.includes('"event":"snapshot"'))) as {
    index: number
    nodes: { node_id: string }[]
  }
  assert.deepEqual(snapshot.nodes.map(({ node_id }) => node_id).sort(), ['coordinator-1', 'worker-1'])

  await t.test('long polls wait and are answered by the change', async () => {
    const index = indexIn(await curl('/cluster/nodes', '-i'))
    const polls = ['--http2', '--http1.1'].map((version) =>
      curl(`/cluster/nodes?index=${index}&wait=60s`, '-i', version),
    )
    worker.kill('SIGKILL')
    for (const answer of await Promise.all(polls)) {
      assert.ok(Number(indexIn(answer)) > Number(index), answer)
      assert.match(answer, /"node_id":"worker-1"/)
    }
  })

  await t.test('the command line tells how the worker dies and comes back', async () => {
    await watch.line(isOf('dead'))
    const back = startWorker()
    await watch.line(isOf('alive', 'dead'))
    await back
  })

  await t.test('a stream goes on after the event it is told, over HTTP/2 and HTTP/1.1', async () => {
    for (const version of ['--http2', '--http1.1']) {
      const stream = startProgram(
        t,
        'curl',
        [
          '-sSN',
          '-K',
          join(cwd, 'xdg/p2p/curlrc'),
          version,
          '-H',
          `last-event-id: ${snapshot.index}`,
          `${coordinatorUrl(coordinator)}/cluster/events`,
        ],
        cwd,
      )
      assert.equal(await stream.line((line) => line.startsWith('event: ')), 'event: member')
      assert.equal(await stream.line((line) => line.startsWith('id: ')), `id: ${snapshot.index + 1}`)
      stream.child.kill('SIGTERM')
      await stream.exited
    }
  })

  await t.test('p2p gossip tells of this node and of another', async () => {
    for (const [args, nodeId, peer] of [
      [[], 'coordinator-1', 'worker-1'],
      [['--node', 'worker-1'], 'worker-1', 'coordinator-1'],
    ] as const) {
      const { code, stdout, stderr } = await p2p(['gossip', ...args, '--output', 'json'], { cwd })
      assert.equal(code, 0, stderr)
      const stats = JSON.parse(stdout) as { node_id: string; sent: { bytes: number }; sessions: { node_id: string }[] }
      assert.equal(stats.node_id, nodeId)
      assert.ok(stats.sent.bytes > 0)
      assert.ok(
        stats.sessions.some(({ node_id }) => node_id === peer),
        stdout,
      )
    }
    const text = await p2p(['gossip'], { cwd })
    assert.match(text.stdout, /^Health +\d/m)
  })

  await t.test('a node that stops answers who waits, and its stop is not delayed', async () => {
    const index = indexIn(await curl('/cluster/nodes', '-i'))
    const polled = curl(`/cluster/nodes?index=${index}&wait=10m`, '-i')
    // The poll may come before or after the node has begun to stop: it is answered or told so, never left hanging.
    assert.equal(await coordinator.stop(), 0)
    assert.match(await polled.catch((error: Error) => error.message), /HTTP\/2 (200|503)|Failed to connect|reset/)
    watch.child.kill('SIGINT')
    assert.equal(await watch.exited, 0)
  })
})

function coordinatorUrl(coordinator: ReturnType<typeof startNode>): string {
  const ready = coordinator.events.find((event) => event.type === 'ready')
  return (ready as { url: string }).url
}
