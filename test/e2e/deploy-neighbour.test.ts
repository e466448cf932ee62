import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { healthyByNode, send, statusOf, succeeded, upload } from './support/deployments.ts'
import { signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, startNode } from './support/node-process.ts'

/** Hardly smaller when it is packed, and more than fits into what is under way between two nodes. */
const BYTES = 8 * 1024 * 1024

test('a node fetches a bundle from its neighbour, and goes on where it was when it is killed in between', {
  timeout: 120_000,
}, async (t) => {
  const home = makeHome(t)
  const port = await freePort()
  const common = { bind_address: '127.0.0.1', rate_limit_enabled: false }
  const c1 = startNode(t, home.config('c1', { ...common, port, coordinator_mode: true }))
  const { url, operatorFile } = await c1.ready()
  const api = { ...(await signIn(url, operatorFile as string)), url }
  const files: Record<string, string> = {}
  for (const name of ['w1', 'w2']) {
    const own = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
    files[name] = home.config(name, { ...common, ...own })
  }
  const start = async (name: string) => {
    const node = startNode(t, files[name] as string)
    await node.ready()
    return node
  }
  await start('w1')
  let w2 = await start('w2')

  const artifact = await upload(api, join(home.directory, 'large'), {
    'manifest.json': { name: 'large', version: '1.0.0' },
    'main.js': `import { defineService } from 'p2p-core/service'
      export default defineService({ name: 'large', version: '1.0.0', description: 'x', methods: {} })`,
    'ballast.txt': randomBytes(BYTES).toString('latin1'),
  })
  const place = async (name: string): Promise<void> => {
    const placement = { labels: { node: name } }
    await send(api, 'PUT', '/api/deployments/large', { artifact, placement, healthy_ms: 100 })
  }
  await place('w1')
  await succeeded(api, 'large')

  await place('w2')
  const stored = join(home.directory, 'data/w2/artifacts')
  const part = join(stored, `${artifact}.part`)
  // Killed as soon as something of it is there; when it was quicker than that, it has it all.
  await eventually(
    async () => (existsSync(stored) ? readdirSync(stored) : []),
    (names) => names.some((name) => name.startsWith(artifact)),
  )
  w2.kill('SIGKILL')
  await w2.exited
  const kept = existsSync(part) ? statSync(part).size : undefined
  w2 = await start('w2')
  await eventually(
    async () => healthyByNode(await statusOf(api, 'large')),
    (healthy) => JSON.stringify(healthy) === '{"w2":1}',
    300,
  )
  await succeeded(api, 'large')
  const fetched =
    w2
      .output()
      .split('\n')
      .find((line) => line.includes('An artifact was fetched')) ?? ''
  if (kept === undefined) return
  assert.match(fetched, /from=\[.*"w1"\]/)
  assert.doesNotMatch(fetched, /"c1"/)
  if (kept > 0) assert.match(fetched, /an earlier fetch \(\d+ bytes\)/)
})
