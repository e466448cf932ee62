import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { platform } from 'node:process'
import { type TestContext, test } from 'node:test'
import { ended, healthyByNode, send, statusOf, succeeded, upload } from './support/deployments.ts'
import { callMethod, type NodeApi, signIn } from './support/node-api.ts'
import { eventually, freePort, type Home, makeHome, type NodeProcess, startNode } from './support/node-process.ts'

const CANARY = 'canary-4f1d-in-memory-only'

interface Cluster {
  home: Home
  /** Of each node, as the operator. */
  apis: Record<string, NodeApi>
  nodes: Record<string, NodeProcess>
  coordinator: NodeApi
  start(nodeId: string): Promise<void>
}

async function startCluster(t: TestContext): Promise<Cluster> {
  const home = makeHome(t)
  const port = await freePort()
  const files: Record<string, string> = {
    c1: home.config('c1', {
      port,
      bind_address: '127.0.0.1',
      coordinator_mode: true,
      rate_limit_enabled: false,
    }),
  }
  const nodes: Record<string, NodeProcess> = {}
  const apis: Record<string, NodeApi> = {}
  nodes['c1'] = startNode(t, files['c1'] as string)
  const { url, operatorFile } = await nodes['c1'].ready()
  const login = await signIn(url, operatorFile as string)
  apis['c1'] = { ...login, url }
  const start = async (nodeId: string): Promise<void> => {
    const node = startNode(t, files[nodeId] as string)
    nodes[nodeId] = node
    apis[nodeId] = { ...login, url: (await node.ready()).url }
  }
  for (const nodeId of ['w1', 'w2']) {
    files[nodeId] = home.config(nodeId, {
      port: await freePort(),
      bind_address: '127.0.0.1',
      rate_limit_enabled: false,
      coordinator_addresses: [`127.0.0.1:${port}`],
      labels: { rack: nodeId === 'w1' ? 'a' : 'b' },
    })
  }
  await Promise.all(['w1', 'w2'].map(start))
  return { home, apis, nodes, coordinator: apis['c1'], start }
}

/** A service that tells its version, and a hash of its secret. */
function service(version: string, options: { isIll?: boolean } = {}): Record<string, string | object> {
  return {
    'manifest.json': { name: 'web', version, secrets: ['token'] },
    'main.ts': `
      import { createHash } from 'node:crypto'
      import { defineService, method } from 'p2p-core/service'
      export default defineService({
        name: 'web',
        version: '${version}',
        description: 'Tells what runs',
        initialize(service: { reportHealth(health: string, reason: string): void }) {
          ${options.isIll ? "service.reportHealth('failing', 'the database is not the one I know')" : ''}
        },
        methods: {
          tell: method({
            description: 'Tells version, secret and configuration',
            public: true,
            requiredRole: 'viewer',
            handler: (_params, { service }) => ({
              version: '${version}',
              secret: createHash('sha256').update(service.secrets.token).digest('hex'),
              colour: service.config.colour,
            }),
          }),
        },
      })
    `,
  }
}

function tell(api: NodeApi, node: string): Promise<{ version: string; secret: string; colour: string }> {
  return callMethod(api, { method: 'web/tell', node, timeoutMs: 10_000 }) as ReturnType<typeof tell>
}

