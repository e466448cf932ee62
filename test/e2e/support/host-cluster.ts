import { followMembers, type MemberView } from './member-view.ts'
import { type HostPlan, makeNetwork, type NetworkOptions, type TestHost } from './namespaces.ts'
import { callMethod, type Login, type NodeApi, signIn } from './node-api.ts'
import { type Cleanup, eventually, makeHome, type NodeProcess, startNode } from './node-process.ts'

/** One machine with its node. */
export interface Machine {
  readonly id: string
  readonly host: TestHost
  readonly node: NodeProcess
  readonly api: NodeApi
  /** What this node knows of the cluster. */
  readonly view: MemberView
}

/** A cluster of real nodes, each on a host of its own; the first one is the coordinator. */
export interface HostCluster {
  readonly machines: readonly Machine[]
  /** Calls a method on another node through `from`, over the channel between the two. @throws what `from` answered */
  call(from: Machine, to: Machine): Promise<unknown>
  /** Until such a call is answered. */
  reaches(from: Machine, to: Machine): Promise<void>
  /** Until everyone sees everyone alive. */
  isWhole(within?: { ms?: number; of?: readonly Machine[] }): Promise<void>
  /** Addresses at the other end of the open channels, by node id. */
  sessionsOf(machine: Machine): Promise<Map<string, string>>
  /** Who has been declared dead by whom since the start, or since the last call. */
  takeDeaths(): string[]
}

export interface HostClusterOptions extends NetworkOptions {
  /** Keys of each node's configuration beside the usual ones. */
  config?: Record<string, unknown>
  /** Called when the hosts are there, before the nodes start. */
  prepare?: (hosts: readonly TestHost[]) => void
}

export async function startHostCluster(
  t: Cleanup,
  plans: readonly HostPlan[],
  options: HostClusterOptions,
): Promise<HostCluster> {
  const hosts = makeNetwork(t, plans, options)
  options.prepare?.(hosts)
  const [first, ...others] = hosts as [TestHost, ...TestHost[]]
  // One folder, but a vault and an identity for each: the nodes join by the plot that they share.
  const home = makeHome(t)
  const coordinatorAddress = first.address.includes(':') ? `[${first.address}]:8001` : `${first.address}:8001`
  const start = (host: TestHost, id: string, config: Record<string, unknown>): NodeProcess =>
    startNode(t, home.config(id, { rate_limit_enabled: false, challenge_port: 8802, ...options.config, ...config }), {
      prefix: host.prefix,
    })

  const coordinator = start(first, 'coordinator-1', { port: 8001, coordinator_mode: true })
  const { operatorFile } = await coordinator.ready()
  const login = await signIn(`https://${first.controlAddress}:8001`, operatorFile as string)
  const machines = [machineOf('coordinator-1', first, coordinator, 8001, login)]
  const workers = others.map((host, index) => {
    const id = `worker-${index + 1}`
    const node = start(host, id, { port: 8002, coordinator_addresses: [coordinatorAddress] })
    return machineOf(id, host, node, 8002, login)
  })
  machines.push(...workers)
  t.after(() => machines.forEach(({ view }) => view.close()))
  await Promise.all(workers.map(({ node }) => node.ready()))
  const cluster = new RunningHostCluster(machines)
  await cluster.isWhole()
  return cluster
}

function machineOf(id: string, host: TestHost, node: NodeProcess, port: number, login: Login): Machine {
  const api = { url: `https://${host.controlAddress}:${port}`, ...login }
  return { id, host, node, api, view: followMembers(id, api) }
}

class RunningHostCluster implements HostCluster {
  readonly machines: readonly Machine[]
  readonly #deaths: string[] = []

  constructor(machines: readonly Machine[]) {
    this.machines = machines
    for (const { id, view } of machines) {
      view.onChange(({ row, before }) => {
        if (row.status === 'dead' && before?.status !== 'dead') this.#deaths.push(`${row.node_id} by ${id}`)
      })
    }
  }

  call(from: Machine, to: Machine): Promise<unknown> {
    return callMethod(from.api, { method: 'system/get_system_info', node: to.id, timeoutMs: 1_000 })
  }

  async reaches(from: Machine, to: Machine): Promise<void> {
    await eventually(
      () => this.call(from, to).then(() => 'answered', String),
      (answer) => answer === 'answered',
    )
  }

  async isWhole({ ms, of = this.machines }: { ms?: number; of?: readonly Machine[] } = {}): Promise<void> {
    const isAlive = (view: MemberView, id: string): boolean => view.get(id)?.status === 'alive'
    await Promise.all(
      of.map(({ view }) => view.until('everyone alive', () => of.every(({ id }) => isAlive(view, id)), ms)),
    )
  }

  async sessionsOf({ api }: Machine): Promise<Map<string, string>> {
    const stats = (await callMethod(api, { method: 'system/get_gossip_stats' })) as {
      sessions: { node_id: string; address: string }[]
    }
    return new Map(stats.sessions.map(({ node_id: id, address }) => [id, address]))
  }

  takeDeaths(): string[] {
    return this.#deaths.splice(0)
  }
}
