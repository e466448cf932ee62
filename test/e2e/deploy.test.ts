import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually, freePort, makeHome, p2p, startNode } from './support/node-process.ts'

/** A service whose one method is called by its version. */
function writeShop(directory: string, version: string, more = ''): void {
  mkdirSync(join(directory, 'shop'), { recursive: true })
  writeFileSync(join(directory, 'shop/manifest.json'), JSON.stringify({ name: 'shop', version }))
  writeFileSync(
    join(directory, 'shop/main.js'),
    `import { defineService, method, z } from 'p2p-core/service'
${more}
export default defineService({
  name: 'shop',
  version: '${version}',
  description: 'Sells',
  methods: {
    hello: method({
      description: 'Greets',
      public: true,
      requiredRole: 'viewer',
      params: z.strictObject({}),
      handler: () => 'hello from ${version}',
    }),
  },
})
`,
  )
}

test('a service is deployed, called, updated, returned from a version that fails, rolled back and removed', async (t) => {
  const home = makeHome(t)
  const cwd = home.directory
  const port = await freePort()
  const node = startNode(t, home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true }), {
    cwd,
  })
  await node.ready()
  const run = async (expected: number, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await p2p(args, { cwd })
    assert.equal(code, expected, `p2p ${args.join(' ')}\n${stdout}${stderr}`)
    return stdout + stderr
  }
  const hello = async (): Promise<unknown> => JSON.parse(await run(0, 'call', 'shop/hello'))
  await run(0, 'login')

  writeShop(cwd, '1.0.0')
  assert.match(await run(3, 'plan', './shop'), /^shop 1\.0\.0, new\n/)
  const first = await run(0, 'deploy', './shop', '--healthy-for', '1s', '--reason', 'the first')
  assert.match(first, /The coordinator has this bundle already[^]*Done: shop 1\.0\.0 runs, 1 of 1 healthy/)
  assert.equal(await hello(), 'hello from 1.0.0')
  assert.match(await run(0, 'plan', './shop'), /nothing to change/)

  writeShop(cwd, '1.1.0')
  await run(0, 'deploy', './shop')
  assert.equal(await hello(), 'hello from 1.1.0')

  writeShop(cwd, '1.2.0', "throw new Error('no database here')")
  const failed = await run(1, 'deploy', './shop')
  assert.match(failed, /Rolled back: shop 1\.2\.0 failed, 1\.1\.0 runs again.*no database here \(main\.js:2:7\)/)
  assert.equal(await hello(), 'hello from 1.1.0')

  assert.match(await run(0, 'rollback', 'shop'), /Done: shop 1\.0\.0 runs/)
  assert.equal(await hello(), 'hello from 1.0.0')
  const history = JSON.parse(await run(0, 'history', 'shop', '-o', 'json')) as {
    deployment: { version: string; by: string }
    state: string
  }[]
  assert.deepEqual(
    history.map(({ deployment, state }) => [deployment.version, state]),
    [
      ['1.0.0', 'succeeded'],
      ['1.2.0', 'rolled-back'],
      ['1.1.0', 'succeeded'],
      ['1.0.0', 'succeeded'],
    ],
  )

  await run(0, 'stop', 'shop')
  assert.match(await run(2, 'call', 'shop/hello'), /No service shop/)
  await run(0, 'start', 'shop')
  assert.equal(await hello(), 'hello from 1.0.0')

  await run(0, 'remove', 'shop', '--yes')
  // The command ends when it is decided; the instances a moment later.
  await eventually(
    () => p2p(['services', 'shop'], { cwd }),
    ({ code, stderr }) => code === 2 && stderr.includes('No node has a service "shop"'),
  )
  assert.match(await run(1, 'scale', 'shop', '2'), /P2P_DEPLOY_UNKNOWN_SERVICE/)
  assert.equal(await node.stop(), 0)
})
