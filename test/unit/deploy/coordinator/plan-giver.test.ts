import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../../src/base/log.ts'
import { DesiredState } from '../../../../src/deploy/coordinator/desired-state.ts'
import { PlanGiver } from '../../../../src/deploy/coordinator/plan-giver.ts'
import { planOf } from '../../../../src/deploy/signed-plan.ts'
import { SimulatedClock } from '../../../../src/testing/simulated-clock.ts'
import { simulatedSigner } from '../../../../src/testing/simulated-signature.ts'
import { openVault, world } from '../../storage/support.ts'

const CONTENT = { cluster: 'test', nodeId: 'w1', assignments: [], isDraining: true }

test('a node gets its plan that asked for it before this coordinator had made one, or while it was away', async (t) => {
  const clock = new SimulatedClock()
  const made = world()
  const vault = await openVault({ needs: { ...made.needs, clock } })
  t.after(() => vault.stop())
  const state = new DesiredState(vault.store)
  const given: number[] = []
  const present = new Set<string>()
  const giverOf = (): PlanGiver =>
    new PlanGiver({
      clock,
      random: made.random,
      log: silentLogger,
      state,
      signer: simulatedSigner({ cluster: 'test', role: 'coordinator', nodeId: 'c1' }),
      isPresent: (nodeId) => present.has(nodeId),
      give: async (_nodeId, signed) => void given.push(planOf(signed).revision),
      onFailure: () => {},
    })

  const first = giverOf()
  await first.set(CONTENT)
  await clock.run(0)
  assert.deepEqual(given, [], 'it is away')
  await first.set(CONTENT)
  await clock.run(0)
  assert.deepEqual(given, [], 'and still is')
  present.add('w1')
  await first.set(CONTENT)
  await clock.run(0)
  assert.deepEqual(given, [1])
  await first.set(CONTENT)
  await clock.run(60_000)
  assert.deepEqual(given, [1], 'once is enough')
  await first.stop()

  const restarted = giverOf()
  await restarted.follows('w1', 0)
  await clock.run(0)
  assert.deepEqual(given, [1], 'there is no plan yet')
  await restarted.set(CONTENT)
  await clock.run(0)
  assert.deepEqual(given, [1, 1])
  await restarted.stop()
})
