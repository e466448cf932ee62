import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { freePort, makeHome, p2p, startNode } from './support/node-process.ts'

interface Message {
  type: string
  data: { metrics: { workers: Record<string, { metrics: { cpu_count: number } }> }; services: { name: string }[] }
  node_id: string
}

/** A POST as a browser's page makes it: all it is given is the body. */
function post(
  url: string,
  body: object,
  ca: string,
): Promise<{ status: number; cookie: string | undefined; text: string }> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const asking = request(url, { method: 'POST', ca, headers, timeout: 20_000 }, (answer) => {
      const { statusCode: status = 0, headers: answered } = answer
      answer.toArray().then((chunks) => {
        resolve({ status, cookie: answered['set-cookie']?.[0], text: Buffer.concat(chunks).toString('utf8') })
      }, reject)
    })
    asking.on('error', reject)
    asking.end(JSON.stringify(body))
  })
}

test('a login link opens a session, and its socket shows both machines and the lines of the worker', async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const coordinator = startNode(
    t,
    home.config('coordinator-1', { bind_address: '127.0.0.1', port, coordinator_mode: true }),
  )
  const { operatorFile, url } = await coordinator.ready()
  assert.ok(operatorFile)
  const seeds = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
  const worker = startNode(t, home.config('worker-1', { bind_address: '127.0.0.1', ...seeds }))
  await worker.ready()

  const printed = await p2p(['login', '--link'], { cwd: home.directory })
  assert.equal(printed.code, 0, printed.stderr)
  const [page, secret] = printed.stdout.trim().split('#login=')
  assert.equal(page, `${url}/dashboard`)

  const { ca_certificate: ca } = JSON.parse(readFileSync(operatorFile, 'utf8')) as { ca_certificate: string }
  const session = await post(`${url}/auth/session`, { link: secret }, ca)
  assert.equal(session.status, 200, session.text)
  const cookie = (session.cookie ?? '').split(';')[0] as string
  assert.equal((await post(`${url}/auth/session`, { link: secret }, ca)).status, 401)

  const socket = new WebSocket(`${url.replace('https', 'wss')}/ws/dashboard`, { ca, headers: { cookie, origin: url } })
  t.after(() => socket.terminate())
  const seen = { machine: false, services: false, line: false }
  await new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', (code) => reject(new Error(`closed with ${code}`)))
    socket.on('message', (bytes: Buffer) => {
      const { type, data, node_id: nodeId } = JSON.parse(bytes.toString('utf8')) as Message
      if (type === 'initial' || type === 'update') {
        seen.machine ||= (data.metrics.workers['worker-1']?.metrics.cpu_count ?? 0) > 0
        seen.services ||= data.services?.some(({ name }) => name === 'system') ?? false
      }
      // The last thing a node does is to bring its last lines.
      if (seen.machine && seen.services && !seen.line) worker.kill('SIGTERM')
      seen.line ||= type === 'new_logs' && nodeId === 'worker-1'
      if (Object.values(seen).every(Boolean)) resolve()
    })
  })
})
