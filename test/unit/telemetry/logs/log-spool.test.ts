import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { createLogSpool, type LogSpool } from '../../../../src/telemetry/index.ts'
import { SimulatedClock, SimulatedDisk, SimulatedRandom } from '../../../../src/testing/index.ts'
import { ALL, entry, filesOfProcess, messagesOf, RememberingLogger } from './support.ts'

const DIRECTORY = '/data/log-spool'
const MIB = 2 ** 20

/** A machine: its disk outlives the spools that are opened on it. */
function machine(seed = 1, bytesMax = 4 * MIB) {
  const random = new SimulatedRandom(seed)
  const clock = new SimulatedClock()
  const disk = new SimulatedDisk(random)
  const log = new RememberingLogger()
  let killLast = (): void => {}
  /** Starts a node's spool; the one before is gone by then, stopped or killed. */
  const open = async (place: { directory: string | undefined } = { directory: DIRECTORY }): Promise<LogSpool> => {
    killLast()
    const { files, kill } = filesOfProcess(disk)
    killLast = kill
    const spool = createLogSpool({ clock, random, files, log: () => log }, { ...place, bytesMax })
    await spool.start()
    return spool
  }
  return { clock, disk, log, open }
}

async function drain(spool: LogSpool, limits = ALL): Promise<{ numbers: number[]; messages: string[]; lost: number }> {
  const numbers: number[] = []
  const messages: string[] = []
  let lost = 0
  for (let batch = await spool.read(limits); batch; batch = await spool.read(limits)) {
    lost += batch.lost
    numbers.push(...batch.lines.map((_, index) => (batch?.first ?? 0) + index))
    messages.push(...messagesOf(batch.lines))
    spool.acknowledge(batch.first + batch.lines.length - 1)
  }
  return { numbers, messages, lost }
}

