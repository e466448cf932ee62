import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Answer } from 'dns-packet'
import type { Member } from '../../../../src/base/member.ts'
import type { Random } from '../../../../src/base/random.ts'
import type { Resolution } from '../../../../src/network/dns/message.ts'
import { Zone } from '../../../../src/network/dns/zone.ts'
import { SimulatedRandom } from '../../../../src/testing/index.ts'
import { CLUSTER, member, membershipOf, NO_CHANCE } from './fixture.ts'

const INVENTORY = { inventory: 'healthy' } as const

const MEMBERS = [
  member('coordinator-1', { addresses: ['10.0.0.1:8001', '[fd00::1]:8001'], services: { system: 'healthy' } }),
  member('worker-1', { addresses: ['10.0.0.2:8002', '192.168.9.2:8002'], services: INVENTORY }),
  member('worker-2', { addresses: ['[fd00::3]:8003', '10.0.0.3:8003'], services: INVENTORY }),
  member('failing', { services: { inventory: 'failing', flaky: 'failing' } }),
  member('starting', { services: { inventory: 'starting' } }),
  member('suspect', { status: 'suspect', services: INVENTORY }),
  member('dead', { status: 'dead', services: { ...INVENTORY, gone: 'healthy' } }),
  member('left', { status: 'left', services: INVENTORY }),
]

function resolve(name: string, type = 'A', members: Member[] = MEMBERS, random: Random = NO_CHANCE): Resolution {
  const zone = new Zone({ membership: membershipOf(members), random }, CLUSTER)
  return zone.resolve({ name: name.replace('@', CLUSTER), type, class: 'IN' })
}

function dataOf(records: readonly Answer[]): unknown[] {
  return records.map((record) => (record as { data: unknown }).data)
}

/** Response code, and whether the authority section holds the zone's SOA. */
function verdictOf({ rcode, answers, authorities, isAuthoritative }: Resolution): string {
  assert.equal(isAuthoritative, rcode !== 'REFUSED')
  if (answers.length > 0) return `${rcode} ${answers.map(({ type }) => type).join(' ')}`
  return authorities.length > 0 ? `${rcode} (${authorities.map(({ type, name }) => `${type} ${name}`).join()})` : rcode
}

const NODATA = `NOERROR (SOA ${CLUSTER})`
const NXDOMAIN = `NXDOMAIN (SOA ${CLUSTER})`

test('a service is one address of each instance that is healthy, on a member that is alive', () => {
  assert.deepEqual(dataOf(resolve('inventory.service.@').answers).sort(), ['10.0.0.2', '10.0.0.3'])
  assert.deepEqual(dataOf(resolve('inventory.service.@', 'AAAA').answers), ['fd00::3'])
})

test('a service as SRV tells port and host of each instance, and the addresses of these hosts', () => {
  const { answers, additionals } = resolve('inventory.service.@', 'SRV')
  const targets = [
    { priority: 0, weight: 1, port: 8_002, target: `worker-1.node.${CLUSTER}` },
    { priority: 0, weight: 1, port: 8_003, target: `worker-2.node.${CLUSTER}` },
  ]
  assert.deepEqual(
    (dataOf(answers) as typeof targets).toSorted((a, b) => a.port - b.port),
    targets,
  )
  const named = additionals.map(
    (record) => `${record.name} ${record.type} ${String((record as { data: unknown }).data)}`,
  )
  assert.deepEqual(named.sort(), [
    `worker-1.node.${CLUSTER} A 10.0.0.2`,
    `worker-1.node.${CLUSTER} A 192.168.9.2`,
    `worker-2.node.${CLUSTER} A 10.0.0.3`,
    `worker-2.node.${CLUSTER} AAAA fd00::3`,
  ])
})

