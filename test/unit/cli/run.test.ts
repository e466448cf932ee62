import assert from 'node:assert/strict'
import { closeSync, mkdirSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import type { RunNodeOptions } from '../../../src/context/index.ts'
import { README_COORDINATOR, README_WORKER } from '../config/readme-samples.ts'
import { fakeUser, type FakeUser, type Outcome } from './fake-host.ts'

interface Started {
  user: FakeUser
  /** What the node was started with; empty when it was not. */
  nodes: RunNodeOptions[]
  run: (...argv: string[]) => Promise<Outcome>
}

/** A user whose folder holds the README's configuration, and whose nodes end with `exitCode` at once. */
function starter(t: TestContext, exitCode = 0, during: (options: RunNodeOptions) => void = () => {}): Started {
  const user = fakeUser(t)
  mkdirSync(join(user.folder, 'config'))
  writeFileSync(join(user.folder, 'config/coordinator.yaml'), README_COORDINATOR)
  writeFileSync(join(user.folder, 'config/worker.yaml'), README_WORKER)
  const nodes: RunNodeOptions[] = []
  user.context = {
    runNode: async (options) => {
      nodes.push(options)
      during(options)
      return exitCode
    },
  }
  return { user, nodes, run: (...argv) => user.run(...argv) }
}

const COORDINATOR = ['--config', 'config/coordinator.yaml']
const WORKER = ['--config', 'config/worker.yaml']

suite('running a node', () => {
  test('the README commands start the node of the file, unlocked by the plot', async (t) => {
    const { user, nodes, run } = starter(t, 75)
    assert.equal((await run(...COORDINATOR)).code, 75)
    assert.equal((await run(...COORDINATOR, '--use-plot-auth')).code, 75)
    for (const { config, unlock, joinToken } of nodes) {
      assert.equal(config.nodeId, 'coordinator-1')
      assert.equal(config.stateDirectory, join(user.folder, 'data/coordinator'))
      assert.deepEqual(unlock, { kind: 'plot' })
      assert.equal(joinToken, undefined)
    }
    assert.equal(nodes.length, 2)
  })

  test('every flag overrides its key', async (t) => {
    const { user, nodes, run } = starter(t)
    const flags =
      '--node-id w9 --port 9009 --address 127.0.0.1 --advertise-address w9.example --coord 10.0.0.1,10.0.0.2:9 --storage other/vault --redis-url redis://r -v'
    assert.deepEqual(await run(...WORKER, ...flags.split(' ')), { code: 0, output: '', talk: '' })
    const config = nodes[0]?.config
    assert.equal(config?.nodeId, 'w9')
    assert.equal(config?.port, 9009)
    assert.equal(config?.bindAddress, '127.0.0.1')
    assert.equal(config?.advertiseAddress, 'w9.example')
    assert.deepEqual(config?.coordinatorAddresses, ['10.0.0.1:8001', '10.0.0.2:9'])
    assert.equal(config?.storagePath, join(user.folder, 'other/vault'))
    assert.equal(config?.redisUrl, 'redis://r')
    assert.equal(config?.logLevel, 'DEBUG')
  })

  test('mistakes in file and flags end with exit code 2, all of them shown by place, and no node starts', async (t) => {
    const { user, nodes, run } = starter(t)
    writeFileSync(join(user.folder, 'bad.yaml'), 'coordinator_mode: true\nprot: 1\n')
    const { code, talk } = await run('--config', 'bad.yaml', '--port', 'many', '--node-id', '')
    assert.equal(code, 2)
    assert.match(talk, /^--node-id: node_id: expected/m)
    assert.match(talk, /^--port: port: expected a whole number from 0 to 65535, not "many"$/m)
    assert.match(talk, /^bad\.yaml:2:1: unknown key "prot"; did you mean port\?$/m)
    assert.equal((await run('--config', 'none.yaml')).code, 2)
    assert.match((await run('--port', '1')).talk, /--config FILE to run a node/)
    assert.deepEqual(nodes, [])
  })

  test('a join token comes by flag, with a warning, or by environment', async (t) => {
    const { user, nodes, run } = starter(t)
    const warned = await run(...WORKER, '--join', 'P2P1-a-b')
    assert.match(warned.talk, /^warning: .*--join.*P2P_JOIN_TOKEN/)
    assert.doesNotMatch(warned.talk, /P2P1-a-b/)
    user.environment.P2P_JOIN_TOKEN = 'P2P1-c-d'
    assert.equal((await run(...WORKER)).talk, '')
    assert.deepEqual(
      nodes.map((node) => node.joinToken),
      ['P2P1-a-b', 'P2P1-c-d'],
    )
  })

  test('events are said to the person, with the next step', async (t) => {
    const { run } = starter(t, 0, (options) => {
      options.onEvent({ type: 'progress', text: 'making the plot', fraction: 0.5 })
      options.onEvent({ type: 'vault-created', path: '/v', recoveryKey: 'RK-1' })
      options.onEvent({ type: 'ca-created', fingerprint: 'ab12' })
      options.onEvent({ type: 'pending', nodeId: 'w1', fingerprint: '0123456789abcdef0123', coordinator: 'c:1' })
      options.onEvent({ type: 'unreachable', addresses: ['c:1'], reason: 'ECONNREFUSED' })
      options.onEvent({ type: 'joined', nodeId: 'w1', met: 'coordinator-1' })
      options.onEvent({
        type: 'ready',
        nodeId: 'c',
        role: 'coordinator',
        cluster: 'k',
        url: 'https://c:1',
        caFingerprint: 'f',
        operatorFile: '/s/operator.json',
      })
      options.onEvent({ type: 'stopping', reason: 'received SIGTERM' })
    })
    const { output, talk } = await run(...COORDINATOR)
    assert.equal(output, '')
    for (const part of [
      'making the plot 50 %',
      'RK-1',
      'Fingerprint: ab12',
      'p2p nodes approve w1 --fingerprint 0123456789abcdef\n',
      'Cannot reach the coordinator at c:1 (ECONNREFUSED)',
      'coordinator-1 answers',
      'p2p login --credential-file /s/operator.json',
      'p2p token create',
      'Stopping: received SIGTERM',
    ]) {
      assert.ok(talk.includes(part), part)
    }
  })

  test('with a parent process events go there only, so that no recovery key ends in its log file', async (t) => {
    const { user, run } = starter(t, 0, (options) =>
      options.onEvent({ type: 'vault-created', path: '/v', recoveryKey: 'RK-1' }),
    )
    user.toParent = []
    assert.deepEqual(await run(...COORDINATOR), { code: 0, output: '', talk: '' })
    assert.deepEqual(user.toParent, [{ type: 'vault-created', path: '/v', recoveryKey: 'RK-1' }])
  })

  test('the node gets the signal that stops it', async (t) => {
    const { user, nodes, run } = starter(t)
    await run(...COORDINATOR)
    assert.equal(nodes[0]?.signal, user.stop.signal)
  })
})

suite('what opens the vault', () => {
  test('--password works and warns, without repeating it', async (t) => {
    const { nodes, run } = starter(t)
    const { talk } = await run(...COORDINATOR, '--password', 'correct horse')
    assert.match(talk, /^warning: every user of this machine can see --password/)
    assert.doesNotMatch(talk, /correct horse/)
    assert.deepEqual(nodes[0]?.unlock, { kind: 'password', password: 'correct horse' })
  })

  test('the environment gives a password or a recovery key, silently; an explicit flag wins', async (t) => {
    const { user, nodes, run } = starter(t)
    user.environment.P2P_PASSWORD = 'from environment'
    user.environment.P2P_RECOVERY_KEY = 'RK'
    assert.equal((await run(...COORDINATOR)).talk, '')
    await run(...COORDINATOR, '--use-plot-auth')
    await run(...COORDINATOR, '--password', 'from flag')
    user.environment.P2P_PASSWORD = ''
    await run(...COORDINATOR)
    assert.deepEqual(
      nodes.map((node) => node.unlock),
      [
        { kind: 'password', password: 'from environment' },
        { kind: 'plot' },
        { kind: 'password', password: 'from flag' },
        { kind: 'recovery', recoveryKey: 'RK' },
      ],
    )
  })

  test('--password-fd reads the first line of the descriptor', async (t) => {
    const { user, nodes, run } = starter(t)
    const file = join(user.folder, 'secret')
    for (const [text, password] of [
      ['päss word\r\nsecond line', 'päss word'],
      ['no line break', 'no line break'],
    ] as const) {
      writeFileSync(file, text)
      const { code } = await run(...COORDINATOR, '--password-fd', String(openSync(file, 'r')))
      assert.equal(code, 0)
      assert.deepEqual(nodes.at(-1)?.unlock, { kind: 'password', password })
    }
  })

  test('an empty or closed descriptor is a usage error', async (t) => {
    const { user, nodes, run } = starter(t)
    writeFileSync(join(user.folder, 'empty'), '\n')
    const empty = await run(...COORDINATOR, '--password-fd', String(openSync(join(user.folder, 'empty'), 'r')))
    assert.equal(empty.code, 2)
    assert.match(empty.talk, /gave an empty line/)
    const closed = openSync(join(user.folder, 'empty'), 'r')
    closeSync(closed)
    assert.match((await run(...COORDINATOR, '--password-fd', String(closed))).talk, /cannot be read: EBADF/)
    assert.deepEqual(nodes, [])
  })

  test('two ways at once are refused', async (t) => {
    const { nodes, run } = starter(t)
    const { code, talk } = await run(...COORDINATOR, '--password', 'x', '--manual-password')
    assert.equal(code, 2)
    assert.match(talk, /--password and --manual-password exclude each other/)
    assert.deepEqual(nodes, [])
  })

  test('--manual-password asks twice for a new vault, once for one that is there', async (t) => {
    const { user, nodes, run } = starter(t)
    user.typed = ['long enough\r', 'long enough\r']
    const made = await run(...COORDINATOR, '--manual-password')
    assert.equal(made.talk, 'Password of the vault: \nPassword of the vault, once more: \n')
    mkdirSync(join(user.folder, 'data/coordinator'), { recursive: true })
    writeFileSync(join(user.folder, 'data/coordinator/vault'), '')
    // Backspace takes one character back, as a terminal in raw mode leaves that to us.
    user.typed = ['long enouhg\u007F\u007Fgh\r']
    assert.equal((await run(...COORDINATOR, '--manual-password')).talk, 'Password of the vault: \n')
    assert.deepEqual(
      nodes.map((node) => node.unlock),
      [
        { kind: 'password', password: 'long enough' },
        { kind: 'password', password: 'long enough' },
      ],
    )
  })

  test('two different answers, Ctrl-C and a missing terminal are usage errors', async (t) => {
    const { user, nodes, run } = starter(t)
    const cases: [typed: string[], said: RegExp][] = [
      [['one password\r', 'another\r'], /The two passwords differ/],
      [['half\u0003'], /Cancelled/],
      [[], /no terminal to ask for the password on; give it by --password-fd N or P2P_PASSWORD/],
    ]
    for (const [typed, said] of cases) {
      user.typed = typed
      const { code, talk } = await run(...COORDINATOR, '--manual-password')
      assert.equal(code, 2)
      assert.match(talk, said)
      assert.doesNotMatch(talk, /one password|half/)
    }
    assert.deepEqual(nodes, [])
  })
})
