import { existsSync, readdirSync, realpathSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { CliError, messageOf } from '../../base/errors.ts'
import { nextFreePort } from './free-port.ts'
import { loginLink } from '../session/login-link.ts'
import { type LocalNode, type NodeSpec, type ReadyEvent, startLocalNode } from './local-node.ts'
import { createScreen } from './screen.ts'

const HOST = '127.0.0.1'
const COORDINATOR = 'coordinator-1'

export interface LocalClusterOptions {
  /** Where the nodes keep their state; created where missing. */
  directory: string
  /** 1 to 8. */
  workers: number
}

/**
 * Runs a coordinator and workers as processes of their own until SIGINT or SIGTERM, or until one of them ends.
 * @returns the exit code: 0 after a stop that was asked for
 */
export async function runLocalCluster(options: LocalClusterOptions): Promise<number> {
  if (!Number.isInteger(options.workers) || options.workers < 1 || options.workers > 8) {
    throw new CliError('P2P_CLI_USAGE', '--workers takes a whole number from 1 to 8')
  }
  const stop = new AbortController()
  const onSignal = (): void => stop.abort()
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  const nodes: LocalNode[] = []
  const screen = createScreen()
  try {
    await mkdir(options.directory, { recursive: true, mode: 0o700 })
    const specs = await planNodes(resolve(options.directory), options.workers)
    screen.title(`P2P Core: a cluster of ${specs.length} nodes on this machine`)
    const [coordinator, ...workers] = specs as [NodeSpec, ...NodeSpec[]]
    await start(coordinator)
    await Promise.all(workers.map(start))
    screen.ready(nodes, options.directory, await linkOf(await nodes[0]?.ready))
    const ended = await Promise.race([aborted(stop.signal), ...nodes.map((node) => node.ended)])
    if (ended === undefined) return 0
    screen.failed(ended)
    return 1
  } catch (error) {
    if (stop.signal.aborted) return 0
    screen.say(messageOf(error))
    return 1
  } finally {
    screen.stopping()
    // Workers first: they say goodbye to a coordinator that still listens.
    await Promise.all(nodes.slice(1).map((node) => node.stop()))
    await nodes[0]?.stop()
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
  }

  async function start(spec: NodeSpec): Promise<void> {
    const node = startLocalNode(spec, (event) => screen.event(spec.nodeId, event), stop.signal)
    nodes.push(node)
    await node.ready
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
