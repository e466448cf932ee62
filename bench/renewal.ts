/*
 * Calls while certificates of a minute are renewed all the time and, half-way, the root is exchanged: how many fail. Nodes are processes of
 * the built program; each call is asked for over HTTPS at one node and runs on another. With --kills the coordinator is killed (SIGKILL)
 * and started again in each phase of the exchange; calls are then made among the workers, since a node that is dead answers none.
 *
 *   node --conditions=source bench/renewal.ts [--nodes 3] [--minutes 3] [--rate 50] [--kills]
 *
 * Twenty nodes take some 3 GB of memory; started one after the other, they are there after half a minute.
 */
import { parseArgs } from 'node:util'
import type { CaRotation } from '../src/base/enrolment.ts'
import { callMethod, getJson, signIn } from '../test/e2e/support/node-api.ts'
import {
  type Cleanup,
  eventually,
  freePort,
  makeHome,
  type NodeProcess,
  p2p,
  startNode,
} from '../test/e2e/support/node-process.ts'

interface Options {
  nodes: number
  minutes: number
  /** Calls a second, over all nodes. */
  rate: number
  kills: boolean
}

interface Certificate {
  node_id: string
  serial: string
}

async function main({ nodes: count, minutes, rate, kills }: Options, t: Cleanup): Promise<void> {
  const home = makeHome(t)
  const seed = `127.0.0.1:${await freePort()}`
  const nodes: { nodeId: string; url: string; file: string; process: NodeProcess }[] = []
  for (let index = 0; index < count; index++) {
    const nodeId = index === 0 ? 'coordinator-1' : `worker-${index}`
    const port = index === 0 ? Number(seed.split(':')[1]) : await freePort()
    const role = index === 0 ? { coordinator_mode: true } : { coordinator_addresses: [seed] }
    const common = { port, bind_address: '127.0.0.1', certificate_lifetime: '1m', rate_limit_enabled: false }
    const file = home.config(nodeId, { ...common, ...role })
    const process = startNode(t, file)
    nodes.push({ nodeId, url: `https://127.0.0.1:${port}`, file, process })
    await process.ready()
  }
  const [coordinator] = nodes as [(typeof nodes)[number]]
  const { operatorFile } = await coordinator.process.ready()
  const login = await signIn(coordinator.url, operatorFile as string)
  const cwd = home.directory
  await p2p(['login'], { cwd })
  const serials = new Set<string>()
  const see = async (): Promise<void> => {
    const { issued } = await getJson<{ issued: Certificate[] }>({ ...login, url: coordinator.url }, '/api/ca')
    for (const { serial } of issued) serials.add(serial)
  }

  const callers = kills ? nodes.slice(1) : nodes
  const failures = new Map<string, number>()
  let made = 0
  let slowestMs = 0
  const call = async (): Promise<void> => {
    const from = callers[made % callers.length] as (typeof nodes)[number]
    const distance = 1 + (Math.floor(made / callers.length) % (callers.length - 1))
    const to = callers[(made + distance) % callers.length] as (typeof nodes)[number]
    made++
    const startedMs = performance.now()
    try {
      await callMethod(
        { ...login, url: from.url },
        { method: 'system/get_system_info', node: to.nodeId, timeoutMs: 10_000 },
      )
    } catch (error) {
      const why = `${from.nodeId} to ${to.nodeId}: ${String(error).slice(0, 160)}`
      failures.set(why, (failures.get(why) ?? 0) + 1)
    }
    slowestMs = Math.max(slowestMs, performance.now() - startedMs)
  }

  const restart = async (): Promise<void> => {
    coordinator.process.kill('SIGKILL')
    await coordinator.process.exited
    coordinator.process = startNode(t, coordinator.file)
    await coordinator.process.ready()
  }
  const endsMs = performance.now() + minutes * 60_000
  const half = performance.now() + minutes * 30_000
  const under: Promise<void>[] = []
  let rotated: Promise<string> | undefined
  let nextMs = performance.now()
  let seenMs = 0
  while (performance.now() < endsMs) {
    under.push(call())
    if (!rotated && performance.now() >= half)
      rotated = rotate(cwd, { ...login, url: coordinator.url }, kills ? restart : undefined)
    if (performance.now() - seenMs > 10_000) {
      seenMs = performance.now()
      under.push(see().catch(() => {}))
    }
    nextMs += 1_000 / rate
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, nextMs - performance.now())))
  }
  await Promise.all(under)
  await see()
  const failed = [...failures.values()].reduce((sum, each) => sum + each, 0)
  console.log(
    `${count} nodes, ${minutes} min, ${made} calls (${(made / minutes / 60).toFixed(0)} a second): ${failed} failed`,
  )
  for (const [why, times] of failures) console.log(`  ${times} × ${why}`)
  console.log(`certificates issued: ${serials.size}; slowest call ${slowestMs.toFixed(0)} ms`)
  console.log(`root exchanged${(await rotated) ?? ': no, too short'}`)
  if (failed > 0) process.exitCode = 1
}

/** @param restart kills the coordinator and starts it again; called in each phase */
async function rotate(
  cwd: string,
  api: Parameters<typeof getJson>[0],
  restart: (() => Promise<void>) | undefined,
): Promise<string> {
  const startedMs = performance.now()
  const { code, stderr } = await p2p(['ca', 'rotate', '--root', '--yes'], { cwd })
  if (code !== 0) return `: no, ${stderr}`
  /** Undefined: the coordinator is away at this moment. */
  const ask = (): Promise<CaRotation | undefined> =>
    getJson<{ rotation: CaRotation }>(api, '/api/ca/rotation').then(
      ({ rotation }) => rotation,
      () => undefined,
    )
  const seen = new Set<string>()
  await eventually(
    async () => {
      const phase = (await ask())?.phase
      if (!restart || phase === undefined || phase === 'done' || seen.has(phase)) return phase
      seen.add(phase)
      await restart()
      return phase
    },
    (phase) => phase === 'done',
    600,
  )
  const killed = restart ? `, the coordinator killed while ${[...seen].join(', ')},` : ''
  return `${killed} in ${((performance.now() - startedMs) / 1_000).toFixed(1)} s`
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      nodes: { type: 'string', default: '3' },
      minutes: { type: 'string', default: '3' },
      rate: { type: 'string', default: '50' },
      kills: { type: 'boolean', default: false },
    },
  })
  const cleanups: (() => unknown)[] = []
  const options = {
    nodes: Number(values.nodes),
    minutes: Number(values.minutes),
    rate: Number(values.rate),
    kills: values.kills,
  }
  try {
    await main(options, { after: (fn) => void cleanups.push(fn) })
  } finally {
    for (const cleanup of cleanups.reverse()) await cleanup()
  }
}