describe('the spool', () => {
  test('numbers lines from 1 and hands them out until they are acknowledged', async () => {
    const { open } = machine()
    const spool = await open()
    for (const message of ['a', 'b', 'c']) spool.sink(entry(message))
    const first = await spool.read({ linesMax: 2, charactersMax: Infinity })
    assert.deepEqual([first?.first, first?.lost, messagesOf(first?.lines ?? [])], [1, 0, ['a', 'b']])
    assert.deepEqual((await spool.read({ linesMax: 2, charactersMax: Infinity }))?.first, 1, 'not acknowledged')
    spool.acknowledge(2)
    assert.deepEqual(await drain(spool), { numbers: [3], messages: ['c'], lost: 0 })
    assert.equal(await spool.read(ALL), undefined)
  })

  test('keeps what came before it was started', async () => {
    const { disk, open, clock, log } = machine()
    const early = createLogSpool(
      { clock, random: new SimulatedRandom(9), files: disk, log: () => log },
      { directory: DIRECTORY, bytesMax: MIB },
    )
    early.sink(entry('before'))
    await early.start()
    early.sink(entry('after'))
    await early.stop()
    assert.deepEqual((await drain(await open())).messages, ['before', 'after'])
  })

  test('a killed process loses nothing that was written, and its successor numbers on under a name of its own', async () => {
    const { clock, disk, open } = machine()
    const before = await open()
    for (let i = 1; i <= 50; i++) before.sink(entry(`old ${i}`))
    await clock.run(1)
    const oldEpoch = (await before.read(ALL))?.epoch
    disk.killProcess()
    const after = await open()
    after.sink(entry('new'))
    const batch = await after.read(ALL)
    assert.deepEqual(
      [batch?.epoch, batch?.first, batch?.lines.length],
      [oldEpoch, 1, 50],
      'never two runs in one batch',
    )
    after.acknowledge(50)
    const next = await after.read(ALL)
    assert.notEqual(next?.epoch, oldEpoch)
    assert.deepEqual([next?.first, messagesOf(next?.lines ?? [])], [51, ['new']])
  })

  test('what was acknowledged is not handed out again after a restart', async () => {
    const { clock, open } = machine()
    const before = await open()
    for (let i = 1; i <= 10; i++) before.sink(entry(`line ${i}`))
    await clock.run(1)
    before.acknowledge(7)
    await before.stop()
    assert.deepEqual((await drain(await open())).numbers, [8, 9, 10])
  })

  test('files go when their lines are acknowledged', async () => {
    const { clock, disk, open } = machine(1, 256 * 1_024)
    const spool = await open()
    for (let i = 0; i < 400; i++) {
      spool.sink(entry('x'.repeat(500)))
      if (i % 20 === 0) await clock.run(1)
    }
    await clock.run(1)
    assert.ok(spool.stats().bytesOnDisk > 100_000)
    await drain(spool)
    await clock.run(10)
    assert.ok(spool.stats().bytesOnDisk < 20_000, String(spool.stats().bytesOnDisk))
    assert.ok((await disk.list(DIRECTORY)).length <= 2)
  })

  test('beyond its bound the oldest lines go, and the gap is told where it is', async () => {
    const { clock, open } = machine(1, 64 * 1_024)
    const spool = await open()
    for (let i = 1; i <= 20_000; i++) {
      spool.sink(entry(`line ${i}`))
      if (i % 50 === 0) await clock.run(1)
    }
    assert.ok(spool.stats().bytesOnDisk <= 64 * 1_024)
    const { numbers, lost, messages } = await drain(spool, { linesMax: 100, charactersMax: Infinity })
    assert.ok(lost > 0)
    assert.equal(lost + numbers.length, 20_000)
    assert.equal(messages.at(-1), 'line 20000')
    assert.deepEqual(
      messages,
      numbers.map((number) => `line ${number}`),
    )
    assert.equal(spool.stats().lost, lost)
  })

  test('a full disk is said once; lines are kept in memory, and written again when there is room', async () => {
    const { clock, disk, log, open } = machine()
    const spool = await open()
    spool.sink(entry('written'))
    await clock.run(1)
    disk.capacityBytes = 0
    for (let i = 0; i < 10; i++) {
      spool.sink(entry(`unwritten ${i}`))
      await clock.run(3_000)
    }
    assert.deepEqual(log.lines, ['ERROR The disk of the log spool fails; lines are kept in memory until it works'])
    disk.capacityBytes = Infinity
    await clock.run(6_000)
    assert.equal(log.lines.at(-1), 'INFO Log lines are written to the spool again')
    disk.killProcess()
    const { messages, lost } = await drain(await open())
    assert.equal(lost, 0)
    assert.deepEqual(messages, ['written', ...Array.from({ length: 10 }, (_, i) => `unwritten ${i}`)])
  })

  test('while nothing can be written memory is bounded, and what goes is counted as lost', async () => {
    const { clock, disk, open } = machine()
    const spool = await open()
    disk.capacityBytes = 0
    const text = 'x'.repeat(8_000)
    for (let i = 1; i <= 3_000; i++) spool.sink(entry(`${i} ${text}`))
    await clock.run(1)
    const { numbers, lost } = await drain(spool)
    assert.ok(numbers.length * 8_000 < 9 * MIB)
    assert.equal(numbers.length + lost, 3_000)
    assert.equal(numbers.at(-1), 3_000)
  })

  test('without a folder, or with one that cannot be made, lines are kept in memory', async () => {
    const { open, disk, log } = machine()
    const without = await open({ directory: undefined })
    without.sink(entry('a'))
    assert.deepEqual((await drain(without)).messages, ['a'])
    disk.cutPowerAfter(0)
    const broken = await open()
    broken.sink(entry('b'))
    assert.deepEqual((await drain(broken)).messages, ['b'])
    assert.match(log.lines.join(), /ERROR The log spool cannot be opened/)
    await broken.stop()
  })

  test('damage in the middle of a file costs what follows in that file, and no more', async () => {
    const { clock, disk, open } = machine(1, 128 * 1_024)
    const before = await open()
    for (let i = 1; i <= 300; i++) {
      before.sink(entry(`${i} ${'x'.repeat(100)}`))
      await clock.run(1)
    }
    await before.stop()
    const [name = ''] = (await disk.list(DIRECTORY)).filter((file) => file.endsWith('.log'))
    const bytes = disk.contentOf(`${DIRECTORY}/${name}`)
    bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
    disk.overwrite(`${DIRECTORY}/${name}`, bytes)
    const { numbers, lost } = await drain(await open())
    assert.ok(lost > 0 && lost < 100)
    assert.equal(numbers.length + lost, 300)
    assert.deepEqual([numbers[0], numbers.at(-1)], [1, 300])
  })

  test('a line carries the trace its fields name, else that of the call it was written in', async () => {
    const { clock, disk, log } = machine()
    const trace = '0123456789abcdef0123456789abcdef'
    const spool = createLogSpool(
      { clock, random: new SimulatedRandom(1), files: disk, log: () => log, traceId: () => trace },
      { directory: undefined, bytesMax: MIB },
    )
    const other = trace.replaceAll('0', 'f')
    for (const fields of [{}, { traceId: other }, { trace_id: other }, { traceId: 'none' }])
      spool.sink(entry('a', { fields }))
    const lines = (await spool.read(ALL))?.lines ?? []
    assert.deepEqual(
      lines.map((line) => (JSON.parse(line) as { trace_id: string }).trace_id),
      [trace, other, other, trace],
    )
  })

  test('a line of a megabyte is cut, and other lines are not held up', async () => {
    const { clock, open } = machine()
    const spool = await open()
    spool.sink(entry('y'.repeat(MIB), { fields: { text: 'z'.repeat(MIB) } }))
    spool.sink(entry('next'))
    await clock.run(1)
    const batch = await spool.read({ linesMax: 100, charactersMax: 10 })
    assert.equal(batch?.lines.length, 1)
    assert.ok((batch?.lines[0]?.length ?? 0) < 50_000)
    assert.match(messagesOf(batch?.lines ?? [])[0] ?? '', /… \[\d+ more characters\]$/)
  })

  test('a file in which the power failed before its first line was whole hides no other', async () => {
    const { clock, disk, open } = machine()
    const torn = `${DIRECTORY}/0000000000000001-ffffffffffffffff.log`
    disk.overwrite(torn, new Uint8Array(60))
    const before = await open()
    before.sink(entry('a'))
    await clock.run(1)
    disk.killProcess()
    disk.overwrite(torn, new Uint8Array(60))
    const after = await open()
    after.sink(entry('b'))
    assert.deepEqual(await drain(after), { numbers: [1, 2], messages: ['a', 'b'], lost: 0 })
    await assert.rejects(disk.readFile(torn), { code: 'ENOENT' })
  })

  /**
   * Whatever is logged, acknowledged, killed or cut from power: every line comes out in order at most once a run, and what is
   * missing was acknowledged, told as lost, or, after a power cut only, not synced yet.
   */
  test('any sequence of writing, acknowledging and crashing keeps order and tells its gaps', async () => {
    const step = fc.oneof(
      {
        weight: 5,
        arbitrary: fc.record({ type: fc.constant('log' as const), lines: fc.integer({ min: 1, max: 30 }) }),
      },
      {
        weight: 3,
        arbitrary: fc.record({ type: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_500 }) }),
      },
      {
        weight: 2,
        arbitrary: fc.record({ type: fc.constant('take' as const), lines: fc.integer({ min: 1, max: 40 }) }),
      },
      { weight: 1, arbitrary: fc.constant({ type: 'look' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'kill' as const }) },
      { weight: 1, arbitrary: fc.constant({ type: 'power' as const }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 40 }), async (seed, steps) => {
        const { clock, disk, open } = machine(seed)
        let spool = await open()
        let logged = 0
        const taken: number[] = []
        let mayMiss = 0
        let lost = 0
        const take = async (linesMax: number): Promise<boolean> => {
          const batch = await spool.read({ linesMax, charactersMax: Infinity })
          if (!batch) return false
          lost += batch.lost
          taken.push(...messagesOf(batch.lines).map(Number))
          spool.acknowledge(batch.first + batch.lines.length - 1)
          return true
        }
        for (const action of steps) {
          if (action.type === 'log') for (let i = 0; i < action.lines; i++) spool.sink(entry(String(++logged)))
          else if (action.type === 'wait') await clock.run(action.ms)
          else if (action.type === 'take') await take(action.lines)
          else if (action.type === 'look') assert.deepEqual(await spool.read(ALL), await spool.read(ALL))
          else {
            // Lines of this very tick are not written yet.
            if (action.type === 'kill') await clock.run(1)
            else mayMiss = logged
            if (action.type === 'kill') disk.killProcess()
            else disk.restart()
            spool = await open()
          }
        }
        while (await take(1_000));
        const fresh = [...new Set(taken)]
        assert.deepEqual(
          fresh,
          fresh.toSorted((a, b) => a - b),
          'in order, but for what is sent again',
        )
        const missing = Array.from({ length: logged }, (_, i) => i + 1).filter((n) => !fresh.includes(n))
        assert.ok(
          missing.every((n) => n <= mayMiss),
          `missing ${missing.join()} of ${logged}, lost ${lost}`,
        )
      }),
      { numRuns: 150 },
    )
  })
})
