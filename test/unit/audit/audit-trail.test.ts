import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type AuditAct, type AuditRecord } from '../../../src/base/audit.ts'
import { utf8 } from '../../../src/base/bytes.ts'
import { createAuditTrail } from '../../../src/audit/index.ts'
import { decodeLine, encodeLine, LINE_BYTES_MAX } from '../../../src/audit/audit-line.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { SimulatedDisk, SimulatedRandom } from '../../../src/testing/index.ts'
import { ManualClock } from '../pki/manual-clock.ts'
import { MemoryStore } from '../pki/memory-store.ts'
import { RecordingLogger } from '../pki/recording-logger.ts'

const DIRECTORY = '/state/audit'
const ACT: AuditAct = { act: 'POST /api/tokens', who: 'person:ada', role: 'admin', from: '10.0.0.9' }

interface World {
  disk: SimulatedDisk
  store: MemoryStore
  clock: ManualClock
  log: RecordingLogger
}

function world(seed = 1): World {
  return {
    disk: new SimulatedDisk(new SimulatedRandom(seed)),
    store: new MemoryStore(),
    clock: new ManualClock(Date.UTC(2026, 0, 1)),
    log: new RecordingLogger(),
  }
}

async function open({ disk, store, clock, log }: World, options: { fileBytesMax?: number; filesMax?: number } = {}) {
  const needs = { files: disk, store, clock, random: systemRandom, log }
  const trail = createAuditTrail(needs, { directory: DIRECTORY, ...options })
  await trail.start(new AbortController().signal)
  return trail
}

const everything = { limit: 1_000 }
const acts = (records: AuditRecord[]): AuditRecord[] => records.filter(({ phase }) => phase !== 'notice')

async function firstFile({ disk }: World): Promise<{ path: string; text: string }> {
  const path = `${DIRECTORY}/audit-000001.log`
  return { path, text: Buffer.from(await disk.readFile(path)).toString() }
}

async function rewrite({ disk }: World, path: string, text: string): Promise<void> {
  const file = await disk.open(path, 'rw')
  await file.truncate(0)
  await file.write(0, utf8(text))
  await file.sync()
  await file.close()
}

test('an act is on the disk before it is done, and its outcome follows', async () => {
  const here = world()
  const trail = await open(here)
  const end = await trail.begin({ ...ACT, target: 'worker-1', traceId: 'ab' })
  const before = await firstFile(here)
  assert.match(before.text, /"phase":"intent"/)
  end('succeeded', '201')
  end('failed', 'told twice')
  await trail.stop()
  const reopened = await open(here)
  const [outcome, intent] = acts(await reopened.query(everything))
  assert.deepEqual(
    [intent?.phase, intent?.who, intent?.target, intent?.from],
    ['intent', 'person:ada', 'worker-1', '10.0.0.9'],
  )
  assert.deepEqual([outcome?.outcome, outcome?.detail, outcome?.intent], ['succeeded', '201', intent?.seq])
  assert.deepEqual((await reopened.verify()).problems, [])
})

test('acts of the same moment share one sync and keep their order', async () => {
  const here = world()
  const trail = await open(here)
  await trail.begin(ACT)
  const before = here.disk.operationCount
  await Promise.all(Array.from({ length: 50 }, (_, i) => trail.begin({ ...ACT, target: `t${i}` })))
  assert.ok(here.disk.operationCount - before <= 4, String(here.disk.operationCount - before))
  const targets = acts(await trail.query(everything)).map(({ target }) => target)
  assert.deepEqual(targets.slice(0, 3), ['t49', 't48', 't47'])
  const { problems, records } = await trail.verify()
  assert.deepEqual(problems, [])
  assert.equal(records, 52)
})

test('every change of what was written is found', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 5; i++) await trail.begin({ ...ACT, target: `t${i}` })
  const { path, text } = await firstFile(here)
  const lines = text.trimEnd().split('\n')
  const changed: [string, string[]][] = [
    ['a field', lines.with(3, (lines[3] as string).replace('t2', 't9'))],
    ['a record left out', lines.toSpliced(3, 1)],
    ['a record twice', lines.toSpliced(3, 0, lines[3] as string)],
    ['two swapped', lines.with(3, lines[4] as string).with(4, lines[3] as string)],
    ['the last ones cut off', lines.slice(0, 4)],
    ['the first ones cut off', lines.slice(2)],
    ['no record', lines.with(3, '{}')],
    [
      'a line that was never written',
      [...lines, encodeLine({ seq: 7, time: '', phase: 'intent', ...ACT }, '', new Uint8Array(32)).text.trimEnd()],
    ],
  ]
  for (const [what, now] of changed) {
    await rewrite(here, path, `${now.join('\n')}\n`)
    assert.ok((await trail.verify()).problems.length > 0, what)
  }
  await rewrite(here, path, text)
  assert.deepEqual((await trail.verify()).problems, [])
})

