import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type NodeRole, type Principal, principalLabel } from '../../../src/base/identity.ts'
import type { Logger } from '../../../src/base/log.ts'
import { createLogCollectorService, createLogMemory, type LogMemory } from '../../../src/builtin/index.ts'
import { createLogger } from '../../../src/platform/index.ts'
import type { LogStore, ReceivedBatch } from '../../../src/telemetry/index.ts'
import { MemoryNetwork } from '../service/support/memory-peers.ts'
import { ADMIN, call, introduce, startNode, type TestNode, VIEWER } from '../service/support/node.ts'

interface LoggingNode {
  node: TestNode
  memory: LogMemory
  log: Logger
}

/** A node with a log collector whose memory gets what the node's real logger writes. */
async function startLogging(nodeId = 'n1', role: NodeRole = 'worker', network = new MemoryNetwork(), store?: LogStore) {
  const memory = createLogMemory({ max: 100 })
  const log = createLogger({ level: 'INFO', format: 'text', destination: { write: () => {} }, sinks: [memory.sink] })
  const service = createLogCollectorService({ memory, log, store }, { nodeId, softwareVersion: '3.0.0' })
  const node = await startNode({ nodeId, role, network, services: [service] })
  return { node, memory, log }
}

async function withNode(use: (started: LoggingNode) => Promise<void>): Promise<void> {
  const started = await startLogging()
  try {
    await use(started)
  } finally {
    await started.node.manager.stop()
  }
}

interface Page {
  logs: { timestamp: string; message: string; fields: object }[]
  total: number
}

describe('the log collector', () => {
  test('answers with the field names of the Python program', () =>
    withNode(async ({ node, memory }) => {
      const timeMs = Date.UTC(2026, 0, 2, 3, 4, 5, 67)
      memory.sink({ timeMs, level: 'ERROR', logger: 'Vault', message: 'Disk full', fields: { path: '/data' } })
      assert.deepEqual(await call(node, 'log_collector/get_logs', { level: 'ERROR' }, { caller: VIEWER }), {
        logs: [
          {
            timestamp: '2026-01-02T03:04:05.067Z',
            node_id: 'n1',
            level: 'ERROR',
            logger_name: 'Vault',
            message: 'Disk full',
            fields: { path: '/data' },
          },
        ],
        total: 1,
        limit: 100,
        offset: 0,
      })
    }))

  test('hands every condition on', () =>
    withNode(async ({ node, memory }) => {
      const line = { timeMs: 1_000, level: 'ERROR', logger: 'Vault', message: 'Disk full', fields: {} } as const
      memory.sink(line)
      const matching = {
        level: 'WARNING',
        logger_name: 'vau',
        search: 'disk',
        since: '1970-01-01T00:00:01Z',
        until: '1970-01-01T01:00:01+01:00',
      }
      const total = async (params: object): Promise<number> =>
        ((await call(node, 'log_collector/get_logs', params)) as Page).total
      assert.equal(await total(matching), 1)
      const others = {
        level: 'CRITICAL',
        logger_name: 'cache',
        search: 'memory',
        since: '1970-01-01T00:00:01.001Z',
        until: '1970-01-01T00:00:00.999Z',
      }
      for (const [name, value] of Object.entries(others))
        assert.equal(await total({ ...matching, [name]: value }), 0, name)
      assert.deepEqual(((await call(node, 'log_collector/get_logs', { offset: 1 })) as Page).logs, [])
    }))

  test('refuses what is no filter', () =>
    withNode(async ({ node }) => {
      const wrong = [
        { level: 'error' },
        { level: 5 },
        { limit: 0 },
        { limit: 1_001 },
        { limit: 1.5 },
        { offset: -1 },
        { since: 'yesterday' },
        { since: '2026-01-02 03:04:05' },
        { logger_name: 'x'.repeat(257) },
        { search: ['a'] },
        { node_id: 'worker' },
        { cursor: 0 },
        { nodeid: 'n1' },
      ]
      for (const params of wrong) {
        await assert.rejects(call(node, 'log_collector/get_logs', params), { code: 'P2P_RPC_INVALID_PARAMS' })
      }
    }))

  test('tells the sources', () =>
    withNode(async ({ node, log }) => {
      log.child('Vault').info('a')
      log.child('Gossip').info('b')
      assert.deepEqual(await call(node, 'log_collector/get_log_sources', {}, { caller: VIEWER }), {
        nodes: ['n1'],
        loggers: ['Gossip', 'Vault'],
        log_levels: ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL'],
      })
    }))

  test('clears for admins, and who did it is the next line', () =>
    withNode(async ({ node, log, memory }) => {
      log.info('one')
      log.info('two')
      await assert.rejects(call(node, 'log_collector/clear_logs', {}, { caller: VIEWER }), {
        code: 'P2P_RPC_ACCESS_DENIED',
      })
      assert.deepEqual(await call(node, 'log_collector/clear_logs', {}, { caller: ADMIN }), {
        success: true,
        cleared: 2,
        node: 'n1',
      })
      const { entries } = memory.find({}, { offset: 0, limit: 10 })
      assert.deepEqual(
        entries.map(({ level, logger, message, fields }) => ({ level, logger, message, fields })),
        [
          {
            level: 'WARNING',
            logger: 'Logs',
            message: 'Log lines were cleared',
            fields: { by: 'person:ada', node: 'n1', cleared: 2 },
          },
        ],
      )
    }))

  test('reading the log writes nothing into it', () =>
    withNode(async ({ node, log }) => {
      log.info('one')
      for (let i = 0; i < 5; i++) {
        assert.equal(((await call(node, 'log_collector/get_logs')) as Page).total, 1)
        await call(node, 'log_collector/get_log_sources')
      }
    }))
})

