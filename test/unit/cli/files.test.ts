import assert from 'node:assert/strict'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { parse } from 'yaml'
import { StorageError } from '../../../src/base/errors.ts'
import type { PlotFacts, StorageCheck, StorageTools } from '../../../src/cli/index.ts'
import { README_COORDINATOR, README_WORKER } from '../config/readme-samples.ts'
import { fakeUser, type FakeUser } from './fake-host.ts'

const CHECK: StorageCheck = { sequence: 41, entries: 7, sizeBytes: 2048, tornBytes: 0 }
const PLOT: PlotFacts = { path: '/p', sizeBytes: 3347, mode: '0600', fingerprint: '0123456789abcdef' }

/** A user with the README's configuration, whose storage tools note what they are asked. */
function keeper(t: TestContext, more: Partial<StorageTools> = {}): { user: FakeUser; asked: unknown[][] } {
  const user = fakeUser(t)
  mkdirSync(join(user.folder, 'config'))
  writeFileSync(join(user.folder, 'config/coordinator.yaml'), README_COORDINATOR)
  writeFileSync(join(user.folder, 'config/worker.yaml'), README_WORKER)
  const asked: unknown[][] = []
  const note =
    <T>(name: string, answer: T) =>
    async (...words: unknown[]): Promise<T> => {
      asked.push([name, ...words])
      return answer
    }
  const tools: StorageTools = {
    verify: note('verify', CHECK),
    repair: note('repair', CHECK),
    list: note('list', [{ key: 'pki/issued/01', sizeBytes: 900, revision: 3 }]),
    backup: note('backup', { revision: 41, entries: 7, sizeBytes: 2048, asOfMs: Date.UTC(2026, 0, 2, 3, 4, 5) }),
    restore: note('restore', CHECK),
    rekey: note('rekey', undefined),
    importArchive: note('importArchive', {
      imported: [{ from: 'certs/a.cer', to: 'legacy/certs/a.cer', sizeBytes: 5 }],
      recoveryKey: undefined,
    }),
    generatePlot: note('generatePlot', PLOT),
    plotInfo: note('plotInfo', PLOT),
    ...more,
  }
  user.context = { createStorageTools: () => tools }
  return { user, asked }
}

const CONFIG = ['--config', 'config/coordinator.yaml']

function access(user: FakeUser, unlock: object = { kind: 'plot' }): object {
  return {
    storagePath: join(user.folder, 'data/coordinator/vault'),
    plotFile: join(user.folder, 'dist/services/plot'),
    unlock,
  }
}

suite('p2p config', () => {
  test('check shows the settings of a good file, as table, JSON and YAML', async (t) => {
    const { user } = keeper(t)
    const table = await user.run('config', 'check', 'config/worker.yaml')
    assert.equal(table.code, 0)
    assert.match(table.output, /^nodeId +worker-1$/m)
    assert.equal(table.talk, 'config/worker.yaml: no mistakes\n')
    const json = JSON.parse((await user.run('config', 'check', 'config/worker.yaml', '-o', 'json')).output) as object
    assert.deepEqual(parse((await user.run('config', 'check', 'config/worker.yaml', '-o', 'yaml')).output), json)
    assert.equal((json as { gossipIntervalMsMax: number }).gossipIntervalMsMax, 30_000)
  })

  test('check shows every mistake as file:line:column, exit code 2', async (t) => {
    const { user } = keeper(t)
    writeFileSync(join(user.folder, 'bad.yaml'), 'prot: 1\nport: "8001"\n')
    const { code, output, talk } = await user.run('config', 'check', 'bad.yaml')
    assert.equal(code, 2)
    assert.equal(output, '')
    assert.match(talk, /^bad\.yaml:1:1: unknown key "prot"; did you mean port\?$/m)
    assert.match(talk, /^bad\.yaml:2:7: port: expected/m)
    assert.match(talk, /^bad\.yaml:1:1: coordinator_addresses is missing/m)
    assert.match(talk, /\(P2P_CONFIG_INVALID\)/)
  })

  test('check never shows the password in a Redis URL', async (t) => {
    const { user } = keeper(t)
    user.environment.P2P_REDIS_URL = 'redis://me:hunter2@cache:6379'
    for (const format of ['table', 'json', 'yaml']) {
      const { output } = await user.run('config', 'check', 'config/worker.yaml', '-o', format)
      assert.match(output, /redis:\/\/me:.*@cache:6379/)
      assert.doesNotMatch(output, /hunter2/)
    }
  })

  test('keys lists every key', async (t) => {
    const { user } = keeper(t)
    const keys = JSON.parse((await user.run('config', 'keys', '-o', 'json')).output) as { key: string }[]
    assert.ok(keys.some(({ key }) => key === 'rate_limit_rpc_burst'))
    assert.match((await user.run('config', 'keys')).output, /^KEY +DEFAULT +WHAT IT DOES\nnode_id /)
  })
})

