import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ask, type NodeApi, signIn } from './support/node-api.ts'
import { eventually, freePort, makeHome, p2p, startNode } from './support/node-process.ts'

interface Ca {
  ca_fingerprint: string
  issued: { node_id: string; serial: string; revoked_at_ms?: number }[]
}

test('a coordinator comes back on another machine from a backup of its vault: same CA, nodes go on, revoked ones stay out', {
  timeout: 90_000,
}, async (t) => {
  const home = makeHome(t)
  const cwd = home.directory
  const port = await freePort()
  const settings = { port, bind_address: '127.0.0.1', coordinator_mode: true }
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await p2p(args, { cwd })
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const before = { plot_file: 'data/old/plot', state_directory: 'data/old' }
  const file = home.config('coordinator-1', { ...settings, ...before })
  const coordinator = startNode(t, file)
  await coordinator.ready()
  const worker = async (name: string, more: object = {}) => {
    const values = { bind_address: '127.0.0.1', coordinator_addresses: [`127.0.0.1:${port}`], ...more }
    const node = startNode(t, home.config(name, { port: await freePort(), ...values }))
    await node.ready()
    return node
  }
  await worker('kept')
  const banned = await worker('banned')
  await run('login')
  await run('nodes', 'revoke', 'banned', '--yes')
  await banned.stop()
  const { token } = JSON.parse(await run('token', 'create', '--uses', '3', '--output', 'json')) as { token: string }
  const ca = async (): Promise<Ca> => JSON.parse(await run('ca', 'show', '--output', 'json')) as Ca
  const first = await ca()

  await coordinator.stop()
  const backup = join(cwd, 'backup.vault')
  await run('storage', 'backup', backup, '--config', file)
  // What goes to the other machine: the backup, the plot, the settings. Nothing else is left.
  const after = { plot_file: 'data/new/plot', state_directory: 'data/new' }
  mkdirSync(join(cwd, 'data/new'), { recursive: true, mode: 0o700 })
  cpSync(join(cwd, before.plot_file), join(cwd, after.plot_file))
  rmSync(join(cwd, 'data/old'), { recursive: true })
  const moved = home.config('coordinator-1', { ...settings, ...after })
  await run('storage', 'restore', backup, '--config', moved)
  await startNode(t, moved).ready()
  await run('login')

  assert.deepEqual(await ca(), first, 'the same authority, and what it issued and revoked')
  await eventually(
    async () => JSON.parse(await run('nodes', '--output', 'json')) as { node_id: string; status: string }[],
    (nodes) => nodes.some(({ node_id, status }) => node_id === 'kept' && status === 'alive'),
  )
  assert.match(await run('call', 'system/ping', '--node', 'kept'), /./)
  assert.deepEqual((await ca()).issued, first.issued, 'nobody joined anew')
  await startNode(t, home.config('fresh', { port: await freePort(), bind_address: '127.0.0.1' }), {
    args: ['--coord', `127.0.0.1:${port}`, '--join', token],
  }).ready()
  const again = startNode(t, join(cwd, 'config/banned.yaml'))
  await eventually(
    async () => again.output(),
    (output) => /has been revoked/.test(output),
  )
})

