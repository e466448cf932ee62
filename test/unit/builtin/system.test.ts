import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Member } from '../../../src/base/member.ts'
import type { PeerChannel } from '../../../src/base/peer.ts'
import { createSystemService, type HostFacts, type SystemServiceNeeds } from '../../../src/builtin/index.ts'
import { createHostFacts } from '../../../src/platform/index.ts'
import type { ServiceDirectory } from '../../../src/service/index.ts'
import { ManualClock } from '../service/support/manual-clock.ts'
import { ADMIN, call, startNode, type TestNode, VIEWER } from '../service/support/node.ts'

const host: HostFacts = {
  hostname: 'edge-17',
  platform: 'linux',
  arch: 'arm64',
  cpuCount: 4,
  memory: () => ({ totalBytes: 4_000, availableBytes: 1_000 }),
  cpuPercent: () => 12.3456,
  loadAverage: () => [0.5, 0.25, 0.125],
  disk: async (path) => {
    assert.equal(path, '/state')
    return { totalBytes: 10_000, freeBytes: 2_500 }
  },
  networkInterfaces: () => [
    { name: 'eth0', address: '10.0.0.7', family: 'IPv4', prefixLength: 24, internal: false, isTunnel: false },
  ],
  uptimeSeconds: () => 3_600,
  processMemoryBytes: () => 50 * 1_048_576,
}

const record = {
  nodeId: 'n1',
  role: 'worker' as const,
  cluster: 'blue',
  recordVersion: 1,
  softwareVersion: '3.0.0',
  addresses: [],
  services: [],
  labels: {},
  capacity: { cpus: 1, memoryBytes: 1 },
  certificateSerial: '0a',
  startedAtMs: 0,
}
const self: Member = { record, status: 'alive', incarnation: 0, sinceMs: 0 }
const suspect: Member = { ...self, record: { ...record, nodeId: 'n2' }, status: 'suspect', sinceMs: 1_700_000_000_000 }
const gossip: SystemServiceNeeds['gossip'] = {
  self: () => self,
  members: () => [self, suspect],
  stats: () => ({
    framesSent: 10,
    bytesSent: 5_000,
    framesReceived: 8,
    bytesReceived: 1_000,
    bytesSaved: 600,
    dropped: { malformed: 1, record: 0 },
    unsent: 2,
    rumoursQueued: 3,
    rumoursDropped: 0,
    healthScore: 1,
    suspects: 1,
    probesFailed: 4,
    refutations: 5,
    stateExchanges: 6,
    intervalMs: 7_500,
    intervalReason: 'growing: nothing changed for 1 exchange',
  }),
}
const channel = {
  peer: { cluster: 'blue', role: 'worker', nodeId: 'n2' },
  remoteAddress: '10.0.0.8:8002',
  dialled: true,
}
const peers = { list: () => [channel as PeerChannel] }

/** When the node was told to renew its certificate. */
const renewals: number[] = []

async function withSystem(use: (node: TestNode) => Promise<void>, facts = host): Promise<void> {
  const clock = new ManualClock()
  const running: TestNode[] = []
  const services: ServiceDirectory = {
    list: () => running.flatMap(({ manager }) => manager.list()),
    get: (name) => running[0]?.manager.get(name),
  }
  const system = createSystemService(
    {
      clock,
      host: facts,
      services,
      gossip,
      peers,
      shownConfig: () => ({ port: 8001, password: '[redacted]' }),
      renewCertificate: () => renewals.push(clock.nowMs()),
    },
    { nodeId: 'n1', role: 'worker', softwareVersion: '3.0.0', statePath: '/state' },
  )
  const node = await startNode({ clock, services: [system] })
  running.push(node)
  try {
    await use(node)
  } finally {
    await node.manager.stop()
  }
}