test('a node is all of its addresses, the best first, while it is alive or only suspected', () => {
  assert.deepEqual(dataOf(resolve('worker-1.node.@').answers), ['10.0.0.2', '192.168.9.2'])
  assert.deepEqual(dataOf(resolve('worker-2.node.@', 'AAAA').answers), ['fd00::3'])
  assert.deepEqual(dataOf(resolve('suspect.node.@').answers), ['10.0.0.1'])
  assert.deepEqual(dataOf(resolve('worker-2.node.@', 'SRV').answers), [
    { priority: 0, weight: 1, port: 8_003, target: `worker-2.node.${CLUSTER}` },
  ])
})

test('names that exist without what was asked are NODATA, others NXDOMAIN, others than the zone refused', () => {
  const verdicts: [name: string, type: string, expected: string][] = [
    ['@', 'SOA', 'NOERROR SOA'],
    ['@', 'NS', 'NOERROR NS'],
    ['@', 'A', NODATA],
    ['service.@', 'A', NODATA],
    ['node.@', 'SRV', NODATA],
    ['inventory.service.@', 'TXT', NODATA],
    ['inventory.service.@', 'UNKNOWN_65', NODATA],
    ['flaky.service.@', 'A', NODATA],
    ['gone.service.@', 'SRV', NODATA],
    ['system.service.@', 'AAAA', 'NOERROR AAAA'],
    ['worker-1.node.@', 'AAAA', NODATA],
    ['dead.node.@', 'A', NODATA],
    ['left.node.@', 'SRV', NODATA],
    ['nope.service.@', 'A', NXDOMAIN],
    ['nope.node.@', 'A', NXDOMAIN],
    ['nope.@', 'A', NXDOMAIN],
    ['inventory.@', 'A', NXDOMAIN],
    ['a.inventory.service.@', 'A', NXDOMAIN],
    ['a.worker-1.node.@', 'A', NXDOMAIN],
    ['worker-1.service.@', 'A', NXDOMAIN],
    ['inventory.node.@', 'A', NXDOMAIN],
    ['.', 'NS', 'REFUSED'],
    ['example.org', 'A', 'REFUSED'],
    [`x${CLUSTER}`, 'A', 'REFUSED'],
    ['@.example.org', 'A', 'REFUSED'],
    ['@', 'AXFR', 'REFUSED'],
  ]
  for (const [name, type, expected] of verdicts)
    assert.equal(verdictOf(resolve(name, type)), expected, `${name} ${type}`)
})

test('a class other than IN is refused', () => {
  const zone = new Zone({ membership: membershipOf(MEMBERS), random: NO_CHANCE }, CLUSTER)
  for (const klass of ['CH', 'ANY', 'UNKNOWN_32769']) {
    assert.equal(zone.resolve({ name: CLUSTER, type: 'SOA', class: klass }).rcode, 'REFUSED', klass)
  }
})

test('ANY gets one small record where there is a name, and no more than others where there is none', () => {
  for (const name of ['inventory.service.@', 'worker-1.node.@', '@', 'node.@']) {
    const { rcode, answers, additionals } = resolve(name, 'ANY')
    assert.deepEqual([rcode, dataOf(answers), additionals], ['NOERROR', [{ cpu: 'RFC8482', os: '' }], []], name)
  }
  assert.equal(verdictOf(resolve('nope.node.@', 'ANY')), NXDOMAIN)
})

test('capitals mean nothing, and are repeated', () => {
  const { answers } = resolve(`InVentory.SERVICE.${CLUSTER.toUpperCase()}`)
  assert.deepEqual(dataOf(answers).sort(), ['10.0.0.2', '10.0.0.3'])
  assert.equal(answers[0]?.name, `InVentory.SERVICE.${CLUSTER.toUpperCase()}`)
  const capital = [member('Edge-1', { services: { Inventory: 'healthy' } })]
  assert.equal(verdictOf(resolve('edge-1.node.@', 'A', capital)), 'NOERROR A')
  assert.equal(verdictOf(resolve('inventory.service.@', 'A', capital)), 'NOERROR A')
})

