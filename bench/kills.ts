import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { MARK_VARIABLE } from '../src/service/host/leftovers.ts'
import { familyOf, processesWith } from '../src/service/host/linux-processes.ts'
import { SimulatedRandom } from '../src/testing/simulated-random.ts'
import { withCleanup } from './services/cleanup.ts'
import { COORDINATOR, LiveCluster, type ServiceFiles } from './services/live-cluster.ts'

/*
 * Kills workers and processes of services at random with SIGKILL, in a cluster of three nodes, and then looks, in the operating
 * system and at the coordinator, whether exactly what is desired runs: nothing missing, nothing twice, nothing left behind. A
 * killed worker is started again at once, as an init system would do it; what it ran is its own affair.
 *   node --conditions=source bench/kills.ts [--kills 60] [--seed 1] [--command PATH]
 */

export interface KillsOptions {
  kills: number
  seed: number
  /** Another installation's `p2p`. */
  command?: string | undefined
  onProgress?: (line: string) => void
}

export interface KillsResult {
  killedWorkers: number
  killedServices: number
  /** From the last kill until exactly what is desired ran; undefined: it never did within a minute. */
  settledMs: number | undefined
  /** Empty, or what is wrong at the end. */
  faults: string[]
}

/** One kill in so many hits a worker, and takes all of its services with it. */
const WORKER_EVERY = 10
const PAUSE_MS_MAX = 150
const WAIT_MS_MAX = 60_000
/** What is promised. */
const SETTLED_MS_MAX = 10_000
const LOOK_MS = 100
/** What is right has to stay so. */
const STEADY_MS = 2_000
const PROGRESS_EVERY = 10
const WORKERS = ['w1', 'w2']

/** Killed so often on purpose, a service would rightly be given up. */
const RESTART = { attempts: 100, windowMs: 10_000, backoffMs: 50, backoffMsMax: 500 }
const WANTED: Readonly<Record<string, number>> = { shop: 3, desk: 2, clock: 2 }

function service(name: string): ServiceFiles {
  return {
    'manifest.json': { name, version: '1.0.0', restart: RESTART },
    'main.js': `
      import { defineService, method } from 'p2p-core/service'
      export default defineService({
        name: '${name}', version: '1.0.0', description: 'Answers',
        methods: { who: method({ description: 'Its process', public: true, handler: () => process.pid }) },
      })`,
  }
}

/** A program with a child of its own. */
const CLOCK: ServiceFiles = {
  'manifest.json': {
    name: 'clock',
    version: '1.0.0',
    kind: 'exec',
    restart: RESTART,
    exec: { command: 'sh', args: ['-c', 'sleep 77777 & wait'] },
  },
}

export function benchKills(options: KillsOptions): Promise<KillsResult> {
  const { kills, seed, command, onProgress = () => {} } = options
  return withCleanup(async (cleanup) => {
    const cluster = new LiveCluster(cleanup, { workers: WORKERS, command })
    await cluster.start()
    const placement = { labels: { role: 'worker' } }
    for (const [name, count] of Object.entries(WANTED)) {
      await cluster.deploy(name, name === 'clock' ? CLOCK : service(name), { count, placement, healthy_ms: 200 })
    }
    await Promise.all(Object.keys(WANTED).map((name) => cluster.rolledOut(name)))
    const random = new SimulatedRandom(seed)
    let killedWorkers = 0
    let killedServices = 0
    while (killedWorkers + killedServices < kills) {
      const isWorker = random.float() < 1 / WORKER_EVERY
      const victims = isWorker ? WORKERS.map((name) => cluster.pid(name)) : await marked(cluster)
      const victim = victims[Math.floor(random.float() * victims.length)]
      // One that ended by itself meanwhile is no kill.
      if (victim !== undefined && killed(victim)) {
        if (isWorker) killedWorkers++
        else killedServices++
        const done = killedWorkers + killedServices
        if (done % PROGRESS_EVERY === 0) onProgress(`${done} of ${kills} killed, ${killedWorkers} of them workers`)
      }
      // Often so soon after the last one that it hits a start.
      await pause(random.float() * PAUSE_MS_MAX)
    }
    const beginMs = performance.now()
    let faults: string[]
    do {
      await pause(LOOK_MS)
      faults = await faultsOf(cluster)
    } while (faults.length > 0 && performance.now() - beginMs < WAIT_MS_MAX)
    const isRight = faults.length === 0
    const settledMs = isRight ? performance.now() - beginMs : undefined
    if (isRight) {
      await pause(STEADY_MS)
      faults = await faultsOf(cluster)
    }
    return { killedWorkers, killedServices, settledMs, faults }
  })
}

