import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { CallTable } from '../../../../src/service/link/call-table.ts'

test('a table of calls does what a map does, whatever numbers they have', () => {
  const id = fc.oneof(
    fc.nat(20),
    fc.nat(20).map((n) => n * 1_024),
    fc.nat(2 ** 31),
  )
  const step = fc.record({ id, isAdded: fc.boolean() })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const table = new CallTable<{ id: number }>()
      const map = new Map<number, { id: number }>()
      for (const { id: number, isAdded } of steps) {
        if (!isAdded) assert.equal(table.delete(number), map.delete(number))
        else if (!map.has(number)) {
          const call = { id: number }
          map.set(number, call)
          table.add(call)
        }
        assert.equal(table.get(number), map.get(number))
        assert.equal(table.size, map.size)
      }
      const numbers = (calls: Iterable<{ id: number }>): number[] =>
        [...calls].map((call) => call.id).sort((a, b) => a - b)
      assert.deepEqual(numbers(table.list()), numbers(map.values()))
      table.clear()
      assert.deepEqual([table.size, table.list()], [0, []])
    }),
  )
})
