import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { followMembers, type MemberView, type SeenChange } from '../../test/e2e/support/member-view.ts'
import { callMethod, type Login, type NodeApi, signIn } from '../../test/e2e/support/node-api.ts'
import { type Cleanup, type Home, makeHome, type NodeProcess, startNode } from '../../test/e2e/support/node-process.ts'
import type { RealCluster, Sight, Sighting } from './cluster.ts'

/** Nodes that are starting at the same moment: each needs about a second of CPU. */
const STARTING_MAX = 2

/** A service whose health changes on demand: the smallest change of a node's record that a user can make. */
const FLIP = `
import { defineService, method, z } from 'p2p-core/service'
let runtime
export default defineService({
  name: 'flip',
  version: '1.0.0',
  description: 'Reports the health it is told to report.',
  methods: {
    report: method({
      description: 'Sets the health',
      public: true,
      params: z.object({ health: z.enum(['healthy', 'failing']) }),
      handler({ health }) {
        runtime.reportHealth(health)
        return {}
      },
    }),
  },
  initialize(service) {
    runtime = service
  },
})
`

/** Real nodes of P2P Core with the built program and their default services; what they see they tell by their event streams. */
export function createP2pCluster(cleanup: Cleanup, ports: readonly number[]): RealCluster {
  return new P2pCluster(cleanup, ports)
}

class P2pCluster implements RealCluster {
  readonly label = 'P2P Core'
  readonly names: string[]
  readonly ports: readonly number[]
  readonly #cleanup: Cleanup
  readonly #home: Home
  readonly #files: string[]
  readonly #nodes = new Map<string, NodeProcess>()
  readonly #health = new Map<string, 'healthy' | 'failing'>()
  readonly #listeners = new Set<(sighting: Sighting) => void>()
  #views: MemberView[] = []
  #login: Login | undefined

  constructor(cleanup: Cleanup, ports: readonly number[]) {
    this.#cleanup = cleanup
    this.ports = ports
    this.names = ports.map((_, index) => (index === 0 ? 'coordinator-1' : `worker-${index}`))
    this.#home = makeHome(cleanup)
    const directory = join(this.#home.directory, 'dist/services/flip')
    mkdirSync(directory, { recursive: true })
    writeFileSync(join(directory, 'main.js'), FLIP)
    this.#files = this.names.map((name, index) =>
      this.#home.config(name, {
        port: ports[index],
        bind_address: '127.0.0.1',
        rate_limit_enabled: false,
        ...(index === 0 ? { coordinator_mode: true } : { coordinator_addresses: [`127.0.0.1:${ports[0]}`] }),
      }),
    )
  }

  pid(name: string): number {
    return (this.#nodes.get(name) as NodeProcess).pid
  }

  async start(): Promise<void> {
    const [coordinator, ...workers] = this.names as [string, ...string[]]
    const { url, operatorFile } = await this.#startNode(coordinator).ready()
    this.#login = await signIn(url, operatorFile as string)
    const waiting = workers.values()
    const startSome = async (): Promise<void> => {
      for (const name of waiting) await this.#startNode(name).ready()
    }
    await Promise.all(Array.from({ length: STARTING_MAX }, startSome))
    await this.watchAgain()
  }

  onSight(listener: (sighting: Sighting) => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  async restart(name: string): Promise<void> {
    // A new process is healthy, whatever the one before it was told to say.
    this.#health.delete(name)
    await this.#startNode(name).ready()
  }

  async change(name: string): Promise<void> {
    const health = this.#health.get(name) === 'failing' ? 'healthy' : 'failing'
    this.#health.set(name, health)
    await callMethod(this.#api(name), { method: 'flip/report', params: { health } })
  }

  stopWatching(): void {
    for (const view of this.#views.splice(0)) view.close()
  }

  async watchAgain(): Promise<void> {
    const size = this.names.length
    this.#views = this.names.map((name) => followMembers(name, this.#api(name)))
    const isWhole = (view: MemberView): boolean =>
      view.rows().filter(({ status }) => status === 'alive').length === size
    await Promise.all(this.#views.map((view) => view.until(`${size} members`, isWhole)))
    for (const view of this.#views) view.onChange((change) => this.#onChange(view.nodeId, change))
  }

  async bytesSent(): Promise<number> {
    const each = await Promise.all(
      this.names.map(async (name) => {
        const call = { method: 'system/get_gossip_stats', timeoutMs: 10_000 }
        return ((await callMethod(this.#api(name), call)) as { sent: { bytes: number } }).sent.bytes
      }),
    )
    return each.reduce((sum, bytes) => sum + bytes, 0)
  }

  async stop(): Promise<void> {
    this.stopWatching()
    await Promise.all(
      [...this.#nodes.values()].map(async (node) => {
        node.kill('SIGKILL')
        await node.exited
      }),
    )
  }

  #startNode(name: string): NodeProcess {
    const node = startNode(this.#cleanup, this.#files[this.names.indexOf(name)] as string)
    this.#nodes.set(name, node)
    return node
  }

  #api(name: string): NodeApi {
    const url = `https://127.0.0.1:${this.ports[this.names.indexOf(name)]}`
    return { url, ...(this.#login as Login) }
  }

  #onChange(observer: string, change: SeenChange): void {
    const sight = sightOf(change)
    if (!sight) return
    const sighting = { observer, subject: change.row.node_id, sight, atMs: change.atMs }
    for (const listener of this.#listeners) listener(sighting)
  }
}

function sightOf({ row, before }: SeenChange): Sight | undefined {
  if (row.status === 'dead') return before?.status === 'dead' ? undefined : 'failed'
  const wasPresent = before?.status === 'alive' || before?.status === 'suspected'
  if (row.status === 'alive' && !wasPresent) return 'joined'
  return row.services['flip']?.status === before?.services['flip']?.status ? undefined : 'changed'
}
