import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Deployment, UpdateStrategy } from '../../../../src/base/deployment.ts'
import { deploymentOf } from '../../../../src/deploy/plan/index.ts'
import { deployment } from './fixture.ts'
import { type Nature, Simulation } from './simulation.ts'

const TICK_MS = 1_000
const CHAOS_TICKS = 120
const SETTLE_TICKS_MAX = 900
/** Longer than a node that is away keeps what it has. */
const QUIET_TICKS = 40

const NATURES: readonly Nature[] = [
  'good',
  'good',
  'good',
  'crashes',
  'crashes-later',
  'fails-check',
  'fails-later',
  'hangs',
  'sick-on-one-node',
]

/** Whatever happens to nodes, services and the coordinator, drawn from the seed. */
function chaos(sim: Simulation): void {
  let generation = 0
  const base = (): Deployment | undefined => {
    const plan = sim.plan('shop')
    return plan && deploymentOf(plan)
  }
  for (let tick = 0; tick < CHAOS_TICKS; tick++) {
    const roll = sim.chance()
    if (generation === 0 || (roll < 0.03 && sim.isCoordinatorUp)) {
      generation++
      const now = base()
      const kind = now && !now.isStopped ? sim.pick(['update', 'update', 'scale', 'stop']) : 'update'
      const isNew = kind === 'update' || !now
      if (isNew) sim.natures.set(generation, sim.pick(NATURES))
      sim.deploy(
        deployment({
          generation,
          processGeneration: isNew ? generation : now.processGeneration,
          count: sim.pick([1, 2, 3, 5, 'every' as const]),
          placement: sim.pick([{ labels: {} }, { labels: {}, perNodeMax: 1 }]),
          update: sim.pick<UpdateStrategy>([
            { kind: 'rolling', batch: 1 },
            { kind: 'rolling', batch: 2 },
            { kind: 'canary', nodes: 1, watchMs: 15_000, batch: 2 },
            { kind: 'all-at-once' },
          ]),
          isStopped: kind === 'stop',
        }),
      )
    } else if (roll < 0.06) sim.pick(sim.nodes).crash()
    else if (roll < 0.12) for (const each of sim.nodes) each.isAlive ||= sim.chance() < 0.7
    else if (roll < 0.13) sim.killCoordinator()
    else if (roll < 0.2 && !sim.isCoordinatorUp) sim.startCoordinator()
    else if (roll < 0.22) {
      const each = sim.pick(sim.nodes)
      each.isDraining = !each.isDraining
    }
    sim.tick(TICK_MS)
  }
  // One node at most stays away for good, one at most drained.
  for (const each of sim.nodes.slice(1)) {
    each.isAlive = true
    each.isDraining &&= each.nodeId === 'n3'
  }
  if (!sim.isCoordinatorUp) sim.startCoordinator()
}

function settle(sim: Simulation): void {
  let quiet = 0
  let before = ''
  for (let tick = 0; tick < SETTLE_TICKS_MAX && quiet < QUIET_TICKS; tick++) {
    sim.tick(TICK_MS)
    const now = sim.plans.map(({ nodes, rollout }) => JSON.stringify(nodes) + rollout.state).join()
    quiet = now === before && !now.includes('running') ? quiet + 1 : 0
    before = now
  }
}

function check(sim: Simulation): string {
  const plan = sim.plan('shop')
  assert.ok(plan)
  const { rollout } = plan
  assert.notEqual(rollout.state, 'running')
  assert.notEqual(rollout.state, 'superseded')
  const desired = deploymentOf(plan)
  const isOff = desired.isStopped || (rollout.state === 'failed' && rollout.isBad && rollout.from === undefined)
  const free = sim.nodes.filter(({ isAlive, isDraining }) => isAlive && !isDraining)
  const living = sim.nodes.filter(({ isAlive }) => isAlive)
  const { count, placement } = desired
  const most = free.length * (placement.perNodeMax ?? Infinity)
  const wanted = isOff ? 0 : count === 'every' ? free.length : Math.min(count, most)
  const running = living.flatMap((each) => [...(each.running.get('shop') ?? [])])
  const drained = living.filter(({ isDraining }) => isDraining).flatMap((each) => [...(each.running.get('shop') ?? [])])
  assert.equal(running.length - drained.length, wanted, 'exactly as many as wanted')
  // What has no other place, or none where it is healthy, stays on a node that is drained.
  if (count !== 'every' && drained.length > 0)
    assert.ok(sim.healthy('shop') <= count && sim.healthy('shop') - drained.length < count)
  assert.ok(
    running.every(({ process }) => process === desired.processGeneration),
    'one generation only',
  )
  const planned = new Map(plan.nodes.map(({ nodeId, instances }) => [nodeId, instances]))
  for (const each of living) {
    const isRunning = each.running.get('shop')?.length ?? 0
    assert.equal(isRunning, planned.get(each.nodeId) ?? 0, 'what the plan says')
  }
  if (rollout.state === 'succeeded' && !isOff) assert.equal(desired.generation, rollout.to)
  if (rollout.state === 'rolled-back' || rollout.state === 'failed') assert.ok(rollout.reason)
  return rollout.state
}