test('backups are taken while the coordinator works: each holds all that was acknowledged before it began', {
  timeout: 90_000,
}, async (t) => {
  const home = makeHome(t)
  const cwd = home.directory
  const run = async (...args: string[]): Promise<{ stdout: string; stderr: string }> => {
    const { code, ...told } = await p2p(args, { cwd })
    assert.equal(code, 0, `${args.join(' ')}: ${told.stderr}`)
    return told
  }
  const settings = { bind_address: '127.0.0.1', coordinator_mode: true, rate_limit_enabled: false }
  const file = home.config('coordinator-1', { ...settings, port: await freePort(), plot_file: 'data/plot' })
  const coordinator = startNode(t, file)
  const { url, operatorFile } = await coordinator.ready()
  const api: NodeApi = { url, ...(await signIn(url, operatorFile as string)) }

  const acknowledged: string[] = []
  // Fewer together than a coordinator keeps.
  const write = async (isEnough: () => boolean): Promise<void> => {
    for (let i = 0; i < 200 && !isEnough(); i++) acknowledged.push(await createToken(api))
  }
  const backups: { path: string; known: string[] }[] = []
  mkdirSync(join(cwd, 'backups'))
  for (let i = 1; i <= 4; i++) {
    const path = join(cwd, `backups/backup-${i}`)
    const known = [...acknowledged]
    let isDone = false
    const writing = write(() => isDone)
    const { stderr } = await run('storage', 'backup', path, '--config', file)
    isDone = true
    await writing
    assert.match(stderr, /up to commit \d+: all that was acknowledged by \d{4}-\d\d-\d\dT/)
    assert.equal(statSync(path).mode & 0o777, 0o600)
    assert.ok(acknowledged.length > known.length, 'the coordinator wrote meanwhile')
    backups.push({ path, known })
  }
  assert.deepEqual(readdirSync(join(cwd, 'backups')), ['backup-1', 'backup-2', 'backup-3', 'backup-4'])

  for (const [index, { path, known }] of backups.entries()) {
    const restored = home.config('coordinator-1', {
      ...settings,
      port: await freePort(),
      plot_file: 'data/plot',
      state_directory: `data/restored-${index}`,
    })
    await run('storage', 'restore', path, '--config', restored)
    const { stdout } = await run('storage', 'list', 'pki/tokens/', '--config', restored, '--output', 'json')
    for (const id of known) assert.ok(stdout.includes(`"pki/tokens/${id}"`), `${path} has token ${id}`)
  }
})

test('a node that joined after the backup is named by the restored coordinator, joins anew, and can be revoked', {
  timeout: 90_000,
}, async (t) => {
  const home = makeHome(t)
  const cwd = home.directory
  const run = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await p2p(args, { cwd })
    assert.equal(code, 0, `${args.join(' ')}: ${stderr}`)
    return stdout
  }
  const port = await freePort()
  const values = { port, bind_address: '127.0.0.1', coordinator_mode: true, plot_file: 'data/plot' }
  const file = home.config('coordinator-1', values)
  const coordinator = startNode(t, file)
  await coordinator.ready()
  const backup = join(cwd, 'backup.vault')
  await run('storage', 'backup', backup, '--config', file)
  const late = startNode(
    t,
    home.config('late', {
      port: await freePort(),
      bind_address: '127.0.0.1',
      coordinator_addresses: [`127.0.0.1:${port}`],
    }),
  )
  await late.ready()
  await coordinator.stop()
  await run('storage', 'restore', backup, '--config', file)

  const restored = startNode(t, file)
  await restored.ready()
  await run('login')
  const issuedTo = async (nodeId: string): Promise<Ca['issued']> => {
    const { issued } = JSON.parse(await run('ca', 'show', '--output', 'json')) as Ca
    return issued.filter(({ node_id }) => node_id === nodeId)
  }
  const [certificate] = await eventually(
    () => issuedTo('late'),
    (issued) => issued.length === 1,
  )
  assert.match(restored.output(), /There is no record of the certificate of late: .*p2p nodes approve late/)
  assert.match(late.output(), /joining anew.*backup the coordinator was restored from/s)
  await eventually(
    async () => p2p(['call', 'system/ping', '--node', 'late'], { cwd }),
    ({ code }) => code === 0,
  )
  await run('nodes', 'revoke', 'late', '--yes')
  const [revoked] = await issuedTo('late')
  assert.equal(revoked?.serial, certificate?.serial)
  assert.ok(revoked?.revoked_at_ms !== undefined)
})

/** @returns its id, once the coordinator has it on its disk */
async function createToken(api: NodeApi): Promise<string> {
  const answer = await ask(api, { method: 'POST', path: '/api/tokens', body: { uses: 1 } })
  let text = ''
  for await (const chunk of answer) text += chunk
  assert.equal(answer.statusCode, 201, text)
  return (JSON.parse(text) as { facts: { token_id: string } }).facts.token_id
}
