/*
 * How long a revoked certificate is still good for: a coordinator and workers (built program, a process each), and a node that has a
 * channel and an HTTPS connection open to every one of them. Then `p2p nodes revoke` for that node; counted from the start of the
 * command until each of them has cut both, and refused a new channel.
 *
 *   node --conditions=source bench/revocation.ts [--nodes 10] [--rounds 5]
 */
import { once } from 'node:events'
import { connect, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'
import type { TlsMaterial } from '../src/base/credentials.ts'
import { certifyWorker, openPeersOf } from '../test/e2e/support/certified-worker.ts'
import { type Cleanup, freePort, makeHome, p2p, startNode } from '../test/e2e/support/node-process.ts'

/** Workers started at a time. */
const STARTING_AT_ONCE = 4

interface Round {
  /** Milliseconds since the start of the command. */
  commandMs: number
  cutsMs: number[]
  refused: number
}

async function main(nodes: number, rounds: number, t: Cleanup): Promise<void> {
  const home = makeHome(t)
  const [cwd, port] = [home.directory, await freePort()]
  const common = { bind_address: '127.0.0.1', rate_limit_enabled: false }
  await startNode(t, home.config('coordinator-1', { ...common, port, coordinator_mode: true })).ready()
  const addresses = [`127.0.0.1:${port}`]
  const names = Array.from({ length: nodes - 1 }, (_, index) => `worker-${index + 1}`)
  const startNext = async (): Promise<void> => {
    for (let name = names.shift(); name !== undefined; name = names.shift()) {
      const own = { ...common, port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
      const { url } = await startNode(t, home.config(name, own)).ready()
      addresses.push(new URL(url).host)
    }
  }
  await Promise.all(Array.from({ length: STARTING_AT_ONCE }, startNext))
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await p2p(args, { cwd })
    if (code !== 0) throw new Error(stderr)
    return stdout
  }
  await run('login')
  const made = await run('token', 'create', '--uses', String(rounds), '--output', 'json')
  const { token } = JSON.parse(made) as { token: string }

  const results: Round[] = []
  for (let round = 1; round <= rounds; round++) {
    results.push(await revoke(t, { port, addresses, nodeId: `leaver-${round}`, token, run }))
  }
  const cuts = results.flatMap(({ cutsMs }) => cutsMs).sort((a, b) => a - b)
  const last = results.map(({ cutsMs }) => Math.max(...cutsMs)).sort((a, b) => a - b)
  const at = (sorted: readonly number[], share: number): string =>
    ((sorted[Math.ceil(sorted.length * share) - 1] as number) / 1_000).toFixed(2)
  const commands = results.map(({ commandMs }) => commandMs).sort((a, b) => a - b)
  console.log(`${addresses.length} nodes, ${rounds} revocations; seconds from the start of "p2p nodes revoke"`)
  console.log(`command done: median ${at(commands, 0.5)}`)
  console.log(`connection cut, of all nodes: median ${at(cuts, 0.5)}, p99 ${at(cuts, 0.99)}`)
  console.log(`last node of a revocation: median ${at(last, 0.5)}, worst ${at(last, 1)}`)
  const refused = results.reduce((sum, round) => sum + round.refused, 0)
  console.log(`new channels refused afterwards: ${refused} of ${addresses.length * rounds}`)
  if (refused !== addresses.length * rounds) process.exitCode = 1
}

async function revoke(
  t: Cleanup,
  cluster: {
    port: number
    addresses: readonly string[]
    nodeId: string
    token: string
    run: (...args: string[]) => Promise<string>
  },
): Promise<Round> {
  const { addresses, nodeId, run } = cluster
  const identity = await certifyWorker(t, cluster)
  const { peers } = await openPeersOf(t, identity)
  let startedMs = 0
  const cutsMs: number[] = []
  const note = (): unknown => cutsMs.push(performance.now() - startedMs)
  const cut = await Promise.all(
    addresses.map(async (address) => {
      const channel = await peers.open({ addresses: [address] })
      const socket = await connectTo(address, identity.current())
      return [once(channel.closed, 'abort').then(note), once(socket.resume(), 'close').then(note)]
    }),
  )
  startedMs = performance.now()
  await run('nodes', 'revoke', nodeId, '--yes')
  const commandMs = performance.now() - startedMs
  await Promise.all(cut.flat())
  const attempts = addresses.map((address) =>
    peers.open({ addresses: [address] }).then(
      () => false,
      () => true,
    ),
  )
  const refused = (await Promise.all(attempts)).filter(Boolean).length
  return { commandMs, cutsMs, refused }
}

async function connectTo(address: string, material: TlsMaterial): Promise<TLSSocket> {
  const { hostname: host, port } = new URL(`https://${address}`)
  const socket = connect({
    host,
    port: Number(port),
    ca: material.trustPem,
    cert: material.certificateChainPem,
    key: material.keyPem,
    ALPNProtocols: ['http/1.1'],
    checkServerIdentity: () => undefined,
  })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  socket.write('GET /services HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(socket, 'data')
  return socket
}

const { values } = parseArgs({
  options: { nodes: { type: 'string', default: '10' }, rounds: { type: 'string', default: '5' } },
})
const cleanups: (() => unknown)[] = []
try {
  await main(Number(values.nodes), Number(values.rounds), { after: (fn) => void cleanups.push(fn) })
} finally {
  for (const cleanup of cleanups.reverse()) await cleanup()
}
