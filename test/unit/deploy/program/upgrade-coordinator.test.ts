import assert from 'node:assert/strict'
import { suite, test, type TestContext } from 'node:test'
import type { ControlStore } from '../../../../src/base/control-store.ts'
import { DeployError, RpcError } from '../../../../src/base/errors.ts'
import type { NodeIdentity, Principal } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import type { ArtifactFacts } from '../../../../src/deploy/artifacts/artifact-facts.ts'
import { createUpgradeCoordinator, type UpgradeCoordinator } from '../../../../src/deploy/coordinator/index.ts'
import type { RolloutStatus } from '../../../../src/base/deployment.ts'
import type { Caller } from '../../../../src/service/index.ts'
import { SimulatedClock, SimulatedRandom } from '../../../../src/testing/index.ts'
import { openVault, type World, world } from '../../storage/support.ts'
import { callMethod } from '../agent/node.ts'
import { serviceRecord, StubMembers } from '../members.ts'

const COORDINATOR: NodeIdentity = { cluster: 'test', role: 'coordinator', nodeId: 'c1' }
const ADMIN: Principal = { kind: 'person', name: 'ada', role: 'admin' }
const digest = 'b'.repeat(64)
const HOUR_MS = 60 * 60_000

interface Order {
  node: string
  upgrade: string
}

class Coordinator {
  readonly clock = new SimulatedClock()
  readonly members = new StubMembers('c1', () => this.clock.wallMs())
  readonly world: World = world()
  readonly orders: Order[] = []
  /** What a node answers to an order. */
  refusals = new Map<string, Error>()
  kind = 'program'
  /** Nothing can be stored. */
  storeFailure: Error | undefined
  upgrades!: UpgradeCoordinator
  #vault: Awaited<ReturnType<typeof openVault>> | undefined
  #starts = 0

  constructor() {
    const services = [serviceRecord('program')]
    this.members.set('c1', 'coordinator', { services })
    for (const id of ['w1', 'w2', 'w3']) this.members.set(id, 'worker', { services })
  }