describe('across nodes', () => {
  const peer = (role: NodeRole): Principal => ({ kind: 'node', nodeId: `${role}-9`, role })

  test("only people, coordinators and the node's own services read or clear a node's log", () =>
    withNode(async ({ node }) => {
      for (const name of ['get_logs', 'get_log_sources', 'clear_logs', 'get_stats']) {
        const method = `log_collector/${name}`
        await assert.rejects(
          call(node, method, {}, { caller: peer('worker') }),
          { code: 'P2P_RPC_ACCESS_DENIED' },
          name,
        )
        await assert.rejects(call(node, method, {}, { caller: { kind: 'anonymous' } }), {
          code: 'P2P_RPC_AUTHENTICATION_REQUIRED',
        })
        await call(node, method, {}, { caller: peer('coordinator') })
        await call(node, method, {}, { caller: { kind: 'node', nodeId: 'n1', role: 'worker', service: 'mine' } })
      }
    }))

  test('a person on the coordinator reads and clears the log of a worker, which names both', async () => {
    const network = new MemoryNetwork()
    const coordinator = await startLogging('coordinator-1', 'coordinator', network)
    const worker = await startLogging('worker-1', 'worker', network)
    introduce(coordinator.node, worker.node)
    worker.log.info('of the worker')
    coordinator.log.info('of the coordinator')
    const ask = (name: string, caller: Principal): Promise<unknown> =>
      call(coordinator.node, `log_collector/${name}`, {}, { caller, target: 'worker-1' })
    const { logs } = (await ask('get_logs', VIEWER)) as Page
    assert.deepEqual(
      logs.map(({ message }) => message),
      ['of the worker'],
    )
    await assert.rejects(ask('clear_logs', VIEWER), { code: 'P2P_RPC_ACCESS_DENIED' })
    assert.deepEqual(await ask('clear_logs', ADMIN), { success: true, cleared: 1, node: 'worker-1' })
    const [line] = worker.memory.find({}, { offset: 0, limit: 10 }).entries
    assert.deepEqual(line?.fields, { by: 'person:ada', relayed_by: 'coordinator-1', node: 'worker-1', cleared: 1 })
    await Promise.all([coordinator.node.manager.stop(), worker.node.manager.stop()])
  })

  test('a node without the log of the cluster says so for other nodes, and stores no lines', () =>
    withNode(async ({ node }) => {
      for (const name of ['get_logs', 'get_log_sources', 'clear_logs']) {
        await assert.rejects(call(node, `log_collector/${name}`, { node_id: 'n2' }, { caller: ADMIN }), {
          code: 'P2P_HTTP_COORDINATOR_ONLY',
        })
      }
      await assert.rejects(call(node, 'log_collector/add_logs', {}, { caller: ADMIN }), {
        code: 'P2P_RPC_METHOD_NOT_FOUND',
      })
    }))
})

