import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { type DeploymentStatus, healthyByNode, send, statusOf, succeeded, upload } from './support/deployments.ts'
import { callMethod, signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, startNode } from './support/node-process.ts'

/** A service of TypeScript: `initialize` is what it does before it is ready. */
function service(name: string, initialize: string, methods = ''): Record<string, string | object> {
  return {
    'manifest.json': { name, version: '1.0.0' },
    'main.ts': `
      import { defineService, method, type ServiceContext } from 'p2p-core/service'
      export default defineService({
        name: '${name}',
        version: '1.0.0',
        description: 'One of several that need each other',
        async initialize(service: ServiceContext) { ${initialize} },
        methods: { ${methods} },
      })
    `,
  }
}

/** Says that it is ill until somebody opens it, and refuses to be read until then. */
const LEDGER = service(
  'ledger',
  `service.reportHealth('failing', 'nobody has opened it')`,
  `open: method({
    description: 'Makes it well',
    public: true,
    handler(_params, { service }) {
      Object.assign(globalThis, { isOpen: true })
      service.reportHealth('healthy')
    },
  }),
  read: method({
    description: 'Answers when somebody has opened it',
    public: true,
    handler() {
      if (!('isOpen' in globalThis)) throw new Error('closed')
      return 'open'
    },
  })`,
)

/** Starts only where the ledger answers: had it been begun too early, it would have ended, and its deployment would have failed. */
const SHOP = service(
  'shop',
  `await service.proxy.ledger.read()`,
  `sell: method({ description: 'Sells', public: true, handler: () => 'sold' })`,
)

/** A job that needs the shop, and ends well when it has answered. */
const REPORT = service('report', `await service.proxy.shop.sell(); process.exit(0)`)

test('services wait for those they need, spread over labels, and a cron job runs behind them', {
  timeout: 240_000,
}, async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1', rate_limit_enabled: false }
  const coordinator = startNode(
    t,
    home.config('c1', { ...common, port, coordinator_mode: true, labels: { zone: 'east' } }),
  )
  const { url, operatorFile } = await coordinator.ready()
  const api = { ...(await signIn(url, operatorFile as string)), url }
  await Promise.all(
    ['w1', 'w2'].map(async (nodeId) => {
      const config = { ...common, coordinator_addresses: [`127.0.0.1:${port}`], labels: { zone: 'west' } }
      await startNode(t, home.config(nodeId, { ...config, port: await freePort() })).ready()
    }),
  )
  const artifacts: Record<string, string> = {}
  for (const [name, files] of Object.entries({ ledger: LEDGER, shop: SHOP, report: REPORT })) {
    artifacts[name] = await upload(api, join(home.directory, name), files)
  }
  const deploy = async (name: string, wish: object): Promise<void> => {
    const times = { healthy_ms: 0, deadline_ms: 600_000 }
    await send(api, 'PUT', `/api/deployments/${name}`, { artifact: artifacts[name], ...times, ...wish })
  }
  const until = (name: string, isSo: (status: DeploymentStatus) => boolean): Promise<DeploymentStatus> =>
    eventually(() => statusOf(api, name), isSo, 600)

  await t.test('what it needs must be there', async () => {
    const dependsOn = [{ service: 'ledger', healthy: true }]
    await assert.rejects(deploy('shop', { count: 2, depends_on: dependsOn }), /ledger/)
  })

  await t.test('and well: until then nothing of it is begun', async () => {
    await deploy('ledger', { count: 1 })
    await until('ledger', ({ instances }) => instances[0]?.state === 'running' && instances[0].health === 'failing')
    const placement = { labels: {}, spread_by: 'zone' }
    await deploy('shop', { count: 2, placement, depends_on: [{ service: 'ledger', healthy: true }] })
    const job = { kind: 'cron', schedule: '* * * * * *', time_zone: 'UTC', retries: 0 }
    await deploy('report', { count: 2, placement, job, depends_on: [{ service: 'shop', healthy: true }] })
    const { rollout, instances } = await until('shop', (status) => typeof status.rollout?.reason === 'string')
    assert.match(rollout?.reason ?? '', /ledger/)
    assert.deepEqual(instances, [])
    const waiting = await statusOf(api, 'report')
    assert.deepEqual(waiting.job?.runs, [])
  })

  await t.test('then it starts, on nodes of both zones', async () => {
    const { instances } = await statusOf(api, 'ledger')
    await callMethod(api, { method: 'ledger/open', node: instances[0]?.node_id as string, timeoutMs: 30_000 })
    await succeeded(api, 'ledger')
    await succeeded(api, 'shop')
    const status = await statusOf(api, 'shop')
    // Without a spread the two workers, both in the west, would come before the coordinator.
    const nodes = Object.keys(healthyByNode(status)).sort()
    assert.deepEqual([nodes.length, nodes[0]], [2, 'c1'], JSON.stringify(status.instances))
  })

  await t.test('and the job runs again and again, once a node and time, on nodes of both zones', async () => {
    const isMet = ({ job }: DeploymentStatus): boolean => {
      const nodes = new Set(job?.runs.filter(({ state }) => state === 'succeeded').map(({ node_id: id }) => id))
      return nodes.has('c1') && nodes.size === 2 && (job?.runs.length ?? 0) >= 6
    }
    const { job } = await until('report', isMet)
    const failed = job?.runs.filter(({ state }) => state === 'failed')
    assert.deepEqual(failed, [])
  })
})
