import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as fc from 'fast-check'
import type { Operation } from '../../../src/base/control-store.ts'
import { codeOf } from '../../../src/base/errors.ts'
import type { Vault } from '../../../src/storage/index.ts'
import { bytesOf, openVault, textOf, VAULT_PATH, type World, world } from './support.ts'

type Step =
  | { type: 'write'; transactions: Operation[][] }
  | { type: 'snapshot' }
  | { type: 'disk'; isFull: boolean }
  | { type: 'stop' }

interface Round {
  steps: Step[]
  /** Everything stops in this operation on the disk, counted from the vault's start. */
  cutAfter: number
  /** Only the process dies: what it wrote can be read, though not everything of it is synced. */
  isKill: boolean
}

/** What the vault must hold, and what it may hold besides: transactions that were never answered. */
interface Model {
  content: Map<string, string>
  unanswered: Operation[][]
}

const key = fc.constantFrom('a', 'a/b', 'b', 'c', 'd/é', 'e')
const operation: fc.Arbitrary<Operation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('put' as const),
      key,
      value: fc.string({ maxLength: 1500 }).map(bytesOf),
    }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), key }) },
)
const transaction = fc.uniqueArray(operation, { minLength: 1, maxLength: 3, selector: (each) => each.key })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      transactions: fc.array(transaction, { minLength: 1, maxLength: 5 }),
    }),
  },
  { weight: 2, arbitrary: fc.constant({ type: 'snapshot' as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('disk' as const), isFull: fc.boolean() }) },
  { weight: 1, arbitrary: fc.constant({ type: 'stop' as const }) },
)
const round: fc.Arbitrary<Round> = fc.record({
  steps: fc.array(step, { minLength: 1, maxLength: 8 }),
  cutAfter: fc.integer({ min: 1, max: 40 }),
  isKill: fc.boolean(),
})

test('whatever is written and wherever the power fails, the vault holds all that was acknowledged and nothing by halves', async () => {
  const property = fc.asyncProperty(fc.nat(), fc.array(round, { minLength: 1, maxLength: 4 }), async (seed, rounds) => {
    const w = world(seed)
    const model: Model = { content: new Map(), unanswered: [] }
    for (const each of rounds) {
      await live(w, model, each)
      if (each.isKill) w.disk.killProcess()
      else w.disk.restart()
      w.disk.capacityBytes = Infinity
    }
    await reconcile(await openVault(w), model)
  })
  await fc.assert(property, { numRuns: 250 })
})

test('the power failing in every single operation of a life loses nothing that was acknowledged', async () => {
  const put = (name: string, value: string): Operation => ({ type: 'put', key: name, value: bytesOf(value) })
  const steps: Step[] = [
    { type: 'write', transactions: [[put('a', '1')], [put('b', '2'), put('c', '3')]] },
    { type: 'snapshot' },
    { type: 'write', transactions: [[put('a', '4'), { type: 'delete', key: 'b' }]] },
    { type: 'write', transactions: [[put('big', 'x'.repeat(3000))]] },
    { type: 'snapshot' },
    { type: 'stop' },
  ]
  let cutCount = 0
  for (let seed = 1; seed <= 4; seed++) {
    for (let cutAfter = 1; ; cutAfter++) {
      const w = world(seed)
      const model: Model = { content: new Map(), unanswered: [] }
      await live(w, model, { steps, cutAfter, isKill: false })
      if (!w.disk.isOff) break
      cutCount++
      w.disk.restart()
      await reconcile(await openVault(w), model)
    }
  }
  assert.ok(cutCount > 80, 'the cuts went through creation, commits, snapshots and the stop')
})

test('what is found after a kill is made durable before it is shown', async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const w = world(seed)
    const killed = await openVault(w)
    // The append is written, and the process dies in its sync.
    w.disk.cutPowerAfter(2)
    await assert.rejects(killed.store.transact({ operations: [{ type: 'put', key: 'a', value: bytesOf('1') }] }))
    w.disk.killProcess()
    const survivor = await openVault(w)
    assert.ok(await survivor.store.get('a'))
    w.disk.restart()
    assert.ok(await (await openVault(w)).store.get('a'), `seed ${seed}`)
  }
})

