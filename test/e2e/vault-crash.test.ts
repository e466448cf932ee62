import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { silentLogger } from '../../src/base/log.ts'
import { codeOf } from '../../src/base/errors.ts'
import { systemClock } from '../../src/platform/system-clock.ts'
import { systemFiles } from '../../src/platform/system-files.ts'
import { systemRandom } from '../../src/platform/system-random.ts'
import { createVault } from '../../src/storage/index.ts'

const SECRET = 'the-password-of-a-plot'.repeat(4)
const CANARY = 'canary-31337'

/**
 * Writes numbered keys, says each number once it is acknowledged, compacts after every third. It kills itself with
 * SIGKILL in its n-th changing operation on the disk: before it, or, for a write, in the middle of it.
 */
const WRITER = `
  import { writeSync } from 'node:fs'
  import { silentLogger } from ${moduleText('../../src/base/log.ts')}
  import { systemClock } from ${moduleText('../../src/platform/system-clock.ts')}
  import { systemFiles } from ${moduleText('../../src/platform/system-files.ts')}
  import { systemRandom } from ${moduleText('../../src/platform/system-random.ts')}
  import { createVault } from ${moduleText('../../src/storage/index.ts')}
  const [path, secret, canary, diesIn, writers] = process.argv.slice(1)
  let left = Number(diesIn)
  const die = () => process.kill(process.pid, 'SIGKILL')
  const before = (operation) => (...parameters) => {
    if (--left === 0) die()
    return operation(...parameters)
  }
  const wrapped = (file) => ({
    read: (offset, length) => file.read(offset, length),
    size: () => file.size(),
    close: () => file.close(),
    sync: before(() => file.sync()),
    truncate: before((length) => file.truncate(length)),
    write: async (offset, bytes) => {
      if (--left === 0) {
        await file.write(offset, bytes.subarray(0, bytes.length / 2))
        die()
      }
      await file.write(offset, bytes)
    },
  })
  const files = {
    ...systemFiles,
    open: before(async (name, mode) => wrapped(await systemFiles.open(name, mode))),
    rename: before(systemFiles.rename),
    remove: before(systemFiles.remove),
    syncDirectory: before(systemFiles.syncDirectory),
  }
  const vault = createVault(
    { files, clock: systemClock, random: systemRandom, log: silentLogger },
    { path, unlock: { kind: 'plot', secret }, createIfMissing: true },
  )
  await vault.start(new AbortController().signal)
  let next = (await vault.store.range('k/')).length
  const write = async () => {
    for (;;) {
      const number = next++
      const value = new TextEncoder().encode(canary + number)
      await vault.store.transact({ operations: [{ type: 'put', key: 'k/' + number, value }] })
      writeSync(1, number + '\\n')
      if (number % 3 === 2) await vault.snapshot()
    }
  }
  await Promise.all(Array.from({ length: Number(writers) }, write))`

test('a process killed in any operation of commits and snapshots loses nothing it acknowledged', async (t) => {
  const path = await vaultPath(t)
  const acknowledged = new Set<number>()
  // Creation takes seven operations, a start two, a commit two, a snapshot eleven.
  for (let diesIn = 1; diesIn <= 24; diesIn++) {
    const { child, lines } = startWriter(t, path, { diesIn, writers: 1 })
    for await (const line of lines) acknowledged.add(Number(line))
    await ended(child)
    await expectAll(path, acknowledged)
  }
  assert.ok(acknowledged.size > 24)
})

test('a process killed at any moment, with many writers, loses nothing it acknowledged', async (t) => {
  const path = await vaultPath(t)
  const acknowledged = new Set<number>()
  for (const count of [1, 40, 150, 333]) {
    const { child, lines } = startWriter(t, path, { diesIn: 0, writers: 16 })
    let heard = 0
    for await (const line of lines) {
      acknowledged.add(Number(line))
      heard++
      if (heard === count) {
        await assert.rejects(open(path), (error) => codeOf(error) === 'P2P_STORAGE_LOCKED')
        child.kill('SIGKILL')
      }
    }
    await ended(child)
    await expectAll(path, acknowledged)
  }
})

/** Opens the vault as the next start would, and looks for every acknowledged number. */
async function expectAll(path: string, acknowledged: ReadonlySet<number>): Promise<void> {
  const vault = await open(path)
  try {
    const found = new Map((await vault.store.range('k/')).map(({ key, value }) => [key, Buffer.from(value).toString()]))
    for (const number of acknowledged) assert.equal(found.get(`k/${number}`), CANARY + number)
  } finally {
    await vault.stop()
  }
  const directory = join(path, '..')
  for (const name of await readdir(directory)) {
    const file = join(directory, name)
    assert.ok(!(await readFile(file)).includes(CANARY), `${name} holds a value in the clear`)
    if (process.platform !== 'win32') assert.equal((await stat(file)).mode & 0o777, 0o600, name)
  }
}

async function open(path: string): Promise<ReturnType<typeof createVault>> {
  const vault = createVault(
    { files: systemFiles, clock: systemClock, random: systemRandom, log: silentLogger },
    { path, unlock: { kind: 'plot', secret: SECRET }, createIfMissing: true },
  )
  await vault.start(new AbortController().signal)
  return vault
}

function startWriter(
  t: TestContext,
  path: string,
  { diesIn, writers }: { diesIn: number; writers: number },
): { child: ChildProcess; lines: AsyncIterable<string> } {
  const parameters = [path, SECRET, CANARY, String(diesIn), String(writers)]
  const child = spawn(process.execPath, ['--input-type=module', '--eval', WRITER, ...parameters], {
    stdio: ['ignore', 'pipe', 'inherit'],
    // The modules are stripped of their types once, not by each of the processes.
    env: { ...process.env, NODE_COMPILE_CACHE: join(path, '../../compile-cache') },
  })
  t.after(() => {
    child.kill('SIGKILL')
  })
  return { child, lines: createInterface({ input: child.stdout }) }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  assert.equal(child.signalCode, 'SIGKILL', 'it was killed, it did not fail')
}

async function vaultPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'p2p-vault-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'data', 'vault')
}

function moduleText(path: string): string {
  return JSON.stringify(import.meta.resolve(path))
}
