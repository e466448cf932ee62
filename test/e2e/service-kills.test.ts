import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { MARK_VARIABLE } from '../../src/service/host/leftovers.ts'
import { processesWith } from '../../src/service/host/linux-processes.ts'
import { SimulatedRandom } from '../../src/testing/simulated-random.ts'
import { eventually } from './support/node-process.ts'
import { service, type ServiceNode, startServices } from './support/service-node.ts'

/** More by hand: P2P_TEST_KILLS=500. */
const KILLS = Number(process.env['P2P_TEST_KILLS'] ?? 30)
const SEED = Number(process.env['P2P_TEST_SEED'] ?? 1)
const PUBLIC = `description: 'x', public: true`
const WHO = `who: method({ ${PUBLIC}, handler: () => (globalThis.me ??= crypto.randomUUID()) })`
const WANTED = { shop: 3, desk: 2, clock: 2 } as const

test(`after ${KILLS} kills at random exactly the wanted number runs, with no orphan and no zombie`, {
  skip: process.platform !== 'linux',
}, async (t) => {
  const node = await startServices(t, {
    'shop/main.js': service('shop', WHO),
    'shop/manifest.json': '{"instances":3}',
    'desk/main.js': service('desk', WHO),
    'desk/manifest.json': '{"instances":2}',
    'clock/manifest.json':
      '{"instances":2,"restart":{"attempts":100},"exec":{"command":"sh","args":["-c","sleep 77777 & wait"]}}',
  })
  await node.manager.settled()
  const own = (): Promise<number[]> =>
    processesWith(MARK_VARIABLE, (mark) => mark.startsWith(`${join(node.state, 'services')}#`))
  const before = (await own()).length
  const random = new SimulatedRandom(SEED)
  for (let kill = 0; kill < KILLS; kill++) {
    const victims = await own()
    const victim = victims[Math.floor(random.float() * victims.length)]
    if (victim !== undefined) killed(victim)
    // Now and then so soon after the last one that it hits a start.
    await new Promise((go) => setTimeout(go, random.float() * 60))
  }
  await eventually(
    async () => counts(node),
    (now) => JSON.stringify(now) === JSON.stringify(WANTED),
  )
  await eventually(own, (pids) => pids.length === before)
  assert.deepEqual(zombies(), [], `seed ${SEED}`)
  const ids = new Set(await Promise.all(Array.from({ length: 60 }, () => node.call('shop/who'))))
  assert.equal(ids.size, WANTED.shop, `seed ${SEED}: ${ids.size} answer`)
  assert.equal(
    node.log.some(({ message }) => message === 'A service is not started again'),
    false,
  )
})

function counts(node: ServiceNode): Record<string, number> {
  const running = (name: string): number => node.instances(name).filter(({ state }) => state === 'running').length
  return { shop: running('shop'), desk: running('desk'), clock: running('clock') }
}

function killed(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // It ended meanwhile.
  }
}

/** Children of this process that nobody has waited for. */
function zombies(): string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      const fields = readFileSync(`/proc/${name}/stat`, 'utf8')
        .replace(/^.*\) /s, '')
        .split(' ')
      return fields[0] === 'Z' && Number(fields[1]) === process.pid
    } catch {
      return false
    }
  })
}
