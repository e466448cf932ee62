import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { startOrder, unmetDependency } from '../../../../src/deploy/plan/index.ts'

// The same cases in every run: what fails here fails everywhere.
fc.configureGlobal({ seed: 20_260_801 })

function on(
  service: string,
  ...names: string[]
): { service: string; dependsOn: { service: string; healthy: boolean }[] } {
  return { service, dependsOn: names.map((name) => ({ service: name, healthy: true })) }
}

test('each service comes after those it depends on', () => {
  const services = [on('web', 'api', 'cache'), on('api', 'db'), on('cache'), on('db'), on('audit')]
  assert.deepEqual(startOrder(services), { order: ['db', 'api', 'audit', 'cache', 'web'] })
  assert.deepEqual(startOrder([on('web', 'elsewhere')]), { order: ['web'] })
  assert.deepEqual(startOrder([]), { order: [] })
})

test('a cycle is named from beginning to end', () => {
  assert.deepEqual(startOrder([on('a', 'b'), on('b', 'c'), on('c', 'b')]), { cycle: ['b', 'c', 'b'] })
  assert.deepEqual(startOrder([on('a', 'a')]), { cycle: ['a', 'a'] })
})

test('a chain of thousands is no matter', () => {
  const chain = Array.from({ length: 3_000 }, (_, i) => on(`s${i}`, ...(i > 0 ? [`s${i - 1}`] : [])))
  const found = startOrder(chain)
  assert.ok('order' in found && found.order.length === 3_000)
})

test('an order or a cycle is found, and is one', () => {
  const names = ['a', 'b', 'c', 'd', 'e']
  const graph = fc.array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...names)), { maxLength: 8 })
  fc.assert(
    fc.property(graph, (edges) => {
      const services = names.map((name) => on(name, ...edges.filter(([from]) => from === name).map(([, to]) => to)))
      const found = startOrder(services)
      if ('cycle' in found) {
        assert.equal(found.cycle[0], found.cycle.at(-1))
        for (const [i, name] of found.cycle.slice(0, -1).entries()) {
          assert.ok(edges.some(([from, to]) => from === name && to === found.cycle[i + 1]))
        }
      } else {
        assert.deepEqual([...found.order].sort(), names)
        for (const [from, to] of edges) assert.ok(found.order.indexOf(to) < found.order.indexOf(from))
      }
    }),
  )
})

test('what a service waits for is said', () => {
  const service = {
    service: 'web',
    dependsOn: [
      { service: 'db', healthy: true },
      { service: 'log', healthy: false },
    ],
  }
  const present = new Map([['db', { running: 1, healthy: 1 }]])
  assert.equal(unmetDependency(service, new Map()), 'waits for db, which does not run')
  assert.equal(
    unmetDependency(service, new Map([['db', { running: 2, healthy: 0 }]])),
    'waits for db, which runs but is not healthy',
  )
  assert.equal(unmetDependency(service, present), 'waits for log, which does not run')
  assert.equal(unmetDependency(service, new Map([...present, ['log', { running: 1, healthy: 0 }]])), undefined)
})
