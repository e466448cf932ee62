import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, renameSync, rmdirSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { freePort, type Home, makeHome, p2p, startNode } from './support/node-process.ts'

/** A coordinator that has run once, so that plot and vault are there. */
async function homeWithVault(t: TestContext): Promise<{ home: Home; file: string; port: number; plot: string }> {
  const home = makeHome(t)
  const port = await freePort()
  const file = home.config('coordinator-1', { port, bind_address: '127.0.0.1', coordinator_mode: true })
  const node = startNode(t, file)
  await node.ready()
  assert.equal(await node.stop(), 0)
  return { home, file, port, plot: join(home.directory, 'dist/services/plot') }
}

/** Starts the node and expects it to end by itself with this code, saying why. */
async function refused(
  t: TestContext,
  file: string,
  expected: { exit: number; says: RegExp; env?: Record<string, string>; args?: string[] },
): Promise<void> {
  const node = startNode(t, file, {
    ...(expected.env && { env: expected.env }),
    ...(expected.args && { args: expected.args }),
  })
  assert.equal(await node.exited, expected.exit, node.output())
  assert.match(node.output(), expected.says)
}

test('what keeps a node from starting is said by name, with an exit code, and nothing is lost', async (t) => {
  const { home, file, port, plot } = await homeWithVault(t)

  await t.test('a wrong password', () =>
    refused(t, file, { exit: 77, says: /P2P_STORAGE_UNLOCK_FAILED/, env: { P2P_PASSWORD: 'not the password' } }),
  )

  await t.test('a password given as an argument is warned of and never repeated', async (t) => {
    const node = startNode(t, file, { args: ['--password', 'seen-by-everybody'] })
    assert.equal(await node.exited, 77)
    assert.match(node.output(), /P2P_PASSWORD, --password-fd/)
    assert.doesNotMatch(node.output(), /seen-by-everybody/)
  })

  await t.test(
    'what fails when nearly everything runs ends the process and gives its port and vault back',
    async (t) => {
      const inTheWay = join(home.directory, 'data/coordinator-1/host-join.secret')
      rmSync(inTheWay)
      mkdirSync(inTheWay)
      await refused(t, file, { exit: 1, says: /Cannot start: EISDIR/ })
      rmdirSync(inTheWay)
      const node = startNode(t, file)
      await node.ready()
      assert.equal(await node.stop(), 0)
    },
  )

  await t.test('a plot that others may read', async (t) => {
    chmodSync(plot, 0o644)
    await refused(t, file, { exit: 77, says: /chmod 600.*P2P_STORAGE_PLOT_PERMISSIONS/s })
    chmodSync(plot, 0o600)
  })

  await t.test('a missing plot beside an existing vault: no new one is made', async (t) => {
    renameSync(plot, `${plot}.away`)
    await refused(t, file, { exit: 78, says: /P2P_STORAGE_PLOT_MISSING/ })
    await refused(t, file, { exit: 78, says: /P2P_STORAGE_PLOT_MISSING/ })
    renameSync(`${plot}.away`, plot)
  })

  await t.test('another plot', async (t) => {
    renameSync(plot, `${plot}.away`)
    const made = await p2p(['plot', 'generate', '--file', plot], { cwd: home.directory })
    assert.equal(made.code, 0, made.stderr)
    await refused(t, file, { exit: 77, says: /P2P_STORAGE_UNLOCK_FAILED/ })
    renameSync(`${plot}.away`, plot)
  })

  await t.test('a taken port', async (t) => {
    const other = createServer().listen(port, '127.0.0.1')
    t.after(() => other.close())
    await refused(t, file, { exit: 75, says: new RegExp(`P2P_TRANSPORT_PORT_TAKEN.*|${port}`, 's') })
  })

  await t.test('an unknown key and a wrong value, both at once, before anything is opened', async (t) => {
    const wrong = join(home.directory, 'config', 'wrong.yaml')
    writeFileSync(wrong, 'node_id: c\ncoordinator_mode: true\nprot: 8001\ngossip_interval_min: soon\n')
    await refused(t, wrong, { exit: 2, says: /wrong\.yaml:3:1.*port.*wrong\.yaml:4:\d+/s })
    const check = await p2p(['config', 'check', wrong], { cwd: home.directory })
    assert.equal(check.code, 2)
    const unknownFlag = await p2p(['--config', file, '--coordinater', 'a:1'], { cwd: home.directory })
    assert.equal(unknownFlag.code, 2)
    assert.match(unknownFlag.stderr, /--coord/)
  })

  await t.test('a vault that another node has open; and the first one runs on', async (t) => {
    const first = startNode(t, file)
    await first.ready()
    await refused(t, file, { exit: 75, says: /P2P_STORAGE_LOCKED/ })
    const login = await p2p(['login'], { cwd: home.directory })
    assert.equal(login.code, 0, login.stderr)
    assert.equal(await first.stop(), 0)
  })

  await t.test('after all that the vault is whole', async () => {
    const verify = await p2p(['storage', 'verify', '--config', file], { cwd: home.directory })
    assert.equal(verify.code, 0, verify.stderr)
  })
})

test('services that fail are listed with their reason, and the node lives', async (t) => {
  const home = makeHome(t)
  const broken: Record<string, string> = {
    throws: "throw new Error('no database here')\n",
    'no-run': 'export const nothing = 1\n',
    'bad-syntax': 'export default {\n',
    rejects:
      "import { defineService } from 'p2p-core/service'\nvoid Promise.reject(new Error('stray'))\nexport default defineService({ name: 'rejects', version: '1.0.0', description: 'x', methods: {} })\n",
  }
  for (const [name, code] of Object.entries(broken)) {
    mkdirSync(join(home.directory, 'dist/services', name), { recursive: true })
    writeFileSync(join(home.directory, 'dist/services', name, 'main.js'), code)
  }
  const file = home.config('coordinator-1', {
    port: await freePort(),
    bind_address: '127.0.0.1',
    coordinator_mode: true,
  })
  const node = startNode(t, file)
  await node.ready()
  const login = await p2p(['login'], { cwd: home.directory })
  assert.equal(login.code, 0, login.stderr)
  for (const [name, reason] of [
    ['throws', /no database here/],
    ['no-run', /Run/],
    ['bad-syntax', /main\.js/],
  ] as const) {
    const { code, stdout } = await p2p(['services', name, '--output', 'json'], { cwd: home.directory })
    assert.equal(code, 0, name)
    assert.match(stdout, reason)
  }
  const call = await p2p(['call', 'inventory/summary'], { cwd: home.directory })
  assert.equal(call.code, 0, call.stderr)
  assert.equal(await node.stop(), 0)
})
