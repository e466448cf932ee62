import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { TlsMaterial } from '../../src/base/credentials.ts'
import type { NodeIdentity } from '../../src/base/identity.ts'
import { silentLogger } from '../../src/base/log.ts'
import type { PeerTarget } from '../../src/base/peer.ts'
import { createLogCollectorService, createLogMemory } from '../../src/builtin/index.ts'
import { systemClock, systemFiles, systemRandom } from '../../src/platform/index.ts'
import { createServiceManager } from '../../src/service/index.ts'
import { createLogStore, storeThreads } from '../../src/telemetry/coordinator/index.ts'
import { createLogShipper, createLogSpool, type LogStore } from '../../src/telemetry/index.ts'
import { createPeers, createTransport } from '../../src/transport/index.ts'
import { StubMembership } from '../unit/service/support/node.ts'
import { createTestAuthority, TestCredentials, TestRevocations } from '../unit/transport/certificates.ts'
import { eventually } from './support/node-process.ts'

/*
 * A worker that writes 10,000 lines a second, by its spool, its shipper and mutual TLS, to a coordinator that is killed with
 * SIGKILL in the middle of it, more than once: in the end every line is there exactly once and in order.
 */

const CLUSTER = 'flood'
const KILLS = 3
const EVERY_MS = 10
const LINES_PER_TURN = 100
/** Lines written between a start of the coordinator and its end. */
const LINES_PER_LIFE = 8_000
const needs = { clock: systemClock, random: systemRandom, log: silentLogger, files: systemFiles }
const { signal } = new AbortController()

/** Knows where the coordinator listens, which is elsewhere in each of its lives. */
class KnownPort extends StubMembership {
  port = 0

  override targetOf(nodeId: string): PeerTarget {
    return { nodeId, addresses: [`127.0.0.1:${this.port}`] }
  }
}

function createNode(identity: NodeIdentity, material: TlsMaterial) {
  const tls = { ...needs, credentials: new TestCredentials(material), revocations: new TestRevocations() }
  const transport = createTransport(tls, { bindAddress: '127.0.0.1', port: 0, cluster: CLUSTER })
  const peers = createPeers({ ...tls, transport }, { nodeId: identity.nodeId, cluster: CLUSTER })
  const membership = new KnownPort(identity.nodeId)
  membership.set(identity, [])
  const manager = createServiceManager({ ...needs, membership, peers }, { identity, sdkUrl: '' })
  return { transport, peers, membership, manager }
}

interface Order {
  material: TlsMaterial
  directory: string
}

async function coordinate({ material, directory }: Order): Promise<void> {
  const { transport, peers, manager } = createNode({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, material)
  const store = createLogStore(
    {
      ...needs,
      openThread: storeThreads(new URL('../../src/telemetry/logs/thread/main.ts', import.meta.url)),
    },
    { directory, retentionMs: 86_400_000, bytesMax: 2 ** 30 },
  )
  const collector = { memory: createLogMemory({ max: 1_000 }), log: silentLogger, store }
  manager.register(createLogCollectorService(collector, { nodeId: 'c1', softwareVersion: '3.0.0' }))
  for (const component of [transport, peers, store, manager]) await component.start(signal)
  process.on('message', () => void readAll(store).then((messages) => process.send?.(messages)))
  process.send?.(transport.address().port)
}

/** The messages of all lines, in the order they are stored. */
async function readAll(store: LogStore): Promise<string[]> {
  const messages: string[] = []
  for (let before: number | undefined; ; ) {
    const { lines } = await store.query({ nodeId: 'w1' }, { limit: 1_000, before })
    if (lines.length === 0) return messages.toReversed()
    messages.push(...lines.map(({ message }) => message))
    before = lines.at(-1)?.cursor
  }
}

async function startCoordinator(order: Order): Promise<{ child: ChildProcess; port: number }> {
  const child = fork(import.meta.filename, ['--coordinate'], {
    execArgv: ['--conditions=source'],
    serialization: 'advanced',
  })
  child.send(order)
  const ended = once(child, 'exit').then(([code]) => Promise.reject(new Error(`it ended with ${code}`)))
  ended.catch(() => {})
  const [port] = (await Promise.race([once(child, 'message'), ended])) as [number]
  return { child, port }
}

if (process.argv[2] === '--coordinate') {
  const [order] = (await once(process, 'message')) as [Order]
  await coordinate(order)
} else {
  test('a coordinator killed during 10,000 lines a second: every line is there exactly once, in order', async (t) => {
    const home = mkdtempSync(join(tmpdir(), 'p2p-log-flood-'))
    t.after(() => rmSync(home, { recursive: true, force: true, maxRetries: 5 }))
    const authority = await createTestAuthority(CLUSTER)
    const material = await authority.issue({ nodeId: 'c1', role: 'coordinator' })
    const order = { material, directory: join(home, 'logs') }
    let coordinator = await startCoordinator(order)
    t.after(() => coordinator.child.kill('SIGKILL'))

    const identity = { cluster: CLUSTER, role: 'worker', nodeId: 'w1' } as const
    const { peers, membership, manager } = createNode(identity, await authority.issue({ nodeId: 'w1' }))
    membership.port = coordinator.port
    membership.set({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, [])
    const spool = createLogSpool(
      { ...needs, log: () => silentLogger },
      { directory: join(home, 'spool'), bytesMax: 2 ** 28 },
    )
    await spool.start()
    const shipper = createLogShipper({ ...needs, spool, calls: manager, membership }, { nodeId: 'w1', role: 'worker' })
    for (const component of [peers, manager, shipper]) await component.start(signal)
    t.after(async () => {
      for (const component of [shipper, manager, peers]) await component.stop()
      await spool.stop()
    })

    let written = 0
    const turns = new EventEmitter()
    const timer = setInterval(() => {
      for (let i = 0; i < LINES_PER_TURN; i++, written++) {
        const fields = { n: written }
        spool.sink({ timeMs: Date.now(), level: 'INFO', logger: 'Flood', message: `line ${written}`, fields })
      }
      turns.emit('turn')
    }, EVERY_MS)
    t.after(() => clearInterval(timer))
    const oneLife = async (): Promise<void> => {
      for (let lines = 0; lines < LINES_PER_LIFE; lines += LINES_PER_TURN) await once(turns, 'turn')
    }
    for (let kill = 0; kill < KILLS; kill++) {
      await oneLife()
      coordinator.child.kill('SIGKILL')
      await once(coordinator.child, 'exit')
      coordinator = await startCoordinator(order)
      membership.port = coordinator.port
      membership.set({ cluster: CLUSTER, role: 'coordinator', nodeId: 'c1' }, [])
    }
    await oneLife()
    clearInterval(timer)
    const { waiting, lost } = await eventually(
      async () => spool.stats(),
      (stats) => stats.waiting === 0,
      600,
    )
    assert.deepEqual([waiting, lost], [0, 0])
    coordinator.child.send('read')
    const [messages] = (await once(coordinator.child, 'message')) as [string[]]
    assert.deepEqual(
      messages,
      Array.from({ length: written }, (_, index) => `line ${index}`),
    )
  })
}
