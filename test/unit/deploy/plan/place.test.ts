import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { benchPlanner, formatRow } from '../../../../bench/planner.ts'
import type { Deployment } from '../../../../src/base/deployment.ts'
import { AWAY_GRACE_MS, place, type Placement, type PlanNode } from '../../../../src/deploy/plan/index.ts'
import { deployment, GIB, node, nodes } from './fixture.ts'

// The same cases in every run: what fails here fails everywhere.
fc.configureGlobal({ seed: 20_260_801 })

type Placed = { service: string; nodeId: string; instances: number }[]

function placedBy(placement: Placement): Placed {
  return placement.services.flatMap(({ service, nodes: at }) =>
    [...at].map(([nodeId, instances]) => ({ service, nodeId, instances })),
  )
}

function counts(placement: Placement, service = 'shop'): Record<string, number> {
  const found = placement.services.find((each) => each.service === service)
  return Object.fromEntries([...(found?.nodes ?? [])].sort())
}

function one(fields: Partial<Deployment>, list: PlanNode[], placed: Placed = []): Placement {
  return place({ deployments: [deployment(fields)], nodes: list, placed })
}

test('instances are spread over the nodes before a second one comes to any', () => {
  assert.deepEqual(counts(one({ count: 3 }, nodes(3))), { n1: 1, n2: 1, n3: 1 })
  assert.deepEqual(Object.values(counts(one({ count: 5 }, nodes(3)))).sort(), [1, 2, 2])
})

test('they are spread over the values of a label first', () => {
  const racks = [
    node('a1', { labels: { rack: 'a' } }),
    node('a2', { labels: { rack: 'a' } }),
    node('a3', { labels: { rack: 'a' } }),
    node('b1', { labels: { rack: 'b' } }),
  ]
  const at = counts(one({ count: 4, placement: { labels: {}, spreadBy: 'rack' } }, racks))
  assert.equal(at.b1, 2)
})

test('the least loaded node gets the next one', () => {
  const big = deployment({ service: 'big', reserve: { memoryMb: 4_096, cpus: 2 } })
  const { services } = place({ deployments: [deployment(), big], nodes: nodes(2), placed: [] })
  const [shop, other] = services.map(({ nodes: at }) => [...at.keys()][0])
  assert.notEqual(shop, other)
})

test('role and node are labels that every node has', () => {
  const list = [...nodes(2), node('c1', { role: 'coordinator' })]
  assert.deepEqual(counts(one({ placement: { labels: { role: 'coordinator' } } }, list)), { c1: 1 })
  assert.deepEqual(counts(one({ placement: { labels: { node: 'n2' } } }, list)), { n2: 1 })
  const liar = node('x', { labels: { role: 'coordinator' } })
  assert.deepEqual(counts(one({ placement: { labels: { role: 'coordinator' } } }, [liar])), {})
})

test('one on every node means every node that has the labels, and follows nodes that join', () => {
  const list = [node('n1', { labels: { gpu: 'yes' } }), node('n2'), node('n3', { labels: { gpu: 'yes' } })]
  const rule = { count: 'every' as const, placement: { labels: { gpu: 'yes' } } }
  const first = one(rule, list)
  assert.deepEqual(counts(first), { n1: 1, n3: 1 })
  const joined = one(rule, [...list, node('n4', { labels: { gpu: 'yes' } })], placedBy(first))
  assert.deepEqual(counts(joined), { n1: 1, n3: 1, n4: 1 })
  assert.equal(joined.services[0]?.wanted, 3)
})

test('a suspected node, and one that is away for less than the grace, keep what they have and get nothing new', () => {
  const placed = [{ service: 'shop', nodeId: 'n1', instances: 1 }]
  for (const status of ['suspect', 'dead', 'left'] as const) {
    const list = [node('n1', { status, statusForMs: AWAY_GRACE_MS - 1 }), node('n2')]
    assert.deepEqual(counts(one({ count: 1 }, list, placed)), { n1: 1 }, status)
    assert.deepEqual(counts(one({ count: 2 }, list, placed)), { n1: 1, n2: 1 }, status)
  }
})