suite('p2p plot', () => {
  test('generate and info take the default place, --file or the settings', async (t) => {
    const { user, asked } = keeper(t)
    const { code, output, talk } = await user.run('plot', 'generate')
    assert.equal(code, 0)
    assert.match(output, /^Fingerprint +0123456789abcdef$/m)
    assert.match(talk, /Keep a copy elsewhere/)
    await user.run('plot', 'info', '--file', 'my/plot')
    await user.run('plot', 'info', ...CONFIG)
    assert.deepEqual(
      asked.map(([name, path]) => [name, path]),
      [
        ['generatePlot', join(user.folder, 'dist/services/plot')],
        ['plotInfo', join(user.folder, 'my/plot')],
        ['plotInfo', join(user.folder, 'dist/services/plot')],
      ],
    )
    assert.equal((await user.run('plot', 'info', ...CONFIG, '--file', 'x')).code, 2)
  })

  test('progress is said in steps, never on the output', async (t) => {
    const { user } = keeper(t, {
      generatePlot: async (_file, onProgress) => {
        for (const fraction of [0, 0.04, 0.2, 1]) onProgress(fraction, 'Making the plot')
        return PLOT
      },
    })
    const { output, talk } = await user.run('plot', 'generate', '-o', 'json')
    assert.deepEqual(JSON.parse(output), PLOT)
    assert.match(talk, /^Processor: \d+ × .+\nMaking the plot 0 %\nMaking the plot 20 %\nMaking the plot 100 %\nKeep/)
  })

  test('a refusal ends with the exit code of its kind', async (t) => {
    const { user } = keeper(t, {
      plotInfo: () =>
        Promise.reject(new StorageError('P2P_STORAGE_PLOT_PERMISSIONS', 'the plot is open to others; chmod 600')),
    })
    const { code, talk } = await user.run('plot', 'info')
    assert.equal(code, 77)
    assert.equal(talk, 'error: the plot is open to others; chmod 600\n(P2P_STORAGE_PLOT_PERMISSIONS)\n')
  })
})