describe("a coordinator's log collector", () => {
  const added: { nodeId: string; batch: ReceivedBatch }[] = []
  const store = {
    add: async (nodeId: string, batch: ReceivedBatch) => {
      added.push({ nodeId, batch })
      return { added: batch.lines.length, total: 9 }
    },
    query: async () => ({ lines: [], total: 0, latest: 5 }),
    clear: async () => 3,
    stats: () => ({
      total: 9,
      nodes: { w1: 9 },
      added: 1,
      duplicates: 0,
      lost: 0,
      removed: 0,
      subscribers: 0,
      isFailing: false,
    }),
  } as unknown as LogStore
  const batch = {
    node_id: 'w1',
    epoch: '0123456789abcdef',
    first: 4,
    lost: 2,
    sent_at: 1_000,
    logs: [{ message: 'a' }, null],
  }
  const worker: Principal = { kind: 'node', nodeId: 'w1', role: 'worker' }

  async function withStore(use: (node: TestNode) => Promise<void>): Promise<void> {
    const { node } = await startLogging('c1', 'coordinator', new MemoryNetwork(), store)
    try {
      await use(node)
    } finally {
      await node.manager.stop()
    }
  }

  test('stores the lines of a node that speaks for itself, as they are', () =>
    withStore(async (node) => {
      const answer = await call(node, 'log_collector/add_logs', batch, { caller: worker })
      assert.deepEqual(answer, { success: true, added: 2, total_stored: 9 })
      const { epoch, first, lost, sent_at: sentAtMs, logs: lines } = batch
      assert.deepEqual(added.splice(0), [{ nodeId: 'w1', batch: { epoch, first, lost, sentAtMs, lines } }])
    }))

  test('nobody brings the lines of another node: no node, no service, no person', () =>
    withStore(async (node) => {
      const callers: Principal[] = [
        { kind: 'node', nodeId: 'w2', role: 'worker' },
        { kind: 'node', nodeId: 'c2', role: 'coordinator' },
        { ...worker, service: 'inventory' },
        { kind: 'person', name: 'w1', role: 'admin' },
      ]
      for (const caller of callers) {
        const calling = call(node, 'log_collector/add_logs', batch, { caller })
        await assert.rejects(calling, { code: 'P2P_RPC_ACCESS_DENIED' }, principalLabel(caller))
      }
      assert.deepEqual(added, [])
    }))

  test('refuses what is no batch', () =>
    withStore(async (node) => {
      const wrong = [
        { epoch: 'x' },
        { first: 0 },
        { first: 1.5 },
        { lost: -1 },
        { sent_at: 'now' },
        { logs: [] },
        { logs: Array.from({ length: 2_001 }, () => ({})) },
        { logs: 'text' },
        { more: 1 },
      ]
      for (const part of wrong) {
        await assert.rejects(call(node, 'log_collector/add_logs', { ...batch, ...part }, { caller: worker }), {
          code: 'P2P_RPC_INVALID_PARAMS',
        })
      }
      assert.deepEqual(added, [])
    }))

  test('clears and tells what it has of the whole cluster', () =>
    withStore(async (node) => {
      assert.deepEqual(await call(node, 'log_collector/clear_logs', {}, { caller: ADMIN }), {
        success: true,
        cleared: 3,
        node: 'all',
      })
      const one = (await call(node, 'log_collector/clear_logs', { node_id: 'w1' }, { caller: ADMIN })) as {
        node: string
      }
      assert.equal(one.node, 'w1')
      const stats = (await call(node, 'log_collector/get_stats', {}, { caller: VIEWER })) as { store: object }
      assert.deepEqual(stats.store, {
        total_logs: 9,
        nodes: { w1: 9 },
        added: 1,
        duplicates: 0,
        lost: 0,
        removed: 0,
        subscribers: 0,
        failing: false,
      })
    }))
})