test('a node id may have dots: the names between exist', () => {
  const dotted = [member('edge.17.north')]
  assert.equal(verdictOf(resolve('edge.17.north.node.@', 'A', dotted)), 'NOERROR A')
  assert.equal(verdictOf(resolve('17.north.node.@', 'A', dotted)), NODATA)
  assert.equal(verdictOf(resolve('north.node.@', 'A', dotted)), NODATA)
  assert.equal(verdictOf(resolve('south.node.@', 'A', dotted)), NXDOMAIN)
  assert.equal(verdictOf(resolve('7.north.node.@', 'A', dotted)), NXDOMAIN)
})

test('what DNS cannot hold is left out, and hurts nobody else', () => {
  const odd = [
    member('a..b', { services: INVENTORY }),
    member('outside', { addresses: ['gw.example.org:9000', '10.0.0.9:9000'], services: INVENTORY }),
    member('zone', { addresses: ['[fe80::1%eth0]:8002'], services: INVENTORY }),
    member('bad', { addresses: [`${'x'.repeat(64)}.example.org:1`, 'nonsense'], services: INVENTORY }),
    member('none', { addresses: [], services: INVENTORY }),
  ]
  const { answers, additionals } = resolve('inventory.service.@', 'SRV', odd)
  assert.deepEqual(dataOf(answers), [{ priority: 0, weight: 1, port: 9_000, target: 'gw.example.org' }])
  assert.deepEqual(additionals, [])
  assert.deepEqual(dataOf(resolve('inventory.service.@', 'A', odd).answers).sort(), ['10.0.0.1', '10.0.0.9'])
  assert.equal(verdictOf(resolve('outside.node.@', 'A', odd)), 'NOERROR A')
  assert.equal(verdictOf(resolve('zone.node.@', 'AAAA', odd)), NODATA)
  // The node itself has an id that is no name: the zone's own stands in for it.
  assert.deepEqual(dataOf(resolve('@', 'NS', odd).answers), [CLUSTER])
})

test('the zone names this node as its server, with its addresses', () => {
  const { answers, additionals } = resolve('@', 'NS')
  assert.deepEqual(dataOf(answers), [`coordinator-1.node.${CLUSTER}`])
  assert.deepEqual(dataOf(additionals), ['10.0.0.1', 'fd00::1'])
})

test('every answer may be kept for 2 s, also one that says no', () => {
  const { answers, additionals } = resolve('inventory.service.@', 'SRV')
  const { authorities } = resolve('nope.@')
  const ttls = [...answers, ...additionals, ...authorities].map((record) => (record as { ttl: number }).ttl)
  assert.deepEqual(new Set(ttls), new Set([2]))
  assert.equal((dataOf(authorities)[0] as { minimum: number }).minimum, 2)
})

test('instances take turns at the front, and of a great many all get their share', () => {
  const many = Array.from({ length: 600 }, (_, i) =>
    member(`w${i}`, { addresses: [`10.1.${i >> 8}.${i & 255}:8002`], services: INVENTORY }),
  )
  const random = new SimulatedRandom(7)
  const firsts = new Set<unknown>()
  const seen = new Set<unknown>()
  for (let i = 0; i < 60; i++) {
    const data = dataOf(resolve('inventory.service.@', 'A', many, random).answers)
    assert.equal(data.length, 100)
    assert.equal(new Set(data).size, 100)
    firsts.add(data[0])
    for (const address of data) seen.add(address)
  }
  assert.ok(firsts.size > 40, `${firsts.size} of 60 first`)
  assert.equal(seen.size, 600)
})

test('a change of the membership shows in the next answer', () => {
  const members = [member('worker-1', { services: INVENTORY })]
  assert.equal(verdictOf(resolve('inventory.service.@', 'A', members)), 'NOERROR A')
  members[0] = member('worker-1', { services: { inventory: 'failing' } })
  assert.equal(verdictOf(resolve('inventory.service.@', 'A', members)), NODATA)
  members[0] = member('worker-1')
  assert.equal(verdictOf(resolve('inventory.service.@', 'A', members)), NXDOMAIN)
})
