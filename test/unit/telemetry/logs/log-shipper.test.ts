import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type P2PError, RpcError, TransportError } from '../../../../src/base/errors.ts'
import type { Principal } from '../../../../src/base/identity.ts'
import type { MemberEvent, MemberStatus } from '../../../../src/base/member.ts'
import { type Caller, RawJson } from '../../../../src/service/index.ts'
import { createLogShipper, createLogSpool } from '../../../../src/telemetry/index.ts'
import { SimulatedClock, SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { member, membershipOf } from '../../service/http/stub-node.ts'
import { entry, filesOfProcess, messagesOf, RememberingLogger } from './support.ts'

interface Batch {
  node_id: string
  epoch: string
  first: number
  lost: number
  sent_at: number
  logs: object[]
}

type Answer = (batch: Batch, target: string | undefined) => P2PError | 'silence' | undefined

/** A node with a spool and a shipper; coordinators that take or refuse what the test says, and know what they have. */
function setUp(options: { role?: 'worker' | 'coordinator'; seed?: number } = {}) {
  const { role = 'worker', seed = 1 } = options
  const clock = new SimulatedClock()
  const random = new SimulatedRandom(seed)
  const disk = new SimulatedDisk(random)
  const log = new RememberingLogger()
  const batches: { batch: Batch; target: string | undefined; caller: Principal }[] = []
  let answer: Answer = () => undefined
  const calls: Caller = {
    async call(method, params, context, target) {
      assert.equal(method, 'log_collector/add_logs')
      assert.ok(params instanceof RawJson)
      const batch = JSON.parse(params.text) as Batch
      const failure = answer(batch, target)
      if (failure === 'silence') {
        await new Promise((_resolve, reject) =>
          context.signal?.addEventListener('abort', () => reject(context.signal?.reason as Error)),
        )
      }
      batches.push({ batch, target, caller: context.caller })
      if (failure) throw failure
      return { success: true, added: batch.logs.length, total_stored: 0 }
    },
  }
  const listeners = new Set<(event: MemberEvent) => void>()
  const members = [
    member(role === 'worker' ? 'me' : 'c1', role),
    ...(role === 'worker' ? [member('c1', 'coordinator')] : []),
  ]
  const membership = {
    ...membershipOf(members),
    onChange(listener: (event: MemberEvent) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  const setStatus = (nodeId: string, status: MemberStatus): void => {
    const index = members.findIndex(({ record }) => record.nodeId === nodeId)
    const changed = { ...(members[index] ?? member(nodeId, 'coordinator')), status }
    if (index < 0) members.push(changed)
    else members[index] = changed
    for (const listener of listeners) listener({ member: changed, previous: undefined })
  }
  return {
    clock,
    disk,
    log,
    random,
    batches,
    setStatus,
    set answer(value: Answer) {
      answer = value
    },
    sent: () => batches.flatMap(({ batch }) => batch.logs.map((line) => (line as { message: string }).message)),
    start: async () => {
      const { files, kill } = filesOfProcess(disk)
      let isKilled = false
      const ownCalls: Caller = { call: (...args) => (isKilled ? new Promise(() => {}) : calls.call(...args)) }
      const spool = createLogSpool({ clock, random, files, log: () => log }, { directory: '/spool', bytesMax: 2 ** 20 })
      await spool.start()
      const shipper = createLogShipper(
        { clock, random, log, spool, calls: ownCalls, membership },
        { nodeId: role === 'worker' ? 'me' : 'c1', role },
      )
      await shipper.start(new AbortController().signal)
      return {
        spool,
        shipper,
        kill: () => {
          isKilled = true
          kill()
          disk.killProcess()
        },
      }
    },
  }
}

/** Lets virtual time pass until the promise has settled. */
async function finished(clock: SimulatedClock, promise: Promise<unknown>): Promise<void> {
  let isDone = false
  void promise.finally(() => (isDone = true))
  assert.ok(await clock.runUntil(() => isDone, 10_000))
  await promise
}

const unreachable = (): P2PError => new TransportError('P2P_TRANSPORT_UNREACHABLE', 'no address answers')

describe('the shipper', () => {
  test('brings lines to the coordinator within milliseconds, those of a moment together, as itself', async () => {
    const { clock, batches, start } = setUp()
    const { spool, shipper } = await start()
    for (const message of ['a', 'b', 'c']) spool.sink(entry(message))
    await clock.run(5)
    assert.equal(batches.length, 1)
    const [{ batch, target, caller } = assert.fail()] = batches
    assert.deepEqual([target, caller], ['c1', { kind: 'node', nodeId: 'me', role: 'worker' }])
    assert.deepEqual([batch.node_id, batch.first, batch.lost], ['me', 1, 0])
    assert.match(batch.epoch, /^[\da-f]{16}$/)
    assert.deepEqual(messagesOf(batch.logs.map((line) => JSON.stringify(line))), ['a', 'b', 'c'])
    assert.equal(spool.stats().waiting, 0)
    await finished(clock, shipper.stop())
  })

  test('batches of a busy node leave apart from each other, each line in milliseconds; what waits in masses leaves at once', async () => {
    const node = setUp()
    const leftMs: number[] = []
    node.answer = () => void leftMs.push(node.clock.nowMs())
    const { spool, shipper } = await node.start()
    for (let i = 0; i < 1_000; i++) {
      spool.sink(entry(`line ${i}`))
      await node.clock.run(1)
      assert.ok(spool.stats().waiting <= 8)
    }
    assert.ok(leftMs.length > 100 && leftMs.length < 130, `${leftMs.length} batches in a second`)
    await node.clock.run(20)
    leftMs.length = 0
    for (let i = 0; i < 7_000; i++) spool.sink(entry(`mass ${i}`))
    await node.clock.run(20)
    assert.equal(spool.stats().waiting, 0)
    assert.ok(leftMs.filter((ms) => ms === leftMs[0]).length > 2, `batches left at ${leftMs.join()}`)
    assert.ok(new Set(leftMs).size <= 2, `batches left at ${leftMs.join()}`)
    assert.equal(node.sent().length, 8_000)
    await finished(node.clock, shipper.stop())
  })

  test('sends one batch at a time, and the same lines again after a failure', async () => {
    const node = setUp()
    let failures = 3
    node.answer = () => (failures-- > 0 ? unreachable() : undefined)
    const { spool, shipper } = await node.start()
    spool.sink(entry('a'))
    await node.clock.run(20_000)
    assert.deepEqual(node.sent(), ['a', 'a', 'a', 'a'])
    assert.deepEqual(node.log.lines, [], 'a short outage is not worth a line')
    await finished(node.clock, shipper.stop())
  })

  test('an outage is said once, and its end; a coordinator that comes back is tried at once', async () => {
    const node = setUp()
    node.answer = unreachable
    const { spool, shipper } = await node.start()
    spool.sink(entry('a'))
    await node.clock.run(3_600_000)
    assert.deepEqual(node.log.lines, ['WARNING Log lines are not stored by a coordinator; they wait in the spool'])
    const tries = node.batches.length
    assert.ok(tries < 1_000, `${tries} tries in an hour`)
    node.answer = () => undefined
    node.setStatus('c1', 'alive')
    await node.clock.run(1)
    assert.equal(node.batches.length, tries + 1)
    assert.equal(node.log.lines.at(-1), 'INFO Log lines are stored by the coordinator again')
    await finished(node.clock, shipper.stop())
  })

  test('new lines do not make it ask a failing coordinator more often', async () => {
    const node = setUp()
    node.answer = () => new RpcError('P2P_RPC_OVERLOADED', 'later')
    const { spool, shipper } = await node.start()
    for (let i = 0; i < 1_000; i++) {
      spool.sink(entry(`line ${i}`))
      await node.clock.run(10)
    }
    assert.ok(node.batches.length < 12, `${node.batches.length} tries in 10 s`)
    await finished(node.clock, shipper.stop())
  })

  test('without a coordinator nobody is asked; the first one alive by name gets the lines, and keeps getting them', async () => {
    const node = setUp()
    node.setStatus('c1', 'dead')
    const { spool, shipper } = await node.start()
    spool.sink(entry('a'))
    await node.clock.run(1_000)
    assert.equal(node.batches.length, 0)
    node.setStatus('c2', 'alive')
    await node.clock.run(10)
    node.setStatus('c1', 'alive')
    spool.sink(entry('b'))
    await node.clock.run(10)
    node.setStatus('c2', 'dead')
    spool.sink(entry('c'))
    await node.clock.run(10)
    assert.deepEqual(
      node.batches.map(({ target }) => target),
      ['c2', 'c2', 'c1'],
    )
    await finished(node.clock, shipper.stop())
  })

  test('a coordinator brings its lines to itself', async () => {
    const node = setUp({ role: 'coordinator' })
    const { spool, shipper } = await node.start()
    spool.sink(entry('a'))
    await node.clock.run(10)
    assert.equal(node.batches[0]?.target, 'c1')
    await finished(node.clock, shipper.stop())
  })

  test('a line the coordinator refuses is found among others and replaced by a remark', async () => {
    const node = setUp()
    node.answer = ({ logs }) =>
      JSON.stringify(logs).includes('poison') ? new RpcError('P2P_RPC_INVALID_PARAMS', 'logs/3: no') : undefined
    const { spool, shipper } = await node.start()
    for (const message of ['a', 'b', 'poison', 'c', 'd']) spool.sink(entry(message))
    await node.clock.run(1_000)
    const stored = node.batches.filter(({ batch }) => !JSON.stringify(batch).includes('poison'))
    assert.deepEqual(
      stored.flatMap(({ batch }) =>
        batch.logs.map((line, index) => [batch.first + index, (line as { message: string }).message]),
      ),
      [
        [1, 'a'],
        [2, 'b'],
        [3, 'A line was left out here: the coordinator refused it'],
        [4, 'c'],
        [5, 'd'],
      ],
    )
    await finished(node.clock, shipper.stop())
  })

  test('a coordinator that refuses everything costs no lines', async () => {
    const node = setUp()
    node.answer = () => new RpcError('P2P_RPC_INVALID_PARAMS', 'epoch: no')
    const { spool, shipper } = await node.start()
    for (const message of ['a', 'b']) spool.sink(entry(message))
    await node.clock.run(60_000)
    assert.ok(node.batches.length < 60, String(node.batches.length))
    node.batches.length = 0
    node.answer = () => undefined
    await node.clock.run(10_000)
    assert.deepEqual(node.sent().slice(-2), ['a', 'b'])
    assert.equal(spool.stats().waiting, 0)
    await finished(node.clock, shipper.stop())
  })

  test('at the stop the last lines go out, and a coordinator that does not answer is not waited for long', async () => {
    const quick = setUp()
    const first = await quick.start()
    first.spool.sink(entry('last words'))
    await finished(quick.clock, first.shipper.stop())
    assert.deepEqual(quick.sent(), ['last words'])
    const slow = setUp()
    slow.answer = () => 'silence'
    const second = await slow.start()
    second.spool.sink(entry('kept'))
    await slow.clock.run(10)
    const before = slow.clock.nowMs()
    await finished(slow.clock, second.shipper.stop())
    assert.ok(slow.clock.nowMs() - before <= 1_001)
    assert.equal(second.spool.stats().waiting, 1)
  })

  test('with calls that fail before or after they were served, and a node that is killed, each line is stored once, in order', async () => {
    for (let seed = 1; seed <= 40; seed++) {
      const node = setUp({ seed })
      const stored: string[] = []
      const runs = new Map<string, number>()
      node.answer = (batch) => {
        if (node.random.float() < 0.3) return unreachable()
        const last = runs.get(batch.epoch) ?? 0
        batch.logs.forEach((line, index) => {
          if (batch.first + index > last) stored.push((line as { message: string }).message)
        })
        runs.set(batch.epoch, Math.max(last, batch.first + batch.logs.length - 1))
        return node.random.float() < 0.3
          ? new TransportError('P2P_TRANSPORT_CHANNEL_CLOSED', 'the answer is lost')
          : undefined
      }
      let logged = 0
      for (let life = 0; life < 4; life++) {
        const { spool, kill } = await node.start()
        for (let i = 0; i < 60; i++) {
          spool.sink(entry(String(++logged)))
          if (node.random.float() < 0.3) await node.clock.run(node.random.float() * 300)
        }
        if (life === 3) await node.clock.runUntil(() => spool.stats().waiting === 0, 600_000)
        // The lines of the tick have to be written.
        await node.clock.run(1)
        kill()
      }
      const expected = Array.from({ length: logged }, (_, i) => String(i + 1))
      assert.deepEqual(stored, expected, `seed ${seed}`)
    }
  })
})
