import type { NodeRecord } from '../../../src/base/member.ts'
import type { SignedRecord } from '../../../src/network/index.ts'
import { createRecordSigner } from '../../../src/network/index.ts'
import { encodeRecord, sealRecord } from '../../../src/network/record.ts'
import { createCa, createCredentials, WALL_MS } from './certificate-fixture.ts'

/** What a worker says of itself that runs the services every node has and the two that come with the program. */
function workerRecord(index: number): NodeRecord {
  const health = 'healthy' as const
  return {
    nodeId: `worker-${index}`,
    role: 'worker',
    cluster: 'a1b2c3d4e5f60718',
    // Numbers as of machines started in the course of a month.
    recordVersion: WALL_MS + index * 26_173_841,
    softwareVersion: '3.0.0',
    addresses: [`192.168.${1 + (index >> 8)}.${index & 255}:8002`, `10.8.0.${index & 255}:8002`],
    services: [
      {
        name: 'inventory',
        version: '1.0.0',
        description: 'What is in this machine',
        health,
        methods: ['disks', 'network', 'processes', 'summary'],
      },
      {
        name: 'log_collector',
        version: '3.0.0',
        description: 'The last log lines of this node',
        health,
        methods: ['clear_logs', 'get_log_sources', 'get_logs', 'get_stats'],
      },
      {
        name: 'system',
        version: '3.0.0',
        description: 'Facts about this machine and this node',
        health,
        methods: [
          'describe_service',
          'get_config',
          'get_gossip_stats',
          'get_system_info',
          'get_system_metrics',
          'list_services',
          'renew_certificate',
        ],
      },
      {
        name: 'watch',
        version: '1.0.0',
        description: 'Watches web pages, TCP ports and folders, and remembers when they failed or changed.',
        health,
        methods: ['add', 'checks', 'history', 'remove', 'summary'],
      },
    ],
    labels: { zone: ['cellar', 'office', 'plant-2'][index % 3] as string },
    capacity: { cpus: [2, 4, 8][index % 3] as number, memoryBytes: 8_219_783_168 * (1 + (index % 3)) },
    certificateSerial: (0x1c3f_92a7_5d10n * BigInt(index + 7)).toString(16),
    startedAtMs: WALL_MS + index * 26_173_002,
  }
}

/** Signed records of a cluster, with certificate chains as the authority issues them. */
export async function realisticRecords(count: number): Promise<SignedRecord[]> {
  const ca = await createCa()
  return Promise.all(
    Array.from({ length: count }, async (_, index) => {
      const record = workerRecord(index)
      const credentials = await createCredentials(ca, record.nodeId)
      const bytes = encodeRecord(record)
      if (!bytes) throw new Error('not a record')
      return { record, envelope: sealRecord(bytes, createRecordSigner(credentials)) }
    }),
  )
}