suite('p2p storage', () => {
  test('each command works on the vault of the settings, opened as asked', async (t) => {
    const { user, asked } = keeper(t)
    user.environment.P2P_PASSWORD = 'the password'
    const byPassword = access(user, { kind: 'password', password: 'the password' })
    assert.match((await user.run('storage', 'verify', ...CONFIG)).output, /^Last commit +41$/m)
    assert.match(
      (await user.run('storage', 'list', 'pki/', ...CONFIG, '--use-plot-auth')).output,
      /pki\/issued\/01 +900 B +3/,
    )
    assert.match(
      (await user.run('storage', 'backup', 'copy.bin', ...CONFIG)).talk,
      /7 entries, 2\.0 KiB, up to commit 41: .*acknowledged by 2026-01-02T03:04:05/,
    )
    assert.equal((await user.run('storage', 'restore', 'copy.bin', ...CONFIG, '--storage', 'other')).code, 0)
    assert.equal((await user.run('storage', 'repair', '--to-seq', '41', '--yes', ...CONFIG)).code, 0)
    assert.deepEqual(asked, [
      ['verify', byPassword],
      ['list', access(user), 'pki/'],
      ['backup', byPassword, join(user.folder, 'copy.bin')],
      ['restore', { ...byPassword, storagePath: join(user.folder, 'other') }, join(user.folder, 'copy.bin')],
      ['repair', byPassword, 41],
    ])
  })

  test('damage ends with exit code 78 and names the place', async (t) => {
    const { user } = keeper(t, {
      verify: () =>
        Promise.reject(new StorageError('P2P_STORAGE_DAMAGED', 'vault: record 12 at offset 9000 is not authentic')),
    })
    const { code, talk } = await user.run('storage', 'verify', ...CONFIG)
    assert.equal(code, 78)
    assert.match(talk, /offset 9000/)
  })

  test('repair asks first, and without a terminal wants --yes', async (t) => {
    const { user, asked } = keeper(t)
    user.typed = ['n\n']
    assert.equal((await user.run('storage', 'repair', '--to-seq', '5', ...CONFIG)).code, 2)
    user.typed = []
    assert.match((await user.run('storage', 'repair', '--to-seq', '5', ...CONFIG)).talk, /give --yes/)
    assert.deepEqual(asked, [])
    user.typed = ['yes\n']
    assert.equal((await user.run('storage', 'repair', '--to-seq', '5', ...CONFIG)).code, 0)
    assert.equal(asked.length, 1)
  })

  test('rekey takes exactly one new key', async (t) => {
    const { user, asked } = keeper(t, {
      rekey: async (_access, next) => {
        asked.push(['rekey', next])
        return next.kind === 'recovery' ? 'RK-2' : undefined
      },
    })
    assert.equal((await user.run('storage', 'rekey', ...CONFIG)).code, 2)
    assert.equal((await user.run('storage', 'rekey', ...CONFIG, '--new-plot', 'p', '--new-password')).code, 2)
    await user.run('storage', 'rekey', ...CONFIG, '--new-plot', 'p')
    user.typed = ['new password\r', 'new password\r']
    await user.run('storage', 'rekey', ...CONFIG, '--new-password')
    user.typed = []
    const { output } = await user.run('storage', 'rekey', ...CONFIG, '--new-recovery-key')
    assert.equal(output, 'RK-2\n')
    assert.deepEqual(asked, [
      ['rekey', { kind: 'plot', plotFile: join(user.folder, 'p') }],
      ['rekey', { kind: 'password', password: 'new password' }],
      ['rekey', { kind: 'recovery' }],
    ])
  })

  test('import opens the archive by its own plot or password', async (t) => {
    const { user, asked } = keeper(t)
    const { output } = await user.run('storage', 'import', 'p2p_coordinator.bin', ...CONFIG)
    assert.match(output, /certs\/a\.cer +legacy\/certs\/a\.cer +5 B/)
    await user.run('storage', 'import', 'a.bin', ...CONFIG, '--archive-plot', 'old/plot')
    user.environment.P2P_ARCHIVE_PASSWORD = 'old password'
    await user.run('storage', 'import', 'a.bin', ...CONFIG)
    const plotFile = join(user.folder, 'dist/services/plot')
    assert.deepEqual(
      asked.map(([, , archive]) => archive),
      [
        { file: join(user.folder, 'p2p_coordinator.bin'), unlock: { kind: 'plot' }, plotFile },
        { file: join(user.folder, 'a.bin'), unlock: { kind: 'plot' }, plotFile: join(user.folder, 'old/plot') },
        { file: join(user.folder, 'a.bin'), unlock: { kind: 'password', password: 'old password' }, plotFile },
      ],
    )
    assert.equal(
      (await user.run('storage', 'import', 'a.bin', ...CONFIG, '--archive-plot', 'p', '--archive-password')).code,
      2,
    )
  })

  test('a failure nobody foresaw ends with 1 and shows where it came from', async (t) => {
    const { user } = keeper(t, { verify: () => Promise.reject(new TypeError('x is not a function')) })
    const { code, talk } = await user.run('storage', 'verify', ...CONFIG)
    assert.equal(code, 1)
    assert.match(talk, /x is not a function[\s\S]*at /)
  })
})
