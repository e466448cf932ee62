import { decode, encode, type DecodedPacket, type Packet, type Question } from 'dns-packet'
import type { Member, MemberStatus, ServiceRecord } from '../../../../src/base/member.ts'
import type { DnsQuery } from '../../../../src/network/dns/message.ts'
import { readQuery } from '../../../../src/network/dns/message.ts'

export const CLUSTER = 'p2p-1a2b3c4d'

export interface MemberFacts {
  status?: MemberStatus
  addresses?: string[]
  /** By name. */
  services?: Record<string, ServiceRecord['health']>
}

export function member(nodeId: string, { status = 'alive', addresses, services = {} }: MemberFacts = {}): Member {
  return {
    record: {
      nodeId,
      role: 'worker',
      cluster: CLUSTER,
      recordVersion: 1,
      softwareVersion: '3.0.0',
      addresses: addresses ?? ['10.0.0.1:8002'],
      services: Object.entries(services).map(([name, health]) => ({
        name,
        version: '1.0.0',
        description: '',
        health,
        methods: [],
      })),
      labels: {},
      capacity: { cpus: 1, memoryBytes: 1 },
      certificateSerial: '0a',
      startedAtMs: 0,
    },
    status,
    incarnation: 0,
    sinceMs: 0,
  }
}

/** The first is the node itself. */
export function membershipOf(members: Member[]) {
  return { self: () => members[0] as Member, members: () => [...members] }
}

/** Chance without surprises: always the first choice. */
export const NO_CHANCE = { float: () => 0, bytes: (length: number) => new Uint8Array(length) }

/** A response decoded; the library's types leave the response code out. */
export type Reply = DecodedPacket & { rcode: string }

export function decodeReply(bytes: Buffer): Reply {
  return decode(bytes) as Reply
}

export function question(name: string, type = 'A'): Question {
  return { name, type: type as Question['type'] }
}

export interface Asked {
  /** Size for UDP the asker allows; without it no EDNS. */
  udpPayloadSize?: number
  ednsVersion?: number
  flags?: number
}

export function queryBytes(
  name: string,
  type = 'A',
  { udpPayloadSize, ednsVersion = 0, flags = 0 }: Asked = {},
): Buffer {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion,
    flags: 0,
    flag_do: false,
    options: [],
  }
  const packet: Packet = {
    type: 'query',
    id: 4_711,
    flags,
    questions: [question(name, type)],
    ...(udpPayloadSize !== undefined && { additionals: [opt as NonNullable<Packet['additionals']>[number]] }),
  }
  return encode(packet)
}

export function queryOf(name: string, type = 'A', asked: Asked = {}): DnsQuery {
  const received = readQuery(queryBytes(name, type, asked))
  if (received.kind !== 'query') throw new Error(`${name} ${type} is ${received.kind}`)
  return received.query
}
