import assert from 'node:assert/strict'
import { type TestContext, test } from 'node:test'
import type { CaRotation } from '../../src/base/enrolment.ts'
import { callMethod, getJson, type Login, signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, type NodeProcess, p2p, startNode } from './support/node-process.ts'

interface Node {
  url: string
  file: string
  process: NodeProcess
}

interface Cluster {
  nodes: Record<string, Node>
  login: Login
  /** Whoever signed in under a root knows the next one too, but not the one after that. */
  signInAgain: () => Promise<void>
  run: (...args: string[]) => Promise<{ code: number; stdout: string; stderr: string }>
  status: () => Promise<CaRotation>
  restart: (nodeId: string) => Promise<void>
}

const FAILURES_SHOWN = 5
const COORDINATOR = 'coordinator-1'
const WORKERS = ['worker-1', 'worker-2']

async function startCluster(t: TestContext): Promise<Cluster> {
  const home = makeHome(t)
  const nodes: Record<string, Node> = {}
  const seed = `127.0.0.1:${await freePort()}`
  for (const nodeId of [COORDINATOR, ...WORKERS]) {
    const port = nodeId === COORDINATOR ? Number(seed.split(':')[1]) : await freePort()
    const isCoordinator = nodeId === COORDINATOR
    const file = home.config(nodeId, {
      port,
      bind_address: '127.0.0.1',
      rate_limit_enabled: false,
      ...(isCoordinator ? { coordinator_mode: true } : { coordinator_addresses: [seed] }),
    })
    const process = startNode(t, file)
    nodes[nodeId] = { url: `https://127.0.0.1:${port}`, file, process }
    await process.ready()
  }
  const cwd = home.directory
  const run = (...args: string[]) => p2p(args, { cwd })
  const { operatorFile } = await (nodes[COORDINATOR] as Node).process.ready()
  const cluster: Cluster = {
    nodes,
    login: { caCertificate: '', accessToken: '' },
    signInAgain: async () => {
      cluster.login = await signIn((nodes[COORDINATOR] as Node).url, operatorFile as string)
      const signedIn = await run('login')
      assert.equal(signedIn.code, 0, signedIn.stderr)
    },
    run,
    status: async () => {
      const api = { ...cluster.login, url: (nodes[COORDINATOR] as Node).url }
      return (await getJson<{ rotation: CaRotation }>(api, '/api/ca/rotation')).rotation
    },
    restart: async (nodeId) => {
      const node = nodes[nodeId] as Node
      await node.process.exited
      node.process = startNode(t, node.file)
      await node.process.ready()
    },
  }
  await cluster.signInAgain()
  return cluster
}

/** Calls from each worker to the other, one after the other without a pause, until they are ended. */
function callAround(
  t: TestContext,
  { nodes, login }: Cluster,
): { end: () => Promise<{ made: number; failed: string[] }> } {
  /** The first ones; more would say the same. */
  const failed: string[] = []
  let made = 0
  const ending = new AbortController()
  const loop = async (from: string, to: string): Promise<void> => {
    const api = { ...login, url: (nodes[from] as Node).url }
    while (!ending.signal.aborted) {
      made++
      await callMethod(api, { method: 'system/get_system_info', node: to, timeoutMs: 10_000 }).catch(
        (error: unknown) => {
          if (failed.length < FAILURES_SHOWN) failed.push(`${from} to ${to}: ${String(error)}`)
        },
      )
    }
  }
  t.after(() => ending.abort())
  const loops = [loop('worker-1', 'worker-2'), loop('worker-2', 'worker-1')]
  return {
    end: async () => {
      ending.abort()
      await Promise.all(loops)
      return { made, failed }
    },
  }
}

const until = (cluster: Cluster, isEnough: (rotation: CaRotation) => boolean): Promise<CaRotation> =>
  eventually(() => cluster.status().catch(() => ({ phase: 'unreachable' }) as never), isEnough, 400)

