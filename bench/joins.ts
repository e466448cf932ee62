/*
 * Many workers that join at once: each does the whole enrolment over HTTPS with one real coordinator (built program, a process of its own),
 * challenge included; only the nodes around them are missing. Beside it the bare mutual TLS handshakes per second of the same machine.
 * All come from one address, of which the coordinator takes 512 connections at a time: the others come again, as real workers do.
 *
 *   node --conditions=source bench/joins.ts [--workers 1000] [--handshakes 500]
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect, createServer } from 'node:tls'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { silentLogger } from '../src/base/log.ts'
import { createNodeIdentity } from '../src/pki/index.ts'
import { systemClock, systemRandom } from '../src/platform/index.ts'
import { dialUnverified } from '../src/transport/index.ts'
import { type Cleanup, freePort, makeHome, p2p, startNode } from '../test/e2e/support/node-process.ts'
import { MemoryStore } from '../test/unit/pki/memory-store.ts'

/** Handshakes under way at a time. */
const IN_FLIGHT = 32

interface JoinedWorker {
  serial: string
  /** From its start to its certificate, milliseconds. */
  tookMs: number
  material: TlsMaterial
}

async function main(workers: number, handshakes: number, t: Cleanup): Promise<void> {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', {
    port,
    bind_address: '127.0.0.1',
    coordinator_mode: true,
    // All workers of the bench have one address; those of a cluster have one each.
    rate_limit_enabled: false,
  })
  const coordinator = startNode(t, file)
  await coordinator.ready()
  const cwd = home.directory
  await p2p(['login'], { cwd })
  const made = await p2p(['token', 'create', '--uses', String(workers), '--output', 'json'], { cwd })
  if (made.code !== 0) throw new Error(made.stderr)
  const { token } = JSON.parse(made.stdout) as { token: string }

  const before = memoryMb(coordinator.pid)
  const startedMs = performance.now()
  const joined = await Promise.all(Array.from({ length: workers }, (_, index) => join(port, index, token)))
  const seconds = (performance.now() - startedMs) / 1_000
  const after = memoryMb(coordinator.pid)

  const serials = new Set(joined.map(({ serial }) => serial)).size
  const times = joined.map(({ tookMs }) => tookMs).sort((a, b) => a - b)
  const at = (share: number): string => ((times[Math.ceil(times.length * share) - 1] as number) / 1_000).toFixed(1)
  const rate = await bareHandshakes((joined[0] as JoinedWorker).material, handshakes, t)
  console.log(`${workers} workers joined in ${seconds.toFixed(1)} s, ${(workers / seconds).toFixed(0)} a second`)
  console.log(`serials: ${serials} different of ${joined.length}`)
  console.log(`one worker, start to certificate: median ${at(0.5)} s, p99 ${at(0.99)} s, last ${at(1)} s`)
  console.log(`coordinator: ${before.now} MB before, ${after.now} MB after, ${after.peak} MB at most`)
  console.log(`bare mutual TLS handshakes: ${rate.toFixed(0)} a second (${handshakes}, ${IN_FLIGHT} at a time)`)
  if (serials !== workers) process.exitCode = 1
}

async function join(port: number, index: number, token: string): Promise<JoinedWorker> {
  const startedMs = performance.now()
  const identity = createNodeIdentity(
    { store: new MemoryStore(), clock: systemClock, random: systemRandom, log: silentLogger, dial: dialUnverified },
    {
      nodeId: `worker-${index}`,
      role: 'worker',
      dnsNames: () => [],
      ipAddresses: () => ['127.0.0.1'],
      coordinatorAddresses: [`127.0.0.1:${port}`],
      challengePort: 0,
      challengeAddress: '127.0.0.1',
      join: { token },
    },
  )
  await identity.start(new AbortController().signal)
  const tookMs = performance.now() - startedMs
  const { serial } = identity.certificate()
  await identity.stop()
  return { serial, tookMs, material: identity.current() }
}

/** Resident memory of a process, where the system tells. */
function memoryMb(pid: number): { now: string; peak: string } {
  const line = (name: string): string => {
    try {
      const kb = new RegExp(`${name}:\\s+(\\d+) kB`).exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
      return kb === undefined ? '?' : (Number(kb) / 1_024).toFixed(0)
    } catch {
      return '?'
    }
  }
  return { now: line('VmRSS'), peak: line('VmHWM') }
}

/** Handshakes per second with a server in a process of its own that does nothing else. */
async function bareHandshakes(material: TlsMaterial, count: number, t: Cleanup): Promise<number> {
  const server = fork(import.meta.filename, ['--bare-server'], { execArgv: ['--conditions=source'] })
  t.after(() => server.kill())
  server.send(material)
  const [port] = (await once(server, 'message')) as [number]
  let left = count
  const next = async (): Promise<void> => {
    while (left-- > 0) {
      const socket = connect({
        port,
        host: '127.0.0.1',
        cert: material.certificateChainPem,
        key: material.keyPem,
        ca: material.trustPem,
        minVersion: 'TLSv1.3',
        checkServerIdentity: () => undefined,
      })
      // The client is done before the server has seen its certificate; the first byte says that it has.
      await once(socket, 'data')
      socket.destroy()
    }
  }
  const startedMs = performance.now()
  await Promise.all(Array.from({ length: IN_FLIGHT }, next))
  return count / ((performance.now() - startedMs) / 1_000)
}

async function bareServer(): Promise<void> {
  const [material] = (await once(process, 'message')) as [TlsMaterial]
  const server = createServer(
    {
      cert: material.certificateChainPem,
      key: material.keyPem,
      ca: material.trustPem,
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: 'TLSv1.3',
    },
    (socket) => {
      socket.on('error', () => {})
      socket.end('.')
    },
  )
  server.listen(0, '127.0.0.1', () => process.send?.((server.address() as { port: number }).port))
}

if (import.meta.main) {
  if (process.argv.includes('--bare-server')) await bareServer()
  else {
    const { values } = parseArgs({
      options: { workers: { type: 'string', default: '1000' }, handshakes: { type: 'string', default: '500' } },
    })
    const cleanups: (() => unknown)[] = []
    try {
      await main(Number(values.workers), Number(values.handshakes), { after: (fn) => void cleanups.push(fn) })
    } finally {
      for (const cleanup of cleanups.reverse()) await cleanup()
    }
  }
}
