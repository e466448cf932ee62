import { once } from 'node:events'
import { connect, createServer, type TLSSocket } from 'node:tls'
import type { AddressInfo } from 'node:net'
import type { TlsMaterial } from '../../src/base/credentials.ts'
import type { NodeId, NodeIdentity } from '../../src/base/identity.ts'
import { silentLogger } from '../../src/base/log.ts'
import type { ServiceRecord } from '../../src/base/member.ts'
import { systemClock, systemFiles, systemRandom } from '../../src/platform/index.ts'
import { createServiceManager, defineService, type HostProgram } from '../../src/service/index.ts'
import { familyOf } from '../../src/service/host/linux-processes.ts'
import type { ServiceProxy } from '../../src/service/sdk/index.ts'
import { createPeers, createTransport } from '../../src/transport/index.ts'
import { StubMembership } from '../../test/unit/service/support/node.ts'
import { TestCredentials, TestRevocations } from '../../test/unit/transport/certificates.ts'
import { measure, type Round } from './driver/measure.ts'
import echo from './echo/main.ts'
import { type Load, MESSAGE } from './message.ts'
import { serveSide } from './side.ts'

/*
 * A node: the real transport, routing, access and supervision; only its membership is told to it. Beside it a bare TLS
 * server, and a client for it.
 */

export interface NodeSetup {
  nodeId: NodeId
  material: TlsMaterial
  servicesDirectory: string
  stateDirectory: string
  program: HostProgram
  sdkUrl: string
  /** A node that is ready. */
  other?: NodeFacts & { nodeId: NodeId }
}

export interface NodeFacts {
  port: number
  barePort: number
  records: ServiceRecord[]
}

export interface CrashFacts {
  /** From the order to start the service until it was ready. */
  startMs: number
  /** From `kill -9` until a call was answered again. */
  crashMs: number
}

const CLUSTER = 'bench'

serveSide(async ({ nodeId, material, other, ...setup }: NodeSetup) => {
  const identity: NodeIdentity = { cluster: CLUSTER, role: 'worker', nodeId }
  const needs = {
    clock: systemClock,
    random: systemRandom,
    log: silentLogger,
    files: systemFiles,
    credentials: new TestCredentials(material),
    revocations: new TestRevocations(),
  }
  const transport = createTransport(needs, { bindAddress: '127.0.0.1', port: 0, cluster: CLUSTER })
  const peers = createPeers({ ...needs, transport }, { nodeId, cluster: CLUSTER })
  const membership = new StubMembership(nodeId)
  const { program, stateDirectory, servicesDirectory, sdkUrl } = setup
  const options = { identity, sdkUrl, servicesDirectory, outside: { program, stateDirectory } }
  const manager = createServiceManager({ ...needs, membership, peers }, options)
  manager.register(defineService({ ...echo, name: 'inline' }))
  let proxy: ServiceProxy = {}
  manager.register(
    defineService({
      name: 'caller',
      version: '1.0.0',
      description: 'Code in the node itself that calls',
      methods: {},
      initialize: (service) => void (proxy = service.proxy),
    }),
  )
  manager.onChange(() => membership.set(identity, manager.records()))
  const { signal } = new AbortController()
  for (const component of [transport, peers, manager]) await component.start(signal)
  await manager.settled()
  for (const { name, status, failure } of manager.list()) {
    if (status !== 'running') throw new Error(`service ${name} does not run: ${failure ?? status}`)
  }
  if (other) {
    const { records, port } = other
    membership.set({ ...identity, nodeId: other.nodeId }, records)
    await peers.open({ nodeId: other.nodeId, addresses: [`127.0.0.1:${port}`] })
  }
  const direct = async (message: typeof MESSAGE): Promise<typeof MESSAGE> => message
  const ways: Record<string, () => Promise<unknown>> = {
    direct: () => direct(MESSAGE),
    'inline, same node': () => proxy['inline'].say(MESSAGE),
    'own process': () => proxy['echo'].local.say(MESSAGE),
    'inline to inline': () => proxy['inline'].remote.say(MESSAGE),
  }
  const facts: NodeFacts = {
    port: transport.address().port,
    barePort: await serveBare(material),
    records: manager.records(),
  }
  return {
    facts,
    answers: {
      measure: ({ way, inFlight, seconds }: Load): Promise<Round> =>
        way === 'process to process'
          ? proxy['driver'].run({ inFlight, seconds, message: MESSAGE })
          : measure(ways[way] as () => Promise<unknown>, inFlight, seconds),
      pour: async ({ way, items, bytes }: { way: string; items: number; bytes: number }): Promise<number> => {
        if (way === 'process to process') return proxy['driver'].read({ items, bytes }, { timeoutMs: 120_000 })
        if (way === 'bare TLS') return readBare(material, other?.barePort as number, items * bytes)
        return secondsOf(async () => {
          let read = 0
          for await (const item of await proxy['inline'].remote.pour({ items, bytes })) read += item.length
          if (read !== items * bytes) throw new Error(`${read} bytes came of ${items * bytes}`)
        })
      },
      crash: (): Promise<CrashFacts> => crash(manager, () => proxy['echo'].local.say(MESSAGE)),
      pids: async (): Promise<Record<string, number>> => {
        const running = manager.host
          .states()
          .flatMap(({ name, instances }) => instances.map(({ pid }) => ({ name, pid })))
        const found = await Promise.all(
          running.map(async ({ name, pid }) => [name, await innermost(pid as number)] as const),
        )
        return Object.fromEntries(found)
      },
    },
    async stop() {
      await manager.stop()
      await peers.stop()
      await transport.stop()
    },
  }
})

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const beginMs = performance.now()
  await work()
  return (performance.now() - beginMs) / 1_000
}