test('a power failure after a full disk leaves nothing of the write that was refused', async () => {
  for (let seed = 1; seed <= 200; seed++) {
    const w = world(seed)
    const vault = await openVault(w)
    const put = (key: string, bytes: number): Promise<unknown> =>
      vault.store.transact({ operations: [{ type: 'put', key, value: new Uint8Array(bytes) }] })
    await put('a', 10)
    w.disk.capacityBytes = vault.status().bytes + 4000
    await assert.rejects(put('refused', 5000))
    w.disk.capacityBytes = Infinity
    w.disk.cutPowerAfter(2)
    await assert.rejects(put('unanswered', 2000))
    w.disk.restart()
    const keys = (await (await openVault(w)).store.range('')).map(({ key }) => key)
    assert.ok(keys.join() === 'a' || keys.join() === 'a,unanswered', `seed ${seed}: ${keys.join()}`)
  }
})

/** Opens the vault, checks it, runs the steps until they end or everything stops. */
async function live(w: World, model: Model, { steps, cutAfter }: Round): Promise<void> {
  w.disk.cutPowerAfter(cutAfter)
  const vault = await attempt(w, () => openVault(w))
  if (!vault) return
  await reconcile(vault, model)
  for (const each of steps) {
    if (w.disk.isOff) return
    if (each.type === 'disk') w.disk.capacityBytes = each.isFull ? w.disk.contentOf(VAULT_PATH).length + 200 : Infinity
    else if (each.type === 'snapshot') await attempt(w, () => vault.snapshot())
    else if (each.type === 'write') await write(w, vault, model, each.transactions)
    else {
      await vault.stop()
      return
    }
  }
}

/**
 * Compares what is found after whatever happened. What was in flight may be there or not, but in order and each
 * whole; from then on what is there is what must stay.
 */
async function reconcile(vault: Vault, model: Model): Promise<void> {
  const content = new Map((await vault.store.range('')).map((entry) => [entry.key, textOf(entry.value)]))
  const possible = [new Map(model.content)]
  for (const operations of model.unanswered) possible.push(apply(new Map(possible.at(-1)), operations))
  const found = possible.find((candidate) => isEqual(candidate, content))
  assert.ok(found, `found ${describe(content)}, expected one of ${possible.map(describe).join(' | ')}`)
  model.content = content
  model.unanswered = []
}

async function write(w: World, vault: Vault, model: Model, transactions: Operation[][]): Promise<void> {
  const results = await Promise.allSettled(transactions.map((operations) => vault.store.transact({ operations })))
  for (const [i, result] of results.entries()) {
    const operations = transactions[i] as Operation[]
    if (result.status === 'fulfilled') {
      assert.deepEqual(model.unanswered, [], 'nothing is acknowledged after something was lost')
      apply(model.content, operations)
    } else if (codeOf(result.reason) !== 'P2P_STORAGE_FULL') {
      assert.ok(w.disk.isOff, String(result.reason))
      model.unanswered.push(operations)
    }
  }
}

/** What fails may only fail by the power or for want of room. */
async function attempt<T>(w: World, action: () => Promise<T>): Promise<T | undefined> {
  try {
    return await action()
  } catch (error) {
    if (!w.disk.isOff && codeOf(error) !== 'P2P_STORAGE_FULL') throw error
    return undefined
  }
}

function apply(content: Map<string, string>, operations: Operation[]): Map<string, string> {
  for (const each of operations) {
    if (each.type === 'put') content.set(each.key, textOf(each.value))
    else content.delete(each.key)
  }
  return content
}

function isEqual(a: Map<string, string>, b: Map<string, string>): boolean {
  return a.size === b.size && [...a].every(([name, value]) => b.get(name) === value)
}

function describe(content: Map<string, string>): string {
  return JSON.stringify([...content].map(([name, value]) => `${name}=${value.length} characters`))
}
