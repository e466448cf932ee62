import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)

interface LogLine {
  node_id: string
  level: string
  logger_name: string
  message: string
  fields: Record<string, unknown>
}

test('the log lines of a worker are read and cleared through the coordinator', async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1', max_log_entries: 200 }
  const coordinator = startNode(t, home.config('coordinator-1', { ...common, port, coordinator_mode: true }))
  const { operatorFile } = await coordinator.ready()
  assert.ok(operatorFile)
  const seeds = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
  const worker = startNode(t, home.config('worker-1', { ...common, ...seeds }))
  await worker.ready()
  await worker.event('joined')
  await coordinator.event('joined')
  const cwd = home.directory
  const login = await p2p(['login'], { cwd })
  assert.equal(login.code, 0, login.stderr)

  const curl = async (path: string, ...more: string[]) => {
    const url = `https://127.0.0.1:${port}${path}`
    const { stdout } = await run('curl', ['-sS', '-K', join(cwd, 'xdg/p2p/curlrc'), ...more, url])
    return JSON.parse(stdout) as { logs: LogLine[]; total: number; nodes: string[]; cleared: number; status?: number }
  }

  await t.test('the documented curl lines answer', async () => {
    const own = await curl('/api/logs')
    assert.ok(own.logs.some(({ node_id, message }) => node_id === 'coordinator-1' && message === 'Starting'))
    assert.deepEqual(own.nodes, ['coordinator-1', 'worker-1'])
    const theirs = await curl('/api/logs?node_id=worker-1')
    assert.ok(theirs.logs.some(({ message, fields }) => message === 'Starting' && fields['node_id'] === 'worker-1'))
    assert.ok(theirs.logs.every(({ node_id }) => node_id === 'worker-1'))
    assert.equal((await curl('/api/logs?node_id=worker-1&level=CRITICAL&limit=100')).total, 0)
    const named = await curl('/api/logs?logger_name=GOSSIP&limit=50')
    assert.ok(named.logs.every(({ logger_name }) => logger_name === 'Gossip'))
  })

  await t.test('p2p logs shows them to a person', async () => {
    const { code, stdout, stderr } = await p2p(['logs', '--node', 'worker-1', '--grep', 'starting'], { cwd })
    assert.equal(code, 0, stderr)
    assert.match(stdout, /^\S+Z INFO {5}p2p: Starting node_id=worker-1 role=worker /m)
    const none = await p2p(['logs', '--node', 'worker-2'], { cwd })
    assert.equal(none.code, 1, none.stdout)
    assert.match(none.stderr, /No node worker-2 is known here; did you mean worker-1\?/)
  })

  await t.test('DELETE empties the memory and leaves who did it', async () => {
    const { cleared } = await curl('/api/logs?node_id=worker-1', '-X', 'DELETE')
    assert.ok(cleared > 0)
    const { logs } = await curl('/api/logs?node_id=worker-1')
    const clearing = logs.find(({ message }) => message === 'The log lines in memory were cleared')
    assert.match(String(clearing?.fields['by']), /^person:/)
    assert.equal(clearing?.fields['relayed_by'], 'coordinator-1')
    assert.ok(!logs.some(({ message }) => message === 'Starting'))
  })
})
