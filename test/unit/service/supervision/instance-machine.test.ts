import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  type InstanceAction,
  type InstanceEvent,
  InstanceMachine,
} from '../../../../src/service/supervision/instance-machine.ts'
import { SimulatedRandom } from '../../../../src/testing/simulated-random.ts'

const RULE = {
  policy: 'always',
  backoffMsMin: 100,
  backoffMsMax: 1_000,
  endsMax: 3,
  windowMs: 60_000,
  healthyMs: 5_000,
} as const
const TIMES = { startTimeoutMs: 30_000, drainTimeoutMs: 4_000, endTimeoutMs: 3_000 }
const crash: InstanceEvent = { type: 'ended', cause: 'fault', reason: 'it crashed', chance: 0 }

function machine(): InstanceMachine {
  return new InstanceMachine(RULE, TIMES)
}

/** A machine that runs since `readyMs`. */
function running(readyMs = 0): InstanceMachine {
  const started = machine()
  started.step(0, { type: 'start' })
  started.step(readyMs, { type: 'ready' })
  return started
}

describe('an instance', () => {
  test('is started, becomes ready, and runs without being woken', () => {
    const instance = machine()
    assert.deepEqual(instance.step(0, { type: 'start' }), ['spawn'])
    assert.deepEqual([instance.state, instance.wakeAtMs], ['starting', 30_000])
    assert.deepEqual(instance.step(90, { type: 'ready' }), [])
    assert.deepEqual([instance.state, instance.wakeAtMs, instance.restarts], ['running', undefined, 0])
  })

  test('comes back after a crash, and tells why it was away', () => {
    const instance = running()
    instance.step(1_000, crash)
    assert.deepEqual([instance.state, instance.reason, instance.wakeAtMs], ['backoff', 'it crashed', 1_100])
    assert.deepEqual(instance.step(1_099, { type: 'tick' }), [])
    assert.deepEqual(instance.step(1_100, { type: 'tick' }), ['spawn'])
    assert.deepEqual([instance.state, instance.restarts], ['starting', 1])
    instance.step(1_200, { type: 'ready' })
    assert.deepEqual([instance.state, instance.reason], ['running', undefined])
  })

  test('is killed when it is not ready in time, which counts as an end of its own', () => {
    const instance = machine()
    instance.step(0, { type: 'start' })
    assert.deepEqual(instance.step(30_000, { type: 'tick' }), ['kill'])
    instance.step(30_010, { type: 'ended', cause: 'killed', reason: 'SIGKILL', chance: 0 })
    assert.deepEqual([instance.state, instance.reason], ['backoff', 'it was not ready within 30000 ms'])
  })

  test('is given up after too many ends, and a start by hand gives it all its chances again', () => {
    const instance = machine()
    let nowMs = 0
    instance.step(nowMs, { type: 'start' })
    for (let end = 0; end < RULE.endsMax; end++) {
      instance.step(nowMs, crash)
      nowMs = instance.wakeAtMs ?? nowMs
      instance.step(nowMs, { type: 'tick' })
    }
    assert.equal(instance.state, 'failed')
    assert.match(instance.reason ?? '', /ended 3 times within 60 s.*it crashed/)
    assert.equal(instance.wakeAtMs, undefined)
    assert.deepEqual(instance.step(nowMs, { type: 'start' }), ['spawn'])
    instance.step(nowMs, crash)
    assert.equal(instance.state, 'backoff')
  })

  test('that is deaf is killed at once; one that is ill may end in order first', () => {
    const deaf = running()
    assert.deepEqual(deaf.step(50, { type: 'unusable', reason: 'no heartbeat', isDeaf: true }), ['kill'])
    const ill = running()
    assert.deepEqual(ill.step(50, { type: 'unusable', reason: '/health: 500', isDeaf: false }), ['end'])
    assert.deepEqual(ill.step(3_050, { type: 'tick' }), ['kill'])
    ill.step(3_060, { type: 'ended', cause: 'killed', reason: 'SIGKILL', chance: 0 })
    assert.deepEqual([ill.state, ill.reason], ['backoff', '/health: 500'])
  })

  test('is stopped in three steps: no more calls, asked to end, killed', () => {
    const instance = running()
    assert.deepEqual(instance.step(100, { type: 'stop' }), ['drain'])
    assert.deepEqual([instance.state, instance.wakeAtMs], ['stopping', 4_100])
    assert.deepEqual(instance.step(4_100, { type: 'tick' }), ['end'])
    assert.deepEqual(instance.step(7_100, { type: 'tick' }), ['kill'])
    assert.deepEqual(instance.step(7_200, { type: 'tick' }), [])
    instance.step(7_200, { type: 'ended', cause: 'killed', reason: 'SIGKILL', chance: 0 })
    assert.deepEqual([instance.state, instance.wakeAtMs, instance.restarts], ['stopped', undefined, 0])
  })

  test('is asked to end as soon as its last call is answered', () => {
    const instance = running()
    instance.step(100, { type: 'stop' })
    assert.deepEqual(instance.step(150, { type: 'drained' }), ['end'])
    assert.deepEqual(instance.step(151, { type: 'drained' }), [])
    assert.equal(instance.wakeAtMs, 3_150)
  })

  test('stays stopped when it is stopped while it is being ended for being ill', () => {
    const instance = running()
    instance.step(50, { type: 'unusable', reason: 'no heartbeat', isDeaf: true })
    assert.deepEqual(instance.step(51, { type: 'stop' }), [])
    instance.step(60, { type: 'ended', cause: 'killed', reason: 'SIGKILL', chance: 0 })
    assert.equal(instance.state, 'stopped')
  })

  test('is stopped at once while it waits or was given up, and at its end while it starts', () => {
    const waiting = running()
    waiting.step(10, crash)
    assert.deepEqual(waiting.step(11, { type: 'stop' }), [])
    assert.deepEqual([waiting.state, waiting.wakeAtMs], ['stopped', undefined])
    const starting = machine()
    starting.step(0, { type: 'start' })
    assert.deepEqual(starting.step(1, { type: 'stop' }), ['end'])
    starting.step(2, crash)
    assert.equal(starting.state, 'stopped')
  })

  test('does not listen to what comes too late', () => {
    const instance = machine()
    for (const type of ['ready', 'drained', 'tick', 'stop'] as const)
      assert.deepEqual(instance.step(0, { type }), [], type)
    assert.deepEqual(instance.step(0, crash), [])
    assert.deepEqual(instance.step(0, { type: 'unusable', reason: 'x', isDeaf: true }), [])
    assert.equal(instance.state, 'stopped')
    const alive = running()
    assert.deepEqual(alive.step(5, { type: 'start' }), [])
    assert.deepEqual(alive.step(5, { type: 'ready' }), [])
    assert.equal(alive.state, 'running')
  })
})