const SEEDS = 1_000

test(`in ${SEEDS} clusters where nodes, versions and the coordinator fail, each change ends in a clear state with what is wanted`, () => {
  const ends = new Map<string, number>()
  for (let seed = 1; seed <= SEEDS; seed++) {
    const sim = new Simulation(seed, 5)
    try {
      chaos(sim)
      settle(sim)
      const state = check(sim)
      ends.set(state, (ends.get(state) ?? 0) + 1)
    } catch (error) {
      assert.fail(`seed ${seed}: ${String(error)}\n${JSON.stringify(sim.plans, undefined, 1).slice(0, 6_000)}`)
    }
  }
  // The seeds reach every end.
  for (const state of ['succeeded', 'rolled-back', 'failed']) assert.ok((ends.get(state) ?? 0) > 10, state)
})

/** A cluster in which generation 1 runs well on `count` nodes. */
function settled(seed: number, count: number): Simulation {
  const sim = new Simulation(seed, count)
  sim.deploy(deployment({ count, placement: { labels: {}, perNodeMax: 1 } }))
  for (let i = 0; i < 20; i++) sim.tick(TICK_MS)
  assert.equal(sim.healthy('shop'), count)
  return sim
}

test('a rolling update never takes more than a batch out of service, also when the coordinator is killed on the way', () => {
  for (let seed = 1; seed <= 100; seed++) {
    const sim = new Simulation(seed, 0)
    const count = 2 + Math.floor(sim.chance() * 5)
    const batch = 1 + Math.floor(sim.chance() * 3)
    const cluster = settled(seed, count)
    cluster.natures.set(2, 'good')
    cluster.deploy(
      deployment({
        generation: 2,
        count,
        placement: { labels: {}, perNodeMax: 1 },
        update: { kind: 'rolling', batch },
      }),
    )
    for (let i = 0; i < 200 && cluster.plan('shop')?.rollout.state === 'running'; i++) {
      if (cluster.chance() < 0.05) {
        cluster.killCoordinator()
        for (let down = 0; down < 5; down++) cluster.tick(TICK_MS)
        cluster.startCoordinator()
      }
      cluster.tick(TICK_MS)
      assert.ok(
        cluster.healthy('shop') >= count - batch,
        `seed ${seed}: ${cluster.healthy('shop')} of ${count}, batch ${batch}`,
      )
    }
    assert.equal(cluster.plan('shop')?.rollout.state, 'succeeded', `seed ${seed}`)
  }
})

test('a version that fails is gone from every node within ten seconds', () => {
  for (const nature of ['crashes', 'crashes-later', 'fails-later', 'sick-on-one-node'] as const) {
    const cluster = settled(7, 4)
    cluster.natures.set(2, nature)
    cluster.deploy(
      deployment({
        generation: 2,
        count: 4,
        placement: { labels: {}, perNodeMax: 1 },
        update: { kind: 'rolling', batch: 2 },
      }),
    )
    let failedAtMs: number | undefined
    for (let i = 0; i < 120; i++) {
      cluster.tick(TICK_MS)
      const isIll = cluster.nodes.some((each) =>
        (each.running.get('shop') ?? []).some(
          (one) => one.process === 2 && (one.backoffMs > 0 || (one.ageMs >= 2_000 && !each.isHealthy(one))),
        ),
      )
      if (isIll) failedAtMs ??= cluster.wallMs
      if (failedAtMs === undefined || cluster.wallMs - failedAtMs < 10_000) continue
      const bad = cluster.nodes.flatMap((each) =>
        (each.running.get('shop') ?? []).filter(({ process }) => process === 2),
      )
      assert.equal(bad.length, 0, nature)
    }
    assert.equal(cluster.plan('shop')?.rollout.state, 'rolled-back', nature)
    assert.equal(cluster.healthy('shop'), 4)
  }
})

test('a rollout that is stored and gone on with after every step ends as one that is not', () => {
  for (let seed = 1; seed <= 36; seed++) {
    const ends = [false, true].map((isRestored) => {
      const cluster = settled(seed, 4)
      const nature = NATURES[seed % NATURES.length] as Nature
      cluster.natures.set(2, nature)
      const update: UpdateStrategy =
        seed % 2 === 0 ? { kind: 'rolling', batch: 1 } : { kind: 'canary', nodes: 1, watchMs: 9_000, batch: 2 }
      cluster.deploy(deployment({ generation: 2, count: 4, placement: { labels: {}, perNodeMax: 1 }, update }))
      for (let i = 0; i < 150; i++) {
        cluster.tick(TICK_MS)
        if (isRestored) cluster.plans = JSON.parse(JSON.stringify(cluster.plans))
      }
      return JSON.stringify(cluster.plan('shop'))
    })
    assert.equal(ends[0], ends[1], `seed ${seed}`)
  }
})