describe('the system service', () => {
  test('tells what machine this is', () =>
    withSystem(async (node) => {
      assert.deepEqual(await call(node, 'system/get_system_info', {}, { caller: VIEWER }), {
        node_id: 'n1',
        role: 'worker',
        version: '3.0.0',
        hostname: 'edge-17',
        platform: 'linux',
        architecture: 'arm64',
        cpu_count: 4,
        memory_total: 4_000,
        boot_time: Math.round(node.clock.wallMs() / 1_000) - 3_600,
        disk_usage: { percent: 75, free: 2_500, used: 7_500, total: 10_000 },
        network_interfaces: [
          {
            name: 'eth0',
            address: '10.0.0.7',
            family: 'IPv4',
            prefix_length: 24,
            is_loopback: false,
            is_tunnel: false,
          },
        ],
        timestamp: new Date(node.clock.wallMs()).toISOString(),
      })
    }))

  test('measures in the shape the dashboard has always had', () =>
    withSystem(async (node) => {
      assert.deepEqual(await call(node, 'system/get_system_metrics', {}, { caller: VIEWER }), {
        cpu_percent: 12.35,
        cpu_count: 4,
        memory: { percent: 75, available: 1_000, used: 3_000, total: 4_000 },
        memory_usage_mb: 50,
        disk: { percent: 75, free: 2_500, used: 7_500, total: 10_000 },
        load_average: [0.5, 0.25, 0.125],
        uptime_seconds: 3_600,
        timestamp: node.clock.wallMs() / 1_000,
      })
    }))

  test('lists the services of the node', () =>
    withSystem(async (node) => {
      const { services, total } = (await call(node, 'system/list_services', {}, { caller: VIEWER })) as {
        services: Record<string, unknown>[]
        total: number
      }
      assert.equal(total, 1)
      assert.deepEqual(services[0], {
        name: 'system',
        version: '3.0.0',
        description: 'Facts about this machine and this node',
        status: 'running',
        health: 'healthy',
        builtin: true,
        methods: [
          'get_system_info',
          'get_system_metrics',
          'list_services',
          'describe_service',
          'renew_certificate',
          'get_gossip_stats',
          'get_config',
          'ping',
          'get_service_info',
        ],
      })
    }))

  test('tells what the methods of a service take, and that there is no such service', () =>
    withSystem(async (node) => {
      const described = (await call(node, 'system/describe_service', { name: 'system' }, { caller: VIEWER })) as {
        name: string
        method_details: { name: string; params: { required?: string[] } | null; required_role: string }[]
      }
      assert.equal(described.name, 'system')
      const own = described.method_details.find(({ name }) => name === 'describe_service')
      assert.deepEqual(own?.params?.required, ['name'])
      assert.equal(own?.required_role, 'viewer')
      await assert.rejects(call(node, 'system/describe_service', { name: 'none' }, { caller: VIEWER }), {
        code: 'P2P_SERVICE_NOT_FOUND',
      })
    }))

  test('renews the certificate for an admin, and for nobody else', () =>
    withSystem(async (node) => {
      await assert.rejects(call(node, 'system/renew_certificate', {}, { caller: VIEWER }), {
        code: 'P2P_RPC_ACCESS_DENIED',
      })
      assert.deepEqual(renewals, [])
      assert.deepEqual(await call(node, 'system/renew_certificate', {}, { caller: ADMIN }), { node_id: 'n1' })
      assert.equal(renewals.splice(0).length, 1)
    }))

  test('shows the configuration as it was given to it, and not to viewers', () =>
    withSystem(async (node) => {
      assert.deepEqual(await call(node, 'system/get_config', {}, { caller: ADMIN }), {
        node_id: 'n1',
        config: { port: 8001, password: '[redacted]' },
      })
      await assert.rejects(call(node, 'system/get_config', {}, { caller: VIEWER }), { code: 'P2P_RPC_ACCESS_DENIED' })
    }))

  test('tells how it keeps up with the membership, also to other nodes', () =>
    withSystem(async (node) => {
      record.startedAtMs = node.clock.wallMs() - 10_000
      const NODE = { kind: 'node', nodeId: 'n9', role: 'worker' } as const
      for (const caller of [VIEWER, NODE]) {
        assert.deepEqual(await call(node, 'system/get_gossip_stats', {}, { caller }), {
          node_id: 'n1',
          uptime_seconds: 10,
          health_score: 1,
          rumours: { queued: 3, dropped: 0 },
          suspects: [{ node_id: 'n2', since: '2023-11-14T22:13:20.000Z' }],
          probes_failed: 4,
          refutations: 5,
          interval_seconds: 7.5,
          interval_reason: 'growing: nothing changed for 1 exchange',
          state_exchanges: 6,
          sent: { frames: 10, bytes: 5_000, bytes_per_second: 500 },
          received: { frames: 8, bytes: 1_000, bytes_per_second: 100 },
          bytes_saved: 600,
          unsent: 2,
          dropped: { malformed: 1, record: 0 },
          sessions: [{ node_id: 'n2', address: '10.0.0.8:8002', opened_here: true }],
        })
      }
      await assert.rejects(call(node, 'system/get_gossip_stats', { node: 'n2' }), { code: 'P2P_RPC_INVALID_PARAMS' })
    }))

  test('a rate of a node that has just started, or whose clock was set back, is a number', () =>
    withSystem(async (node) => {
      for (const startedAtMs of [node.clock.wallMs(), node.clock.wallMs() + 60_000]) {
        record.startedAtMs = startedAtMs
        const { sent } = (await call(node, 'system/get_gossip_stats')) as { sent: object }
        assert.deepEqual(sent, { frames: 10, bytes: 5_000, bytes_per_second: 5_000 })
      }
    }))

  test('runs no commands: what the old one did is not there', () =>
    withSystem(async (node) => {
      for (const name of [
        'execute_command',
        'terminate_process',
        'update_config',
        'get_storage_file',
        'service_action',
      ]) {
        await assert.rejects(call(node, `system/${name}`), { code: 'P2P_RPC_METHOD_NOT_FOUND' })
      }
    }))

  test('refuses parameters it does not know', () =>
    withSystem(async (node) => {
      await assert.rejects(call(node, 'system/get_system_info', { node: 'n2' }), { code: 'P2P_RPC_INVALID_PARAMS' })
    }))

  test('works on this machine', () =>
    withSystem(async (node) => {
      const real = (await call(node, 'system/get_system_info')) as { cpu_count: number; disk_usage: { total: number } }
      assert.ok(real.cpu_count >= 1)
      assert.ok(real.disk_usage.total > 0)
      const metrics = (await call(node, 'system/get_system_metrics')) as { memory: { percent: number } }
      assert.ok(metrics.memory.percent > 0 && metrics.memory.percent <= 100)
    }, realHost()))
})

function realHost(): HostFacts {
  const facts: HostFacts = createHostFacts()
  return { ...facts, hostname: facts.hostname, disk: () => facts.disk('/'), memory: () => facts.memory() }
}