test('after the grace a dead node loses what it has, and the moment is told beforehand', () => {
  const placed = [{ service: 'shop', nodeId: 'n1', instances: 1 }]
  const away = (statusForMs: number) => [node('n1', { status: 'dead', statusForMs }), node('n2')]
  assert.equal(one({}, away(20_000), placed).nextMs, AWAY_GRACE_MS - 20_000)
  assert.deepEqual(counts(one({}, away(AWAY_GRACE_MS), placed)), { n2: 1 })
  assert.equal(one({}, away(AWAY_GRACE_MS), placed).nextMs, undefined)
})

test('a node that comes back keeps what nobody else has got, and nothing more', () => {
  const placed = [{ service: 'shop', nodeId: 'n1', instances: 1 }]
  const alone = one({}, [node('n1', { status: 'dead', statusForMs: AWAY_GRACE_MS })], placed)
  assert.deepEqual(counts(alone), {})
  assert.deepEqual(counts(one({}, nodes(1), placedBy(alone))), { n1: 1 })
  const moved = one({}, [node('n1', { status: 'dead', statusForMs: AWAY_GRACE_MS }), node('n2')], placed)
  assert.deepEqual(counts(one({}, nodes(2), placedBy(moved))), { n2: 1 })
})

test('a node that is not in the list is gone at once', () => {
  assert.deepEqual(counts(one({}, nodes(1), [{ service: 'shop', nodeId: 'gone', instances: 1 }])), { n1: 1 })
})

test('scaling down takes from nodes that are away first, then where there are most', () => {
  const placed = ['n1', 'n2', 'n3'].map((nodeId) => ({ service: 'shop', nodeId, instances: nodeId === 'n3' ? 2 : 1 }))
  const list = [node('n1', { status: 'dead', statusForMs: 1 }), node('n2'), node('n3')]
  assert.deepEqual(counts(one({ count: 3 }, list, placed)), { n2: 1, n3: 2 })
  assert.deepEqual(counts(one({ count: 2 }, list, placed)), { n2: 1, n3: 1 })
})

test('a stopped service has no place and wants none', () => {
  const { services } = one({ count: 'every', isStopped: true }, nodes(2), [
    { service: 'shop', nodeId: 'n1', instances: 1 },
  ])
  assert.deepEqual(services, [{ service: 'shop', nodes: new Map(), wanted: 0, problems: [] }])
})

test('a job has one run on a node', () => {
  const job = { kind: 'once' as const, retries: 0 }
  assert.deepEqual(counts(one({ count: 3, job }, nodes(2))), { n1: 1, n2: 1 })
})

test('whoever has no place is told why, and what would help', () => {
  const list = [
    node('n1'),
    node('n2', { labels: { disk: 'ssd' }, capacity: { cpus: 4, memoryBytes: GIB / 4 } }),
    node('n3', { labels: { disk: 'ssd' }, isDraining: true }),
    node('n4', { labels: { disk: 'ssd' }, status: 'dead', statusForMs: AWAY_GRACE_MS }),
    node('n5', { labels: { disk: 'ssd' } }),
    node('n6', { labels: { disk: 'ssd' }, status: 'suspect' }),
    node('n7', { labels: { disk: 'ssd' }, capacity: { cpus: 0.5, memoryBytes: 8 * GIB } }),
  ]
  const rule = { count: 3, reserve: { memoryMb: 512, cpus: 1 }, placement: { labels: { disk: 'ssd' }, perNodeMax: 1 } }
  assert.deepEqual(one(rule, list).services[0]?.problems, [
    '2 of 3 instances of shop have no place.',
    'n1 has no label disk=ssd: set it in the configuration of a node that suits, or ask for other labels.',
    'n2 lacks 256 MB of memory (it needs 512, 256 free).',
    'n7 lacks 0.5 cores (it needs 1, 0.5 free).',
    'Add a node, stop something, or lower `reserve`.',
    'At most 1 on a node is allowed (perNodeMax), and n5 has that: raise it, or add a node.',
    'n3 is being drained: p2p undrain n3.',
    'n6 is not answering at the moment.',
    'n4 is away: start it again.',
  ])
  assert.deepEqual(one({}, []).services[0]?.problems, ['shop has no place: the cluster has no node. Join one.'])
  assert.equal(
    one({ count: 'every', placement: { labels: { a: 'b' } } }, nodes(5)).services[0]?.problems.join(' '),
    'shop is to run on every node that fits, and none does. n1, n2, n3 and 2 more have no label a=b: set it in the configuration of a node that suits, or ask for other labels.',
  )
  assert.deepEqual(one({ count: 2 }, nodes(2)).services[0]?.problems, [])
})