  async start(t?: TestContext): Promise<this> {
    t?.after(() => this.stop())
    this.#vault = await openVault({ needs: { ...this.world.needs, clock: this.clock } })
    const call = async (_method: string, params: unknown, _context: unknown, node: unknown): Promise<object> => {
      const { upgrade } = params as { upgrade: string }
      this.orders.push({ node: node as string, upgrade })
      const refusal = this.refusals.get(node as string)
      if (refusal) throw refusal
      return {}
    }
    this.upgrades = createUpgradeCoordinator(
      {
        clock: this.clock,
        random: new SimulatedRandom(++this.#starts),
        log: silentLogger,
        store: this.#failing(this.#vault.store),
        membership: this.members,
        calls: { call } as Caller,
        artifacts: { get: (asked) => (asked === digest ? this.#facts() : undefined) },
      },
      { identity: COORDINATOR, softwareVersion: '3.0.0' },
    )
    await this.upgrades.service.initialize?.({} as never)
    await this.upgrades.start(new AbortController().signal)
    return this
  }

  async stop(): Promise<void> {
    await this.upgrades.stop()
    await this.#vault?.stop()
  }

  #failing(store: ControlStore): ControlStore {
    return new Proxy(store, {
      get: (target, name) => {
        if (name === 'transact' && this.storeFailure) return () => Promise.reject(this.storeFailure as Error)
        const found: unknown = Reflect.get(target, name, target)
        return typeof found === 'function' ? (found as () => void).bind(target) : found
      },
    })
  }

  #facts(): ArtifactFacts {
    return { service: 'p2p-core', version: '3.0.1', kind: this.kind } as ArtifactFacts
  }

  begin(request: object = {}, caller: Principal = ADMIN): Promise<unknown> {
    const params = { digest, version: '3.0.1', batch: 2, force: false, ...request }
    return callMethod(this.upgrades.service, 'begin', params, caller)
  }

  report(node: string, state: string, reason?: string): Promise<unknown> {
    const key = this.orders.findLast((order) => order.node === node)?.upgrade ?? ''
    const params = { node_id: node, version: '3.0.0', upgrade: { key, state, ...(reason && { reason }) } }
    const caller: Principal = { kind: 'node', nodeId: node, role: 'worker', service: 'program' }
    return callMethod(this.upgrades.service, 'report', params, caller)
  }

  async status(): Promise<RolloutStatus> {
    return (await callMethod(this.upgrades.service, 'get_upgrade', {}, ADMIN)) as RolloutStatus
  }

  asked(): string[] {
    return this.orders.map(({ node }) => node)
  }

  async states(): Promise<string[]> {
    const status = (await this.status()) as unknown as { nodes: { node_id: string; state: string }[] }
    return status.nodes.map(({ node_id: id, state }) => `${id} ${state}`)
  }
}

suite('an upgrade of the cluster', () => {
  test('goes on to the next wave when all of the one before say that they run well', async (t) => {
    const c = await new Coordinator().start(t)
    await c.begin()
    await c.clock.runUntil(() => c.orders.length > 0, HOUR_MS)
    assert.deepEqual(c.asked(), ['w1'])
    await c.report('w1', 'watching')
    await c.report('w1', 'done')
    assert.deepEqual(c.asked(), ['w1', 'w2', 'w3'])
    await c.report('w3', 'done')
    assert.equal(c.asked().length, 3)
    await c.report('w2', 'done')
    assert.deepEqual(c.asked().at(-1), 'c1')
    assert.equal(c.upgrades.artifactInUse(), digest)
    await c.report('c1', 'done')
    assert.equal((await c.status()).state, 'succeeded')
    assert.equal(c.upgrades.artifactInUse(), undefined)
  })

  test('ends at the first node that has gone back, and says where and why', async (t) => {
    const c = await new Coordinator().start(t)
    await c.begin()
    await c.report('w1', 'returned', 'it ended with code 1')
    const { state, reason } = await c.status()
    assert.deepEqual([state, reason, c.asked()], ['failed', 'w1: it ended with code 1', ['w1']])
  })

  test('ends when a node refuses, and asks one that is not reached again until its time is over', async (t) => {
    const refusing = await new Coordinator().start(t)
    refusing.refusals.set('w1', new DeployError('P2P_DEPLOY_REFUSED', 'on Windows not'))
    await refusing.begin()
    await refusing.clock.run(1_000)
    assert.match((await refusing.status()).reason ?? '', /w1: on Windows not/)

    const away = await new Coordinator().start(t)
    away.refusals.set('w1', new RpcError('P2P_RPC_NO_INSTANCE', 'not there'))
    await away.begin()
    await away.clock.runUntil(() => away.orders.length > 3, HOUR_MS)
    assert.equal((await away.status()).state, 'running')
    await away.clock.run(HOUR_MS)
    assert.match((await away.status()).reason ?? '', /w1: it did not say within 10 min/)
  })

  test('ends at a node whose time is over also when that could not be stored at first', async (t) => {
    const c = await new Coordinator().start(t)
    await c.begin()
    await c.clock.runUntil(() => c.orders.length > 0, HOUR_MS)
    await c.report('w1', 'fetching')
    c.storeFailure = new Error('the disk is full')
    await c.clock.run(HOUR_MS / 2)
    assert.equal((await c.status()).state, 'running')
    c.storeFailure = undefined
    await c.clock.run(HOUR_MS / 2)
    assert.match((await c.status()).reason ?? '', /w1: it did not say within 10 min/)
  })

  test('goes on where it was when the coordinator is started anew, also after a kill', async (t) => {
    const c = await new Coordinator().start(t)
    await c.begin()
    await c.report('w1', 'done')
    await c.clock.run(1_000)
    assert.deepEqual(await c.states(), ['w1 done', 'w2 fetching', 'w3 fetching', 'c1 waiting'])
    await c.stop()
    await c.start()
    assert.deepEqual(await c.states(), ['w1 done', 'w2 fetching', 'w3 fetching', 'c1 waiting'])
    await c.report('w2', 'done')
    // A node that has forgotten the order, as it was restarted while it fetched, is asked again.
    const before = c.orders.length
    const forgetful: Principal = { kind: 'node', nodeId: 'w3', role: 'worker', service: 'program' }
    await callMethod(c.upgrades.service, 'report', { node_id: 'w3', version: '3.0.0' }, forgetful)
    assert.deepEqual(c.asked().slice(before), ['w3'])
    assert.equal(new Set(c.orders.map(({ upgrade }) => upgrade)).size, 1, 'one upgrade, one key')
    await c.report('w3', 'done')
    await c.report('c1', 'done')
    assert.equal((await c.status()).state, 'succeeded')
  })

  test('is followed to its end', async (t) => {
    const c = await new Coordinator().start(t)
    await c.begin({ nodes: ['w1'] })
    const states: string[] = []
    const follow = c.upgrades.service.methods['follow'] as unknown as {
      handler(params: object, call: object): AsyncIterable<{ state: string }>
    }
    const following = (async () => {
      for await (const { state } of follow.handler({}, { signal: new AbortController().signal })) states.push(state)
    })()
    await c.report('w1', 'watching')
    await c.report('w1', 'done')
    await following
    assert.equal(states.at(-1), 'succeeded')
  })

  test('is refused while another is on its way, for other bundles, and to whom it does not concern', async (t) => {
    const c = await new Coordinator().start(t)
    await assert.rejects(c.begin({ digest: 'c'.repeat(64) }), { code: 'P2P_DEPLOY_ARTIFACT_UNKNOWN' })
    await assert.rejects(c.begin({ version: '3.0.2' }), { code: 'P2P_DEPLOY_INVALID' })
    c.kind = 'exec'
    await assert.rejects(c.begin(), { code: 'P2P_DEPLOY_INVALID' })
    c.kind = 'program'
    await assert.rejects(c.begin({ nodes: ['w9'] }), { code: 'P2P_DEPLOY_REFUSED' })
    const node: Principal = { kind: 'node', nodeId: 'w1', role: 'worker' }
    await assert.rejects(c.begin({}, node), { code: 'P2P_RPC_ACCESS_DENIED' })
    await c.begin()
    await assert.rejects(c.begin(), { code: 'P2P_DEPLOY_BUSY' })
    const other: Principal = { kind: 'node', nodeId: 'w2', role: 'worker', service: 'program' }
    const forged = callMethod(c.upgrades.service, 'report', { node_id: 'w1', version: '3.0.1' }, other)
    await assert.rejects(forged, { code: 'P2P_RPC_ACCESS_DENIED' })
  })
})
