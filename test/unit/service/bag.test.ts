import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { Bag } from '../../../src/service/calls/bag.ts'

test('a bag does what a set does, in no order', () => {
  const step = fc.record({ which: fc.nat(9), isAdded: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const things = Array.from({ length: 10 }, (_, n) => ({ n, place: -1 }))
      const bag = new Bag<{ n: number; place: number }>()
      const set = new Set<number>()
      for (const { which, isAdded } of steps) {
        const thing = things[which] as { n: number; place: number }
        if (!isAdded) assert.equal(bag.delete(thing), set.delete(which))
        else if (!set.has(which)) {
          bag.add(thing)
          set.add(which)
        }
        assert.equal(bag.size, set.size)
      }
      assert.deepEqual(new Set(bag.list().map(({ n }) => n)), set)
    }),
  )
})