const NODE = fc.record({
  nodeId: fc.constant(''),
  role: fc.constantFrom('worker' as const, 'coordinator' as const),
  labels: fc.record({ rack: fc.constantFrom('a', 'b', 'c'), disk: fc.constantFrom('ssd', 'hdd') }),
  capacity: fc.record({
    cpus: fc.integer({ min: 1, max: 8 }),
    memoryBytes: fc.integer({ min: 1, max: 8 }).map((n) => n * GIB),
  }),
  status: fc.constantFrom(
    'alive' as const,
    'alive' as const,
    'alive' as const,
    'suspect' as const,
    'dead' as const,
    'left' as const,
  ),
  statusForMs: fc.integer({ min: 0, max: 60_000 }),
  isDraining: fc.constantFrom(false, false, false, true),
})
const NODES = fc
  .array(NODE, { minLength: 1, maxLength: 8 })
  .map((list) => list.map((each, i) => ({ ...each, nodeId: `n${i}` })))
const DEPLOYMENTS = fc
  .array(
    fc.record({
      count: fc.oneof(fc.integer({ min: 0, max: 10 }), fc.constant('every' as const)),
      placement: fc.record(
        {
          labels: fc.constantFrom<Record<string, string>[]>({}, {}, { disk: 'ssd' }, { rack: 'a' }),
          spreadBy: fc.constant('rack'),
          perNodeMax: fc.integer({ min: 1, max: 3 }),
        },
        { requiredKeys: ['labels'] },
      ),
      reserve: fc.record({ memoryMb: fc.constantFrom(0, 256, 1_024, 3_000), cpus: fc.constantFrom(0, 0.1, 0.5, 1, 2) }),
    }),
    { maxLength: 6 },
  )
  .map((list) => list.map((fields, i) => deployment({ ...fields, service: `s${i}` })))

function reserved(placement: Placement, deployments: Deployment[], nodeId: string): { cpus: number; memoryMb: number } {
  let [cpus, memoryMb] = [0, 0]
  for (const [i, { nodes: at }] of placement.services.entries()) {
    const { reserve } = deployments[i] as Deployment
    cpus += reserve.cpus * (at.get(nodeId) ?? 0)
    memoryMb += reserve.memoryMb * (at.get(nodeId) ?? 0)
  }
  return { cpus, memoryMb }
}

test('no node gets more than it has, nor more of a service than is allowed, and only nodes that suit get any', () => {
  fc.assert(
    fc.property(NODES, DEPLOYMENTS, (list, deployments) => {
      const placement = place({ deployments, nodes: list, placed: [] })
      for (const each of list) {
        const { cpus, memoryMb } = reserved(placement, deployments, each.nodeId)
        assert.ok(cpus <= each.capacity.cpus + 1e-9 && memoryMb * 1_048_576 <= each.capacity.memoryBytes)
      }
      for (const [i, { nodes: at, wanted, problems }] of placement.services.entries()) {
        const { count, placement: rule } = deployments[i] as Deployment
        const max = count === 'every' ? 1 : (rule.perNodeMax ?? Infinity)
        let total = 0
        for (const [nodeId, instances] of at) {
          const each = list.find((other) => other.nodeId === nodeId) as PlanNode
          assert.ok(instances <= max && each.status === 'alive' && !each.isDraining)
          for (const [name, value] of Object.entries(rule.labels)) assert.equal(each.labels[name], value)
          total += instances
        }
        assert.ok(total <= wanted)
        assert.equal(problems.length > 0, total < wanted || (count === 'every' && wanted === 0))
      }
    }),
    { numRuns: 300 },
  )
})

