import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLeftOut } from './support/left-out.ts'
import { makeHosts } from './support/namespaces.ts'
import { eventually, makeHome, p2p, startNode } from './support/node-process.ts'

test('coordinator and workers on three subnets with a router between', {
  skip: isLeftOut('network namespaces') && 'no network namespaces here',
}, async (t) => {
  const [first, second, third] = makeHosts(t, 3)
  assert.ok(first && second && third)
  const home = makeHome(t)
  const cwd = home.directory
  const coordinator = startNode(t, home.config('coordinator-1', { port: 8001, coordinator_mode: true }), {
    prefix: first.prefix,
  })
  const { url } = await coordinator.ready()
  assert.equal(url, `https://${first.address}:8001`)
  const login = await p2p(['login'], { cwd, prefix: first.prefix })
  assert.equal(login.code, 0, login.stderr)

  // Each worker has a home of its own, as another machine would: it knows a token and an address.
  for (const [nodeId, host] of [
    ['worker-1', second],
    ['worker-2', third],
  ] as const) {
    const created = await p2p(['token', 'create', '--output', 'json'], { cwd, prefix: first.prefix })
    assert.equal(created.code, 0, created.stderr)
    const file = makeHome(t).config(nodeId, {
      port: 8002,
      challenge_port: 8802,
      coordinator_addresses: [`${first.address}:8001`],
    })
    const node = startNode(t, file, {
      prefix: host.prefix,
      env: { P2P_JOIN_TOKEN: (JSON.parse(created.stdout) as { token: string }).token },
    })
    assert.equal((await node.ready()).url, `https://${host.address}:8002`)
  }

  const alive = async (): Promise<string[]> => {
    const { stdout } = await p2p(['nodes', '--output', 'json'], { cwd, prefix: first.prefix })
    return (JSON.parse(stdout) as { node_id: string; status: string }[])
      .filter((row) => row.status === 'alive')
      .map((row) => row.node_id)
      .sort()
  }
  await eventually(alive, (ids) => ids.join() === 'coordinator-1,worker-1,worker-2')
  for (const nodeId of ['worker-1', 'worker-2']) {
    const call = await p2p(['call', 'system/get_system_info', '--node', nodeId, '--output', 'json'], {
      cwd,
      prefix: first.prefix,
    })
    assert.equal(call.code, 0, call.stderr)
    assert.equal((JSON.parse(call.stdout) as { node_id: string }).node_id, nodeId)
  }
})