test('records cut off while the node was down are noticed at the next start', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 5; i++) await trail.begin({ ...ACT, target: `t${i}` })
  await trail.stop()
  const { path, text } = await firstFile(here)
  await rewrite(here, path, `${text.trimEnd().split('\n').slice(0, 3).join('\n')}\n`)
  const after = await open(here)
  const [notice] = await after.query(everything)
  assert.match(notice?.detail ?? '', /records 4 to 6 are missing/)
  assert.equal(here.log.matching(/not as it was left/).length, 1)
  await after.begin(ACT)
  assert.equal(acts(await after.query(everything))[0]?.seq, 8)
})

test('a line changed while the node was down is left for the investigator, and the trail goes on in a new file', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 3; i++) await trail.begin({ ...ACT, target: `t${i}` })
  await trail.stop()
  const { path, text } = await firstFile(here)
  const tampered = text.replace('t1', 'tX')
  await rewrite(here, path, tampered)
  const after = await open(here)
  assert.equal((await firstFile(here)).text, tampered)
  await after.begin({ ...ACT, target: 'later' })
  assert.equal(acts(await after.query(everything))[0]?.target, 'later')
  assert.ok((await after.verify()).problems.every(({ file }) => file === path))
})

test('whenever the power fails, what was promised is there and the trail goes on', async () => {
  for (let seed = 1; seed <= 60; seed++) {
    const here = world(seed)
    let trail = await open(here)
    const promised: string[] = []
    here.disk.cutPowerAfter(1 + (seed % 23))
    for (let i = 0; i < 12; i++) {
      try {
        await trail.begin({ ...ACT, target: `t${i}` })
        promised.push(`t${i}`)
      } catch {
        break
      }
    }
    here.disk.restart()
    trail = await open(here)
    const found = acts(await trail.query(everything)).map(({ target }) => target as string)
    for (const target of promised) assert.ok(found.includes(target), `seed ${seed}: ${target}`)
    await trail.begin({ ...ACT, target: 'after' })
    assert.deepEqual((await trail.verify()).problems, [], `seed ${seed}`)
  }
})

test('without room nothing privileged is done; with room again it is', async () => {
  const here = world()
  const trail = await open(here)
  await trail.begin(ACT)
  here.disk.capacityBytes = 0
  await assert.rejects(trail.begin(ACT), { code: 'P2P_STORAGE_FULL' })
  here.disk.capacityBytes = Infinity
  await trail.begin({ ...ACT, target: 'again' })
  assert.deepEqual((await trail.verify()).problems, [])
})

test('after a failed sync nothing privileged is done any more', async () => {
  const here = world()
  const trail = await open(here)
  here.disk.failsSync = true
  await assert.rejects(trail.begin(ACT), { code: 'P2P_STORAGE_FAILED' })
  here.disk.failsSync = false
  await assert.rejects(trail.begin(ACT), { code: 'P2P_STORAGE_FAILED' })
})

test('files follow each other, the oldest give way, and what is left verifies', async () => {
  const here = world()
  const options = { fileBytesMax: 2_000, filesMax: 3 }
  let trail = await open(here, options)
  for (let i = 0; i < 60; i++) await trail.begin({ ...ACT, target: `t${i}` })
  assert.equal((await here.disk.list(DIRECTORY)).length, 3)
  assert.deepEqual((await trail.verify()).problems, [])
  await trail.stop()
  trail = await open(here, options)
  const records = await trail.query(everything)
  assert.equal(acts(records)[0]?.target, 't59')
  assert.ok(records.some(({ detail }) => detail?.startsWith('The oldest records were removed')))
  const seqs = records.map(({ seq }) => seq)
  assert.deepEqual(
    seqs,
    [...seqs].sort((a, b) => b - a),
  )
  const [middle] = (await here.disk.list(DIRECTORY)).sort().slice(1)
  await here.disk.remove(`${DIRECTORY}/${middle}`)
  assert.ok((await trail.verify()).problems.length > 0)
})

test('questions are answered newest first, by who, what and when, page by page', async () => {
  const here = world()
  const trail = await open(here, { fileBytesMax: 1_500 })
  for (let i = 0; i < 20; i++) {
    here.clock.advance(1_000)
    await trail.begin({ ...ACT, who: i % 2 ? 'person:ada' : 'person:bob', target: `t${i}` })
  }
  const bob = await trail.query({ who: 'BOB', limit: 3 })
  assert.deepEqual(
    bob.map(({ target }) => target),
    ['t18', 't16', 't14'],
  )
  const next = await trail.query({ who: 'bob', limit: 3, before: bob.at(-1)?.seq })
  assert.deepEqual(
    next.map(({ target }) => target),
    ['t12', 't10', 't8'],
  )
  assert.deepEqual(await trail.query({ act: 'DELETE', limit: 3 }), [])
  const startMs = Date.UTC(2026, 0, 1)
  const window = await trail.query({ sinceMs: startMs + 5_000, untilMs: startMs + 7_000, limit: 9, act: 'tokens' })
  assert.deepEqual(
    window.map(({ target }) => target),
    ['t6', 't5', 't4'],
  )
})