/** Of a sandbox, the process that runs the service. */
async function innermost(pid: number): Promise<number> {
  return (await familyOf(pid)).at(-1) as number
}

type Manager = ReturnType<typeof createServiceManager>

async function crash(manager: Manager, call: () => Promise<unknown>): Promise<CrashFacts> {
  // A new instance, which has never ended yet.
  await manager.host.stop('echo')
  const startMs = (await secondsOf(() => manager.host.start('echo'))) * 1_000
  await call()
  const { pid } = manager.host.states().find(({ name }) => name === 'echo')?.instances[0] ?? {}
  const victim = await innermost(pid as number)
  const crashMs = await secondsOf(async () => {
    process.kill(victim, 'SIGKILL')
    await untilAnswered(manager, call)
  })
  return { startMs, crashMs: crashMs * 1_000 }
}

/** Calls anew at each change of what runs. */
async function untilAnswered(manager: Manager, call: () => Promise<unknown>): Promise<void> {
  for (;;) {
    const changed = Promise.withResolvers<void>()
    const unregister = manager.onChange(() => changed.resolve())
    try {
      await call()
      return
    } catch {
      await changed.promise
    } finally {
      unregister()
    }
  }
}

// ---- A bare TLS socket ----

const CHUNK = Buffer.alloc(64 * 1024, 7)

/** Answers a number of bytes, as text, with that many. */
async function serveBare({ certificateChainPem, keyPem, trustPem }: TlsMaterial): Promise<number> {
  const tls = { cert: certificateChainPem, key: keyPem, ca: trustPem, requestCert: true, rejectUnauthorized: true }
  const server = createServer(tls, (socket) => {
    socket.on('error', () => {})
    socket.once('data', (chunk) => pour(socket, Number(chunk.toString())))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

function pour(socket: TLSSocket, bytes: number): void {
  let left = bytes
  const write = (): void => {
    while (left > 0) {
      const chunk = CHUNK.subarray(0, left)
      left -= chunk.length
      if (socket.write(chunk)) continue
      socket.once('drain', write)
      return
    }
    socket.end()
  }
  write()
}

async function readBare({ certificateChainPem, keyPem, trustPem }: TlsMaterial, port: number, bytes: number) {
  const tls = { cert: certificateChainPem, key: keyPem, ca: trustPem, checkServerIdentity: () => undefined }
  const socket = connect({ host: '127.0.0.1', port, ...tls })
  await once(socket, 'secureConnect')
  return secondsOf(async () => {
    let read = 0
    socket.on('data', (chunk: Buffer) => (read += chunk.length))
    const ended = once(socket, 'end')
    socket.write(String(bytes))
    await ended
    if (read !== bytes) throw new Error(`${read} bytes came of ${bytes}`)
  })
}
