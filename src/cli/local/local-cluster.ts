import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { CliError, messageOf } from '../../base/errors.ts'
import { nextFreePort } from './free-port.ts'
import { loginLink } from '../session/login-link.ts'
import { type LocalNode, type NodeSpec, type ReadyEvent, startLocalNode } from './local-node.ts'
import { createScreen } from './screen.ts'

const HOST = '127.0.0.1'
const COORDINATOR = 'coordinator-1'
/** Long enough to see what the others make of a node that was killed. */
const RESTART_AFTER_MS = 10_000

export interface LocalClusterOptions {
  /** Where the nodes keep their state; created where missing. */
  directory: string
  /** 1 to 8. */
  workers: number
}

/**
 * Runs a coordinator and workers as processes of their own until SIGINT or SIGTERM, as a service manager would: a node
 * that is killed or fails is started again, one that was told to stop stays away.
 * @returns the exit code: 0 after a stop that was asked for, 1 when a node does not become ready
 */
export async function runLocalCluster(options: LocalClusterOptions): Promise<number> {
  if (!Number.isInteger(options.workers) || options.workers < 1 || options.workers > 8) {
    throw new CliError('P2P_CLI_USAGE', '--workers takes a whole number from 1 to 8')
  }
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  const nodes = new Map<string, LocalNode>()
  const screen = createScreen()
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 })
    const specs = await planNodes(resolve(options.directory), options.workers)
    screen.title(`P2P Core: a cluster of ${specs.length} nodes on this machine`)
    const [coordinator, ...workers] = specs as [NodeSpec, ...NodeSpec[]]
    await start(coordinator)
    await Promise.all(workers.map(start))
    screen.ready(nodes.size, options.directory, await linkOf(await nodes.get(COORDINATOR)?.ready))
    await Promise.race([aborted(stop.signal), Promise.all(specs.map(keepRunning))])
    return 0
  } catch (error) {
    if (stop.signal.aborted) return 0
    screen.say(messageOf(error))
    return 1
  } finally {
    screen.stopping()
    // Workers first: they say goodbye to a coordinator that still listens.
    const coordinator = nodes.get(COORDINATOR)
    await Promise.all([...nodes.values()].filter((node) => node !== coordinator).map((node) => node.stop()))
    await coordinator?.stop()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }

  async function start(spec: NodeSpec): Promise<void> {
    const node = startLocalNode(spec, (event) => screen.event(spec.nodeId, event), stop.signal)
    nodes.set(spec.nodeId, node)
    await node.ready
  }

  /** Resolves when the node was told to stop, rejects when it does not become ready again. */
  async function keepRunning(spec: NodeSpec): Promise<void> {
    for (;;) {
      const end = await (nodes.get(spec.nodeId) as LocalNode).ended
      screen.ended(end, RESTART_AFTER_MS)
      if (end.outcome === 'stopped') return
      await pause(RESTART_AFTER_MS, undefined, { signal: stop.signal })
      await start(spec)
    }
  }
}

/** A cluster without a link is still a cluster: `p2p login --link` then says why. */
async function linkOf(coordinator: ReadyEvent | undefined): Promise<string | undefined> {
  if (coordinator?.operatorFile === undefined) return undefined
  return loginLink(coordinator.operatorFile).catch(() => undefined)
}

/** Chooses ports, writes the configuration files and answers what to start, the coordinator first. */
async function planNodes(directory: string, workers: number): Promise<NodeSpec[]> {
  const taken = new Set<number>()
  const specs: NodeSpec[] = []
  let coordinatorPort = 0
  for (let index = 0; index <= workers; index++) {
    const isCoordinator = index === 0
    const nodeId = isCoordinator ? COORDINATOR : `worker-${index}`
    const port = await nextFreePort(8001 + index, HOST, taken)
    taken.add(port)
    if (isCoordinator) coordinatorPort = port
    const stateDirectory = join(directory, nodeId)
    await mkdir(stateDirectory, { recursive: true, mode: 0o700 })
    const configFile = join(directory, `${nodeId}.yaml`)
    await writeFile(
      configFile,
      [
        '# Written by "p2p local" at every start.',
        `node_id: ${JSON.stringify(nodeId)}`,
        `port: ${port}`,
        `bind_address: "${HOST}"`,
        `coordinator_mode: ${isCoordinator}`,
        'challenge_port: 0',
        ...(isCoordinator ? [] : [`coordinator_addresses: ["${HOST}:${coordinatorPort}"]`]),
        `state_directory: ${JSON.stringify(stateDirectory)}`,
        `services_directory: ${JSON.stringify(servicesDirectory())}`,
        `plot_file: ${JSON.stringify(resolve('dist/services/plot'))}`,
        '',
      ].join('\n'),
      { mode: 0o600 },
    )
    specs.push({ nodeId, configFile, logFile: join(stateDirectory, 'node.log') })
  }
  return specs
}

/** The folder's own services, else the examples that come with the program: bin/ and dist/ lie side by side. */
function servicesDirectory(): string {
  const own = resolve('dist/services')
  const hasServices = existsSync(own) && readdirSync(own, { withFileTypes: true }).some((entry) => entry.isDirectory())
  return hasServices ? own : join(dirname(realpathSync(process.argv[1] as string)), '../dist/services')
}

function aborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolveWait) => {
    if (signal.aborted) resolveWait(undefined)
    else signal.addEventListener('abort', () => resolveWait(undefined), { once: true })
  })
}