test('a service is deployed, updated, taken back, moved, and outlives coordinator and node', {
  timeout: 240_000,
}, async (t) => {
  const cluster = await startCluster(t)
  const { coordinator: api, home, nodes } = cluster
  const folder = join(home.directory, 'web')
  const put = (body: object): Promise<unknown> => send(api, 'PUT', '/api/deployments/web', body)

  await t.test('deployed with a secret, on both workers', async () => {
    await send(api, 'PUT', '/api/secrets/token', { value: CANARY })
    const artifact = await upload(api, folder, service('1.0.0'))
    await put({
      artifact,
      count: 2,
      placement: { labels: { role: 'worker' } },
      healthy_ms: 200,
      config: { colour: 'red' },
    })
    await succeeded(api, 'web')
    assert.deepEqual(healthyByNode(await statusOf(api, 'web')), { w1: 1, w2: 1 })
    const secret = createHash('sha256').update(CANARY).digest('hex')
    for (const node of ['w1', 'w2'])
      assert.deepEqual(await tell(api, node), { version: '1.0.0', secret, colour: 'red' })
  })

  await t.test('with the secret in no argument, environment, log or file', { skip: platform !== 'linux' }, () => {
    const processes = Object.values(nodes).flatMap(({ pid }) => [pid, ...childrenOf(pid)])
    assert.ok(processes.length >= 5, 'three nodes and two services')
    for (const pid of processes) {
      for (const name of ['cmdline', 'environ']) {
        assert.ok(!readFileSync(`/proc/${pid}/${name}`, 'latin1').includes(CANARY), `${name} of ${pid}`)
      }
    }
    for (const node of Object.values(nodes)) assert.ok(!node.output().includes(CANARY))
    for (const path of filesBelow(home.directory)) assert.ok(!readFileSync(path, 'latin1').includes(CANARY), path)
  })

  await t.test('scaled', async () => {
    await send(api, 'POST', '/api/deployments/web/scale', { count: 3 })
    await succeeded(api, 'web')
    const byNode = healthyByNode(await statusOf(api, 'web'))
    assert.deepEqual(Object.values(byNode).sort(), [1, 2])
    await send(api, 'POST', '/api/deployments/web/scale', { count: 2 })
    await succeeded(api, 'web')
  })

  await t.test('updated with a canary that is ill, it returns by itself', async () => {
    const artifact = await upload(api, folder, service('1.1.0', { isIll: true }))
    await put({ artifact, update: { kind: 'canary', nodes: 1, watch_ms: 500, batch: 1 }, deadline_ms: 4_000 })
    const { state, reason } = await ended(api, 'web')
    assert.equal(state, 'rolled-back')
    assert.match(reason ?? '', /the database is not the one I know/)
    await eventually(
      () => Promise.all(['w1', 'w2'].map((node) => tell(api, node))),
      (told) => told.every(({ version }) => version === '1.0.0'),
    )
  })

  await t.test('updated, and rolled back by hand', async () => {
    await put({ artifact: await upload(api, folder, service('1.2.0')), config: { colour: 'blue' } })
    await succeeded(api, 'web')
    assert.equal((await tell(api, 'w1')).version, '1.2.0')
    await send(api, 'POST', '/api/deployments/web/rollback')
    await succeeded(api, 'web')
    const { version, colour } = await tell(api, 'w2')
    assert.deepEqual([version, colour], ['1.0.0', 'red'])
  })

  await t.test('moved off a node that is drained', async () => {
    await send(api, 'POST', '/api/nodes/w1/drain')
    await eventually(
      async () => healthyByNode(await statusOf(api, 'web')),
      (byNode) => byNode['w1'] === undefined && byNode['w2'] === 2,
    )
    await send(api, 'POST', '/api/nodes/w1/undrain')
  })

  await t.test('beside a job that runs once, by a program that ends', async () => {
    const artifact = await upload(api, join(home.directory, 'report'), {
      'manifest.json': {
        name: 'report',
        version: '1.0.0',
        kind: 'exec',
        exec: {
          command: process.execPath,
          args: ['-e', 'process.exit(Number(process.env.CODE))'],
          env: { CODE: '{config:code}' },
        },
        config: { code: 3 },
      },
    })
    const job = { kind: 'once', retries: 0 }
    const placement = { labels: { rack: 'a' } }
    const run = async (body: object, state: string): Promise<void> => {
      await send(api, 'PUT', '/api/deployments/report', { artifact, job, placement, ...body })
      await eventually(
        () => statusOf(api, 'report'),
        (status) => status.job?.runs[0]?.state === state,
      )
    }
    await run({}, 'failed')
    await run({ config: { code: 0 } }, 'succeeded')
    await send(api, 'DELETE', '/api/deployments/report')
  })

  await t.test('stopped and started on one node by a person', async () => {
    const control = (action: string): Promise<unknown> =>
      send(api, 'POST', '/api/dashboard/control-service', { worker_id: 'w2', service_name: 'web', action })
    await control('stop')
    await eventually(
      async () => healthyByNode(await statusOf(api, 'web')),
      (byNode) => byNode['w2'] === undefined,
    )
    await control('start')
    await eventually(
      async () => healthyByNode(await statusOf(api, 'web')),
      (byNode) => byNode['w2'] === 2,
    )
  })

  await t.test('killed with its node, it is back with exactly its instances, without a coordinator', async () => {
    await nodes['c1']?.stop()
    nodes['w2']?.kill('SIGKILL')
    await nodes['w2']?.exited
    await cluster.start('w2')
    const status = await eventually(
      () =>
        callMethod(cluster.apis['w1'] as NodeApi, { method: 'deploy_agent/get_agent_status', node: 'w2' }).catch(
          () => undefined,
        ) as Promise<{ report: { assignments: { instances: { state: string; health: string }[] }[] } } | undefined>,
      (answer) => answer?.report.assignments[0]?.instances.every(({ state }) => state === 'running') ?? false,
    )
    assert.equal(status?.report.assignments[0]?.instances.length, 2)
    assert.equal((await tell(cluster.apis['w1'] as NodeApi, 'w2')).version, '1.0.0')
  })

  await t.test('known to the coordinator when it is back', async () => {
    await cluster.start('c1')
    await eventually(
      async () => healthyByNode(await statusOf(cluster.apis['c1'] as NodeApi, 'web')),
      (byNode) => byNode['w2'] === 2 && byNode['w1'] === undefined,
    )
  })
})

function childrenOf(pid: number): number[] {
  const own = readdirSync(`/proc/${pid}/task`).flatMap((task) =>
    readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' ').filter(Boolean).map(Number),
  )
  return own.flatMap((child) => [child, ...childrenOf(child)])
}

function filesBelow(directory: string): string[] {
  return readdirSync(directory, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
}