/** Everything that differs from what is desired. */
async function faultsOf(cluster: LiveCluster): Promise<string[]> {
  const running = await instancesOf(cluster)
  const faults: string[] = []
  for (const [name, wanted] of Object.entries(WANTED)) {
    const here = [...running.keys()].filter((instance) => instance.includes(`:${name}#`)).sort()
    if (here.length !== wanted) faults.push(`${name}: ${here.length} run instead of ${wanted} (${here.join(', ')})`)
    let told: string[]
    try {
      const { instances } = await cluster.status(name)
      told = instances
        .filter(({ state }) => state === 'running')
        .map(({ node_id: nodeId, id }) => `${nodeId}:${id}`)
        .sort()
    } catch (error) {
      faults.push(`${name}: the coordinator does not answer: ${String(error)}`)
      continue
    }
    if (told.join() !== here.join()) faults.push(`${name}: ${here.join(', ')} run, ${told.join(', ')} are known`)
  }
  for (const name of [COORDINATOR, ...WORKERS]) {
    const family = new Set(await familyOf(cluster.pid(name)))
    for (const [instance, pids] of running) {
      const strangers = instance.startsWith(`${name}:`) ? pids.filter((pid) => !family.has(pid)) : []
      if (strangers.length > 0) faults.push(`${instance}: ${strangers.join(', ')} left behind by an earlier node`)
    }
    const zombies = zombiesOf(cluster.pid(name))
    if (zombies > 0) faults.push(`${name} has ${zombies} children that nobody waited for`)
  }
  return faults
}

/** By node and instance, `w1:shop#2`: the processes that the operating system has of it. */
async function instancesOf(cluster: LiveCluster): Promise<Map<string, number[]>> {
  const found = new Map<string, number[]>()
  for (const name of [COORDINATOR, ...WORKERS]) {
    for (const pid of await marked(cluster, name)) {
      const instance = `${name}:${markOf(pid)?.split('#').slice(1).join('#')}`
      found.set(instance, [...(found.get(instance) ?? []), pid])
    }
  }
  return found
}

/** Processes of services: of one node, or of all. */
function marked(cluster: LiveCluster, node?: string): Promise<number[]> {
  const directory = node === undefined ? join(cluster.home.directory, 'data') : cluster.stateOf(node)
  return processesWith(MARK_VARIABLE, (mark) => mark.startsWith(`${directory}/`))
}

function markOf(pid: number): string | undefined {
  const prefix = `${MARK_VARIABLE}=`
  try {
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
    return environment.find((entry) => entry.startsWith(prefix))?.slice(prefix.length)
  } catch {
    return undefined
  }
}

/** Children that have ended and that nobody has waited for. */
function zombiesOf(parent: number): number {
  return readdirSync('/proc').filter((name) => {
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8')
      const [state, parentPid] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return state === 'Z' && Number(parentPid) === parent
    } catch {
      return false
    }
  }).length
}

function killed(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile.
    return false
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kills: { type: 'string', default: '60' },
      seed: { type: 'string', default: '1' },
      command: { type: 'string' },
    },
  })
  const { kills, seed, command } = values
  const result = await benchKills({ kills: Number(kills), seed: Number(seed), command, onProgress: console.log })
  const { killedServices, killedWorkers, settledMs, faults } = result
  console.log(`seed ${seed}: ${killedWorkers} workers and ${killedServices} processes of services killed`)
  for (const fault of faults) console.log(`WRONG: ${fault}`)
  const verdict =
    settledMs === undefined
      ? 'FAILED: what is desired did not run within a minute'
      : `exactly what is desired runs, ${(settledMs / 1_000).toFixed(1)} s after the last kill`
  console.log(verdict)
  process.exitCode = faults.length === 0 && settledMs !== undefined && settledMs <= SETTLED_MS_MAX ? 0 : 1
}
