import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { silentLogger } from '../../src/base/log.ts'
import { systemClock, systemFiles } from '../../src/platform/index.ts'
import { createLogStore, storeThreads } from '../../src/telemetry/coordinator/index.ts'

/*
 * The store in a process of its own, killed with SIGKILL in the middle of a flood, again and again: what was acknowledged is
 * there exactly once and in order.
 */

const THREAD_URL = new URL('../../src/telemetry/logs/thread/main.ts', import.meta.url)
const EPOCH = '00000000000000aa'
const NODES = ['w1', 'w2', 'w3']
const LINES_PER_BATCH = 250
const LIVES = 6
const BATCHES_PER_LIFE = 40

type Question = { type: 'add'; nodeId: string; first: number } | { type: 'all'; nodeId: string; before?: number }
type Answer = { type: 'added'; nodeId: string; last: number } | { type: 'page'; seqs: number[]; next?: number }

async function serve(directory: string): Promise<void> {
  const store = createLogStore(
    { clock: systemClock, files: systemFiles, log: silentLogger, openThread: storeThreads(THREAD_URL) },
    { directory, retentionMs: 86_400_000, bytesMax: 2 ** 30 },
  )
  await store.start(new AbortController().signal)
  const answer = async (question: Question): Promise<Answer> => {
    const { nodeId } = question
    if (question.type === 'all') {
      const { lines } = await store.query(
        { nodeId },
        { limit: 1_000, ...(question.before && { before: question.before }) },
      )
      const next = lines.at(-1)?.cursor
      return { type: 'page', seqs: lines.map(({ seq }) => seq), ...(next !== undefined && { next }) }
    }
    const { first } = question
    const timestamp = systemClock.wallMs()
    const lines = Array.from({ length: LINES_PER_BATCH }, (_, i) => ({ timestamp, message: `line ${first + i}` }))
    await store.add(nodeId, { epoch: EPOCH, first, lost: 0, sentAtMs: timestamp, lines })
    return { type: 'added', nodeId, last: first + LINES_PER_BATCH - 1 }
  }
  process.on('message', (question: Question) => void answer(question).then((told) => process.send?.(told)))
  process.send?.('ready')
}

async function startStore(directory: string): Promise<ChildProcess> {
  const child = fork(import.meta.filename, ['--serve', directory], { execArgv: ['--conditions=source'] })
  await once(child, 'message')
  return child
}

if (process.argv[2] === '--serve') await serve(process.argv[3] as string)
else {
  test('a store killed during a flood has every acknowledged line once, in order', async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'p2p-log-crash-'))
    t.after(() => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }))
    const acknowledged = new Map(NODES.map((nodeId) => [nodeId, 0]))
    for (let life = 0; life < LIVES; life++) {
      const child = await startStore(directory)
      t.after(() => child.kill('SIGKILL'))
      let answers = 0
      const send = (nodeId: string): void => {
        const first = (acknowledged.get(nodeId) as number) + 1
        child.send({ type: 'add', nodeId, first } satisfies Question, () => {})
      }
      child.on('message', (answer: Answer) => {
        if (answer.type !== 'added') return
        acknowledged.set(answer.nodeId, answer.last)
        // While the others are being written.
        if (++answers === BATCHES_PER_LIFE + life * 7) child.kill('SIGKILL')
        else send(answer.nodeId)
      })
      for (const nodeId of NODES) send(nodeId)
      await once(child, 'exit')
    }
    const child = await startStore(directory)
    for (const nodeId of NODES) {
      const seqs: number[] = []
      let before: number | undefined
      do {
        child.send({ type: 'all', nodeId, ...(before && { before }) } satisfies Question)
        const [page] = (await once(child, 'message')) as [Extract<Answer, { type: 'page' }>]
        seqs.push(...page.seqs)
        before = page.next
      } while (before !== undefined)
      seqs.reverse()
      assert.deepEqual(
        seqs,
        Array.from({ length: seqs.length }, (_, i) => i + 1),
        nodeId,
      )
      assert.ok(seqs.length >= (acknowledged.get(nodeId) as number), `${nodeId}: ${seqs.length} lines`)
    }
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
}