const refusedIn = (records: AuditRecord[]): AuditRecord[] => records.filter(({ outcome }) => outcome === 'refused')
const noticesIn = (records: AuditRecord[]): string[] =>
  records.flatMap(({ phase, detail = '' }) => (phase === 'notice' && detail.includes('more refusals') ? [detail] : []))

test('a flood of refusals is counted, not written line by line, and told when the minute is over', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 1_000; i++) trail.refused({ ...ACT, who: 'anonymous' }, '401')
  trail.refused({ ...ACT, who: 'anonymous', from: '10.0.0.10' }, '401')
  here.clock.advance(60_000)
  await trail.begin(ACT)
  const records = await trail.query(everything)
  assert.equal(refusedIn(records).length, 21)
  assert.deepEqual(noticesIn(records), ['980 more refusals of anonymous 10.0.0.9 within a minute'])
  trail.refused({ ...ACT, who: 'anonymous' }, '401')
  await trail.begin(ACT)
  assert.equal(refusedIn(await trail.query(everything)).length, 22, 'a new minute')
  assert.deepEqual((await trail.verify()).problems, [])
})

test('a flood from many addresses writes no more than one from a few, and what it hides is told at the stop', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 5_000; i++) trail.refused({ ...ACT, who: 'anonymous', from: `10.1.${i >> 8}.${i & 255}` }, '401')
  await trail.begin(ACT)
  const size = (await firstFile(here)).text.length
  assert.ok(size < 60_000, `${size} bytes`)
  await trail.stop()
  const again = await open(here)
  const records = await again.query(everything)
  assert.equal(refusedIn(records).length, 120)
  const counted = noticesIn(records).reduce((sum, detail) => sum + Number.parseInt(detail, 10), 0)
  assert.equal(counted, 5_000 - 120)
})

test('what anybody may try and nobody achieved is told as failed, and floods of it are counted with the refusals', async () => {
  const here = world()
  const trail = await open(here)
  for (let i = 0; i < 500; i++) {
    const attempt = { act: 'POST /auth/token', who: 'anonymous', from: '10.0.0.9' }
    trail.refused(attempt, '401', i % 2 === 0 ? 'failed' : 'refused')
  }
  for (let i = 0; i < 3; i++) await trail.begin(ACT)
  const signIns = (await trail.query(everything)).filter(({ act }) => act === 'POST /auth/token')
  const count = (outcome: string): number => signIns.filter((record) => record.outcome === outcome).length
  assert.deepEqual([count('failed'), count('refused'), signIns.length], [10, 10, 20])
  await trail.stop()
})

test('whatever text comes in, a record is one bounded line and comes back as it was', () => {
  const key = new Uint8Array(32)
  for (const text of ['a\nb\r\u2028', '"}{', '\u0000\u001b[31m', ',"mac":"x"}', 'ä'.repeat(100)]) {
    const { text: line, mac } = encodeLine({ seq: 1, time: 't', phase: 'intent', ...ACT, target: text }, 'm', key)
    assert.equal(line.indexOf('\n'), line.length - 1)
    const decoded = decodeLine(line.trimEnd(), 'm', key)
    assert.deepEqual([decoded?.record.target, decoded?.mac, decoded?.isChained], [text, mac, true])
    assert.equal(decodeLine(line.trimEnd(), 'n', key)?.isChained, false)
    assert.equal(decodeLine(line.trimEnd(), 'm', new Uint8Array(32).fill(1))?.isChained, false)
  }
  const long = 'x'.repeat(100_000)
  const { text } = encodeLine(
    { seq: 1, time: 't', phase: 'intent', act: long, who: long, target: long, detail: long },
    '',
    key,
  )
  assert.ok(text.length < LINE_BYTES_MAX)
  for (const bad of ['', '{}', '{"seq":1}', 'null', '{"seq":"x","act":"","mac":"' + 'A'.repeat(43) + '"}']) {
    assert.equal(decodeLine(bad, '', key), undefined)
  }
})

test('before its start and after its stop the trail lets nothing privileged through', async () => {
  const here = world()
  const trail = await open(here)
  await trail.stop()
  await trail.stop()
  await assert.rejects(trail.begin(ACT), { code: 'P2P_STORAGE_CLOSED' })
})