test('the root of a cluster in use is exchanged without a failed call, the coordinator killed in each phase', {
  timeout: 120_000,
}, async (t) => {
  const cluster = await startCluster(t)
  const { nodes, run, status, restart } = cluster
  const coordinator = nodes[COORDINATOR] as Node

  await t.test('undisturbed', async (t) => {
    const calls = callAround(t, cluster)
    const begun = await run('ca', 'rotate', '--root', '--yes')
    assert.equal(begun.code, 0, begun.stderr)
    const rotation = await until(cluster, ({ phase }) => phase === 'done')
    const { made, failed } = await calls.end()
    assert.deepEqual(failed, [])
    assert.ok(made > 0)
    assert.deepEqual([rotation.nodes_total, rotation.nodes_followed], [3, 3])
    assert.notEqual(rotation.old_fingerprint, rotation.new_fingerprint)
    const shown = await run('ca', 'rotate', 'status')
    assert.match(shown.stdout, /done: the old CA is trusted no more/)
    assert.match(shown.stdout, /3 of 3 nodes/)
  })

  await t.test('killed in each phase', async (t) => {
    // A new process has nothing written yet.
    coordinator.process.kill('SIGTERM')
    await restart(COORDINATOR)
    await cluster.signInAgain()
    const calls = callAround(t, cluster)
    const { new_fingerprint: before } = await status()
    for (const phase of ['distributing', 'renewing', 'dropping']) {
      coordinator.process.whenWritten(new RegExp(`rotation of the CA.*${phase}`), () =>
        coordinator.process.kill('SIGKILL'),
      )
      if (phase === 'distributing') await run('ca', 'rotate', '--root', '--yes')
      await restart(COORDINATOR)
    }
    const rotation = await until(cluster, ({ phase }) => phase === 'done')
    const { made, failed } = await calls.end()
    assert.deepEqual(failed, [])
    assert.ok(made > 0)
    assert.equal(rotation.old_fingerprint, before)
    assert.deepEqual(rotation.left_behind, [])
  })

  await t.test('a node that is away is named and waited for; left behind, it comes back by itself', async () => {
    await cluster.signInAgain()
    const worker = nodes['worker-2'] as Node
    await worker.process.stop()
    assert.equal((await run('ca', 'rotate', '--root', '--yes')).code, 0)
    const waiting = await until(cluster, (rotation) => rotation.waiting_for.length === 1)
    assert.deepEqual(waiting.waiting_for, [{ node_id: 'worker-2', status: 'left', missing: 'trust' }])
    assert.equal(waiting.phase, 'distributing')
    const again = await run('ca', 'rotate', '--root', '--yes')
    assert.notEqual(again.code, 0)
    assert.match(again.stderr, /being rotated already/)
    const refused = await run('ca', 'rotate', 'finish')
    assert.notEqual(refused.code, 0)
    assert.match(refused.stderr, /worker-2 \(left\)/)
    assert.equal((await run('ca', 'rotate', 'finish', '--force', '--yes')).code, 0)
    const rotation = await until(cluster, ({ phase }) => phase === 'done')
    assert.deepEqual(rotation.left_behind, ['worker-2'])
    await restart('worker-2')
    await cluster.signInAgain()
    const list = async (): Promise<{ node_id: string; status: string }[]> =>
      JSON.parse((await run('nodes', '--output', 'json')).stdout)
    await eventually(list, (rows) => rows.some((row) => row.node_id === 'worker-2' && row.status === 'alive'))
    const call = await run('call', 'system/get_system_info', '--node', 'worker-2')
    assert.equal(call.code, 0, call.stderr)
  })

  await t.test('the issuing CA alone', async (t) => {
    const calls = callAround(t, cluster)
    assert.equal((await run('ca', 'rotate', '--issuing', '--yes')).code, 0)
    const rotation = await until(cluster, ({ kind, phase }) => kind === 'issuing' && phase === 'done')
    assert.deepEqual((await calls.end()).failed, [])
    assert.deepEqual(rotation.waiting_for, [])
  })
})
