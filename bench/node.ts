/*
 * What a node costs: from process start to the first 200 of /health on an existing vault, from the start of a new worker to
 * its being joined, and resident memory a minute after it was ready, with nothing to do; beside a bare node:http2 server and
 * a bare Node process in the same run. Uses the built program.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { familyOf, statOf } from '../src/service/host/linux-processes.ts'

const ROUNDS = 5
const CLUSTERS = 3
const IDLE_MS = 60_000
const root = resolve(import.meta.dirname, '..')
const home = mkdtempSync(join(tmpdir(), 'p2p-bench-'))
const children: ChildProcess[] = []

function middleOf(values: number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] as number
}

function median(values: number[], digits = 2): string {
  const [least, most] = [Math.min(...values), Math.max(...values)].map((value) => value.toFixed(digits))
  return `${middleOf(values).toFixed(digits)} (${least}–${most}, n=${values.length})`
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

/** A minute after it was ready. */
async function idleMb(pid: number): Promise<number> {
  await after(IDLE_MS)
  return ((await statOf(pid))?.memoryBytes ?? Number.NaN) / 2 ** 20
}

async function bareServer(): Promise<ChildProcess> {
  const code = `
    const { createSecureServer } = require('node:http2'); const { execFileSync } = require('node:child_process')
    const dir = process.argv[1]
    execFileSync('openssl', ['req','-x509','-newkey','ec','-pkeyopt','ec_paramgen_curve:P-256','-nodes','-keyout',dir+'/k','-out',dir+'/c','-subj','/CN=bare'], { stdio: 'ignore' })
    const fs = require('node:fs'); const key = fs.readFileSync(dir+'/k'), cert = fs.readFileSync(dir+'/c')
    const server = createSecureServer({ key, cert, ca: cert, requestCert: true, rejectUnauthorized: false, allowHTTP1: true }, (q, r) => r.end('ok'))
    server.listen(0, '127.0.0.1', () => process.send({ type: 'ready' }))`
  const child = spawn(process.execPath, ['-e', code, mkdtempSync(join(home, 'bare-'))], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  children.push(child)
  await once(child, 'message')
  return child
}

async function bareProcess(): Promise<ChildProcess> {
  const code = `process.on('message', () => {}); process.send({ type: 'ready' })`
  const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  children.push(child)
  await once(child, 'message')
  return child
}

/** Not the sandbox around it. */
function isNode(pid: number): boolean {
  return basename(readlinkSync(`/proc/${pid}/exe`)) === basename(process.execPath)
}

/** Of a cluster of two that is left alone: MB of the coordinator, of the worker, and of each process of its services. */
async function idleCluster(
  name: string,
  port: number,
): Promise<{ coordinator: number; worker: number; services: number[] }> {
  const file = config(`coordinator-${name}`, port, 'coordinator_mode: true\n')
  await stop((await start(file)).child)
  const coordinator = await start(file)
  const worker = await start(config(`worker-${name}`, port + 1, `coordinator_addresses: ["127.0.0.1:${port}"]\n`))
  const [node, ...services] = (await familyOf(worker.child.pid as number)).filter(isNode)
  const [coordinatorMb, workerMb, ...servicesMb] = await Promise.all(
    [coordinator.child.pid as number, node as number, ...services].map(idleMb),
  )
  return { coordinator: coordinatorMb as number, worker: workerMb as number, services: servicesMb }
}

async function idleBare(): Promise<{ server: number; process: number }> {
  const both = await Promise.all([bareServer(), bareProcess()])
  const [server, process] = await Promise.all(both.map(({ pid }) => idleMb(pid as number)))
  return { server: server as number, process: process as number }
}

async function printIdle(port: number): Promise<void> {
  const indices = Array.from({ length: CLUSTERS }, (_, index) => index)
  const [clusters, bare] = await Promise.all([
    Promise.all(indices.map((index) => idleCluster(`idle-${index}`, port + 2 * index))),
    Promise.all(indices.map(idleBare)),
  ])
  const workers = clusters.map(({ worker }) => worker)
  const coordinators = clusters.map(({ coordinator }) => coordinator)
  const services = clusters.flatMap((cluster) => cluster.services)
  const servers = bare.map(({ server }) => server)
  const processes = bare.map(({ process }) => process)
  const print = (label: string, values: number[], beside: number[]): void =>
    console.log(`  ${label} ${median(values, 1)} MB, ${(middleOf(values) / middleOf(beside)).toFixed(2)} of it`)
  console.log(`resident memory ${IDLE_MS / 1000} s after ready, of ${CLUSTERS} clusters:`)
  console.log(`  bare node:http2 server ${median(servers, 1)} MB`)
  print('worker', workers, servers)
  print('coordinator', coordinators, servers)
  console.log(`  bare Node process ${median(processes, 1)} MB`)
  if (services.length > 0) print('process of a service', services, processes)
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
  for (let round = 1; round <= ROUNDS; round++) {
    const file = config(`worker-${round}`, port + round, `coordinator_addresses: ["127.0.0.1:${port}"]\n`)
    const joined = await start(file)
    joins.push(joined.seconds)
    await stop(joined.child)
  }
  await stop(coordinator.child)
  console.log(`new worker, to joined with a new certificate: ${median(joins)} s`)
  await printIdle(port)
} finally {
  await Promise.all(children.map(stop))
  rmSync(home, { recursive: true, force: true })
}