test('as many are placed as a service alone could have', () => {
  fc.assert(
    fc.property(NODES, DEPLOYMENTS, (list, [first]) => {
      if (!first) return
      const { services } = place({ deployments: [first], nodes: list, placed: [] })
      const fitting = list.filter(
        (each) =>
          each.status === 'alive' &&
          !each.isDraining &&
          Object.entries(first.placement.labels).every(([name, value]) => each.labels[name as 'disk'] === value),
      )
      const most = fitting.reduce((sum, { capacity }) => {
        const byCpu = first.reserve.cpus === 0 ? Infinity : Math.floor(capacity.cpus / first.reserve.cpus + 1e-9)
        const byMemory =
          first.reserve.memoryMb === 0
            ? Infinity
            : Math.floor(capacity.memoryBytes / 1_048_576 / first.reserve.memoryMb)
        const max = first.count === 'every' ? 1 : (first.placement.perNodeMax ?? Infinity)
        return sum + Math.min(byCpu, byMemory, max)
      }, 0)
      const total = [...(services[0]?.nodes.values() ?? [])].reduce((sum, instances) => sum + instances, 0)
      assert.equal(total, first.count === 'every' ? most : Math.min(first.count, most))
    }),
    { numRuns: 300 },
  )
})

test('what was placed is placed so again, and the order of nodes and deployments is no matter', () => {
  fc.assert(
    fc.property(NODES, NODES, DEPLOYMENTS, (list, later, deployments) => {
      const first = place({ deployments, nodes: list, placed: [] })
      // Nodes change their state between the two.
      const second = place({ deployments, nodes: later, placed: placedBy(first) })
      const again = place({ deployments, nodes: later, placed: placedBy(second) })
      assert.deepEqual(again.services, second.services)
      const mirrored = place({
        deployments: deployments.toReversed(),
        nodes: later.toReversed(),
        placed: placedBy(first).reverse(),
      })
      assert.deepEqual(
        mirrored.services.toReversed().map(({ nodes: at }) => Object.fromEntries([...at].sort())),
        second.services.map(({ nodes: at }) => Object.fromEntries([...at].sort())),
      )
    }),
    { numRuns: 300 },
  )
})

test('a node that joins moves nothing', () => {
  fc.assert(
    fc.property(NODES, DEPLOYMENTS, (list, deployments) => {
      const first = placedBy(place({ deployments, nodes: list, placed: [] }))
      const second = place({
        deployments,
        nodes: [...list, node('new', { labels: { rack: 'a', disk: 'ssd' } })],
        placed: first,
      })
      for (const { service, nodeId, instances } of first) {
        const now = second.services.find((each) => each.service === service)?.nodes.get(nodeId) ?? 0
        assert.ok(now >= instances)
      }
    }),
    { numRuns: 300 },
  )
})

test('draining a node moves what it has and nothing else', () => {
  fc.assert(
    fc.property(NODES, DEPLOYMENTS, (list, deployments) => {
      const first = placedBy(place({ deployments, nodes: list, placed: [] }))
      const drained = list.map((each) => (each.nodeId === 'n0' ? { ...each, isDraining: true } : each))
      const second = place({ deployments, nodes: drained, placed: first })
      for (const { service, nodeId, instances } of first) {
        const now = second.services.find((each) => each.service === service)?.nodes.get(nodeId) ?? 0
        if (nodeId === 'n0' && list[0]?.status === 'alive') assert.equal(now, 0)
        else assert.ok(now >= instances)
      }
    }),
    { numRuns: 300 },
  )
})

test('the bench runs, and places as many as asked', () => {
  const rows = benchPlanner({ nodes: 20, services: 20, rounds: 2 })
  assert.deepEqual(
    rows.map(({ instances }) => instances),
    [60, 100, 400, 400],
  )
  for (const row of rows) assert.match(formatRow(row), /instances, from nothing [\d.]+ ms, running [\d.]+ ms, n=2$/)
})
