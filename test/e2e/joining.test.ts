import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import { eventually, freePort, type Home, makeHome, p2p, startNode } from './support/node-process.ts'

/** Coordinator and worker have homes, plots and operators of their own, as two machines would. */
async function startCoordinator(t: TestContext): Promise<{ home: Home; port: number }> {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  const node = startNode(t, file)
  await node.ready()
  const login = await p2p(['login'], { cwd: home.directory })
  assert.equal(login.code, 0, login.stderr)
  return { home, port }
}

async function workerConfig(t: TestContext, port: number, nodeId: string): Promise<string> {
  return makeHome(t).config(nodeId, {
    port: await freePort(),
    bind_address: '127.0.0.1',
    coordinator_addresses: [`127.0.0.1:${port}`],
  })
}

async function createToken(home: Home, ...options: string[]): Promise<string> {
  const { code, stdout, stderr } = await p2p(['token', 'create', ...options, '--output', 'json'], {
    cwd: home.directory,
  })
  assert.equal(code, 0, stderr)
  return (JSON.parse(stdout) as { token: string }).token
}

test('joining another machine', async (t) => {
  const { home, port } = await startCoordinator(t)
  const cwd = home.directory

  await t.test('with a token: one line, no question; the token is used up by it', async () => {
    const token = await createToken(home)
    const first = startNode(t, await workerConfig(t, port, 'edge-1'), { env: { P2P_JOIN_TOKEN: token } })
    await first.ready()
    const second = startNode(t, await workerConfig(t, port, 'edge-2'), { env: { P2P_JOIN_TOKEN: token } })
    assert.equal(await second.exited, 77)
    assert.match(second.output(), /P2P_PKI_TOKEN_/)
    assert.doesNotMatch(first.output() + second.output(), new RegExp(token), 'no token in any output')
  })

  await t.test('with a wrong token: refused by name', async () => {
    const token = await createToken(home)
    const wrong = `${token.slice(0, -4)}${token.endsWith('aaaa') ? 'bbbb' : 'aaaa'}`
    const node = startNode(t, await workerConfig(t, port, 'edge-3'), { env: { P2P_JOIN_TOKEN: wrong } })
    assert.equal(await node.exited, 77)
    assert.match(node.output(), /P2P_PKI_TOKEN_INVALID/)
  })

  await t.test('with the token of another cluster: the coordinator is not trusted', async (t) => {
    const other = await startCoordinator(t)
    const token = await createToken(other.home)
    const node = startNode(t, await workerConfig(t, port, 'edge-4'), { env: { P2P_JOIN_TOKEN: token } })
    assert.equal(await node.exited, 77)
    assert.match(node.output(), /P2P_PKI_UNTRUSTED_COORDINATOR/)
  })

  await t.test('with nothing: pending until a person approves the fingerprint it shows', async () => {
    const node = startNode(t, await workerConfig(t, port, 'edge-5'))
    const pending = await node.event('pending')
    const list = await p2p(['nodes', 'pending', '--output', 'json'], { cwd })
    const rows = JSON.parse(list.stdout) as { node_id: string; fingerprint: string }[]
    assert.equal(rows.find((row) => row.node_id === 'edge-5')?.fingerprint, pending.fingerprint)
    const mistaken = await p2p(['nodes', 'approve', 'edge-5', '--fingerprint', '0'.repeat(64)], { cwd })
    assert.notEqual(mistaken.code, 0)
    const approved = await p2p(['nodes', 'approve', 'edge-5', '--fingerprint', pending.fingerprint], { cwd })
    assert.equal(approved.code, 0, approved.stderr)
    await node.ready()
  })

  await t.test('a node id that is taken stays with its first key', async () => {
    const token = await createToken(home)
    const node = startNode(t, await workerConfig(t, port, 'edge-1'), { env: { P2P_JOIN_TOKEN: token } })
    assert.notEqual(await node.exited, 0)
    assert.match(node.output(), /P2P_PKI_NODE_ID_TAKEN/)
  })

  await t.test('before the coordinator is there: it keeps trying, says so, and joins when it comes', async (t) => {
    const later = makeHome(t)
    const laterPort = await freePort()
    const file = later.config('worker-1', {
      port: await freePort(),
      bind_address: '127.0.0.1',
      coordinator_addresses: [`127.0.0.1:${laterPort}`],
    })
    const worker = startNode(t, file)
    await worker.event('unreachable')
    startNode(t, later.config('coordinator-1', { port: laterPort, bind_address: '127.0.0.1', coordinator_mode: true }))
    await worker.ready()
  })

  await t.test('p2p nodes shows all that joined', async () => {
    const ask = async (): Promise<string[]> => {
      const { stdout } = await p2p(['nodes', '--output', 'json'], { cwd })
      return (JSON.parse(stdout) as { node_id: string; status: string }[])
        .filter((row) => row.status === 'alive')
        .map((row) => row.node_id)
        .sort()
    }
    await eventually(ask, (ids) => ids.join() === 'coordinator-1,edge-1,edge-5')
  })
})
