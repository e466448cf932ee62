/*
 * What a node costs: from process start to the first 200 of /health on an existing vault, from the start of a new worker to
 * its being joined, and resident memory when idle; beside a bare node:http2 server in the same run. Uses the built program.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROUNDS = 5
const IDLE_MS = 5_000
const root = resolve(import.meta.dirname, '..')
const home = mkdtempSync(join(tmpdir(), 'p2p-bench-'))
const children: ChildProcess[] = []

function median(values: number[]): string {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted[Math.floor(sorted.length / 2)] as number
  return `${middle.toFixed(2)} (${sorted[0]?.toFixed(2)}–${sorted.at(-1)?.toFixed(2)}, n=${sorted.length})`
}

function config(nodeId: string, port: number, extra: string): string {
  const file = join(home, 'config', `${nodeId}.yaml`)
  writeFileSync(
    file,
    `node_id: ${nodeId}\nport: ${port}\nbind_address: "127.0.0.1"\nchallenge_port: 0\nstate_directory: data/${nodeId}\n${extra}`,
  )
  return file
}

/** Starts a node and resolves at its `ready` event with the seconds since the spawn. */
async function start(file: string): Promise<{ child: ChildProcess; seconds: number }> {
  const startedMs = performance.now()
  const child = spawn(process.execPath, [join(root, 'bin/p2p.cjs'), '--config', file], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  children.push(child)
  for (;;) {
    const [message] = (await Promise.race([once(child, 'message'), once(child, 'exit')])) as [
      { type?: string } | number,
    ]
    if (typeof message !== 'object' || message === null) throw new Error(`${file} ended with ${message}`)
    if (message.type === 'ready') return { child, seconds: (performance.now() - startedMs) / 1000 }
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGTERM')
  await once(child, 'exit')
}

/** Seconds from spawn until GET /health answers 200. */
async function secondsToHealthy(file: string, port: number): Promise<number> {
  const startedMs = performance.now()
  const started = start(file)
  for (;;) {
    const status = await new Promise<number>((settle) => {
      const asked = request({ host: '127.0.0.1', port, path: '/health', rejectUnauthorized: false }, (response) => {
        response.resume()
        settle(response.statusCode ?? 0)
      })
      asked.on('error', () => settle(0))
      asked.end()
    })
    if (status === 200) break
    await new Promise((again) => setTimeout(again, 5))
  }
  const seconds = (performance.now() - startedMs) / 1000
  await stop((await started).child)
  return seconds
}

function residentMb(child: ChildProcess): number {
  const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]) / 1024
}

async function bareServer(): Promise<ChildProcess> {
  const code = `
    const { createSecureServer } = require('node:http2'); const { execFileSync } = require('node:child_process')
    const dir = process.argv[1]
    execFileSync('openssl', ['req','-x509','-newkey','ec','-pkeyopt','ec_paramgen_curve:P-256','-nodes','-keyout',dir+'/k','-out',dir+'/c','-subj','/CN=bare'], { stdio: 'ignore' })
    const fs = require('node:fs'); const key = fs.readFileSync(dir+'/k'), cert = fs.readFileSync(dir+'/c')
    const server = createSecureServer({ key, cert, ca: cert, requestCert: true, rejectUnauthorized: false, allowHTTP1: true }, (q, r) => r.end('ok'))
    server.listen(0, '127.0.0.1', () => process.send({ type: 'ready' }))`
  const child = spawn(process.execPath, ['-e', code, home], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  children.push(child)
  await once(child, 'message')
  return child
}

try {
  mkdirSync(join(home, 'config'))
  for (const name of ['inventory', 'watch']) {
    const from = join(root, 'dist/services', name)
    if (existsSync(from)) cpSync(from, join(home, 'dist/services', name), { recursive: true })
  }
  const port = 21_000 + (process.pid % 1_000)
  const coordinatorFile = config('coordinator-1', port, 'coordinator_mode: true\n')
  const first = await start(coordinatorFile)
  console.log(`first start of a coordinator (plot, vault, CA): ${first.seconds.toFixed(2)} s`)
  await stop(first.child)

  const healthy: number[] = []
  for (let round = 0; round < ROUNDS; round++) healthy.push(await secondsToHealthy(coordinatorFile, port))
  console.log(`coordinator, existing vault, to healthy: ${median(healthy)} s`)

  const coordinator = await start(coordinatorFile)
  const joins: number[] = []
  let worker: ChildProcess | undefined
  for (let round = 1; round <= ROUNDS; round++) {
    const file = config(`worker-${round}`, port + round, `coordinator_addresses: ["127.0.0.1:${port}"]\n`)
    const joined = await start(file)
    joins.push(joined.seconds)
    if (round < ROUNDS) await stop(joined.child)
    else worker = joined.child
  }
  console.log(`new worker, to joined with a new certificate: ${median(joins)} s`)

  const bare = await bareServer()
  await new Promise((idle) => setTimeout(idle, IDLE_MS))
  console.log(`resident memory, idle for ${IDLE_MS / 1000} s:`)
  console.log(`  bare node:http2 server  ${residentMb(bare).toFixed(1)} MB`)
  console.log(`  worker                  ${residentMb(worker as ChildProcess).toFixed(1)} MB`)
  console.log(`  coordinator             ${residentMb(coordinator.child).toFixed(1)} MB`)
} finally {
  await Promise.all(children.map(stop))
  rmSync(home, { recursive: true, force: true })
}
