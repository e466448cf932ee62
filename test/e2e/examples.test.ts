import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test, type TestContext } from 'node:test'
import { promisify } from 'node:util'
import { eventually, freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const run = promisify(execFile)
const root = resolve(import.meta.dirname, '../..')
const examples = join(root, 'examples')

/** The first TypeScript block of a page behind a heading. */
function snippet(page: string, heading: string): string {
  const text = readFileSync(join(root, page), 'utf8')
  const [, code] = /```ts\n([\s\S]*?)```/.exec(text.slice(text.indexOf(`\n${heading}\n`))) ?? []
  assert.ok(code, `${page} has a TypeScript block under ${heading}`)
  return code
}

/**
 * A coordinator and a worker whose services are the examples and what the pages show, and an operator who is logged in.
 * Both run the services of the one folder.
 */
async function startCluster(t: TestContext, services: Record<string, string>) {
  const home = makeHome(t)
  const folder = join(home.directory, 'dist/services')
  for (const name of ['greeter', 'uptime']) cpSync(join(examples, name), join(folder, name), { recursive: true })
  for (const [name, code] of Object.entries(services)) {
    mkdirSync(join(folder, name), { recursive: true })
    writeFileSync(join(folder, name, 'main.ts'), code)
  }
  const port = await freePort()
  const common = { bind_address: '127.0.0.1' }
  const coordinator = startNode(t, home.config('coordinator-1', { ...common, port, coordinator_mode: true }))
  await coordinator.ready()
  const seeds = { port: await freePort(), coordinator_addresses: [`127.0.0.1:${port}`] }
  await startNode(t, home.config('worker-1', { ...common, ...seeds })).ready()
  await coordinator.event('joined')
  const cwd = home.directory
  const login = await p2p(['login'], { cwd })
  assert.equal(login.code, 0, login.stderr)
  const call = async (name: string, ...args: string[]) => {
    const { code, stdout, stderr } = await p2p(['call', name, ...args], { cwd })
    assert.equal(code, 0, `${name} ${args.join(' ')}: ${stderr}`)
    return JSON.parse(stdout)
  }
  return { cwd, call }
}

test('the examples and the services the pages show run on a coordinator and a worker', async (t) => {
  const { cwd, call } = await startCluster(t, {
    // The same name as the example's would be refused; nothing else is changed.
    readme: snippet('README.md', '## Services').replace("'greeter'", "'readme_greeter'"),
    library: snippet('docs/services.md', '## With a definition'),
    my_service: snippet('docs/services.md', '## With a class'),
  })
  // A worker tells of its services when they have started, which is after it is ready.
  await eventually(
    () => p2p(['nodes', '--output', 'json'], { cwd }),
    ({ stdout }) => (JSON.parse(stdout) as { services: object }[]).every(({ services }) => 'uptime' in services),
  )
  const { hostname } = await call('system/get_system_info', '--node', 'coordinator-1')

  await t.test('the greeter greets on each node, with the name of the coordinator', async () => {
    for (const node of ['coordinator-1', 'worker-1']) {
      assert.deepEqual(await call('greeter/greet', '--param', 'name=Ada', '--param', 'language=es', '--node', node), {
        greeting: 'Hola Ada',
        from: hostname,
      })
    }
    assert.deepEqual(await call('greeter/greeted', '--param', 'name=Ada', '--node', 'worker-1'), {
      name: 'Ada',
      times: 1,
    })
  })

  await t.test('the schema of the greeter is its help and refuses what it does not know', async () => {
    const help = await p2p(['call', 'greeter/greet', '--help'], { cwd })
    assert.match(help.stdout, /Whom to greet/)
    assert.match(help.stdout, /language/)
    const wrong = await p2p(['call', 'greeter/greet', '--params', '{"name":"Ada","language":"xx"}'], { cwd })
    assert.equal(wrong.code, 2)
    assert.match(wrong.stderr, /language/)
    const unknown = await p2p(['call', 'greeter/greeted', '--param', 'name=Nobody'], { cwd })
    assert.equal(unknown.code, 1)
    assert.match(unknown.stderr, /Nobody has not been greeted here/)
  })

  await t.test('uptime compares nodes, and names the one that does not answer with the reason', async () => {
    const nodes = ['coordinator-1', 'worker-1', 'worker-9'].flatMap((node) => ['--param', `nodes=${node}`])
    const { reports, failed } = await call('uptime/compare', ...nodes)
    assert.deepEqual(reports.map(({ node }: { node: string }) => node).sort(), ['coordinator-1', 'worker-1'])
    for (const { hostname: host, days } of reports) assert.deepEqual([host, days >= 0], [hostname, true])
    assert.equal(failed.length, 1)
    assert.deepEqual([failed[0].node, failed[0].code], ['worker-9', 'P2P_NETWORK_NODE_UNKNOWN'])
  })

  await t.test('the program that is no node calls with the login, and says what is wrong', async () => {
    const client = async (...args: string[]) => {
      const env = { ...process.env, XDG_CONFIG_HOME: join(cwd, 'xdg') }
      return run(process.execPath, [join(examples, 'client.ts'), ...args], { env })
    }
    const { stdout } = await client('greeter/greet', '{"name":"Ada"}', 'worker-1')
    assert.deepEqual(JSON.parse(stdout), { greeting: 'Hello Ada', from: hostname })
    await assert.rejects(client('greeter/gret', '{}'), {
      code: 1,
      stderr: /greeter\/greet.*\n\(P2P_RPC_METHOD_NOT_FOUND\)/,
    })
    await assert.rejects(client('greeter/greet', '{}', 'no node'), { code: 1, stderr: /\(P2P_RPC_INVALID_REQUEST\)/ })
    await assert.rejects(client(), { code: 2, stderr: /^Usage/ })
  })

  await t.test('the service in the README does what the README says', async () => {
    assert.deepEqual(await call('readme_greeter/greet', '--param', 'name=Ada'), {
      greeting: `Hello Ada, from ${hostname}`,
    })
  })

  await t.test('the services in docs/services.md run as written', async () => {
    assert.deepEqual(await call('my_service/my_method', '--param', 'param=Ada'), { result: 'Hello Ada' })
    const unknown = await p2p(['call', 'library/lend', '--param', 'id=7'], { cwd })
    assert.match(unknown.stderr, /No book has the id 7/)
  })
})

test("the greeter's own test passes without a cluster", async () => {
  const { NODE_TEST_CONTEXT: _inherited, ...env } = process.env
  const args = [
    '--conditions=source',
    '--import',
    'p2p-core/decorators',
    '--test',
    join(examples, 'greeter/main.test.ts'),
  ]
  const { stdout } = await run(process.execPath, args, { cwd: root, env })
  assert.match(stdout, /pass 3\n/)
})