test('whatever happens in whatever order, at most one run is there, and it has a way to its end', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = new SimulatedRandom(seed)
    const instance = machine()
    let nowMs = 0
    let runs = 0
    const act = (actions: InstanceAction[]): void => {
      for (const action of actions) {
        if (action === 'spawn') runs++
        else assert.equal(runs, 1, `seed ${seed}: ${action} without a run`)
      }
      assert.ok(runs <= 1, `seed ${seed}: two runs at ${nowMs}`)
    }
    for (let step = 0; step < 200; step++) {
      nowMs += random.float() * 2_000
      const events: InstanceEvent[] = [
        { type: 'start' },
        { type: 'stop' },
        { type: 'drained' },
        { type: 'tick' },
        { type: 'tick' },
        { type: 'unusable', reason: 'ill', isDeaf: random.float() < 0.5 },
        ...(runs === 1 ? ([{ type: 'ready' }, { ...crash, chance: random.float() }] as InstanceEvent[]) : []),
      ]
      const event = events[Math.floor(random.float() * events.length)] as InstanceEvent
      if (event.type === 'ended') runs = 0
      act(instance.step(nowMs, event))
      const isAlive = runs === 1
      const expectsRun = ['starting', 'running', 'stopping'].includes(instance.state)
      assert.equal(isAlive, expectsRun, `seed ${seed}, step ${step}: ${event.type} led to ${instance.state}`)
    }
  }
})
