import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemFiles } from '../../../src/platform/index.ts'

async function lockPath(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'p2p-lock-'))
  t.after(() => rm(directory, { recursive: true, force: true }))
  return join(directory, 'lock')
}

/** A process of its own that tries the lock once, says how it went, and lives until it is killed. */
async function contender(t: TestContext, path: string): Promise<{ holds: boolean; child: ChildProcess }> {
  const program = `
    import { systemFiles } from ${JSON.stringify(import.meta.resolve('../../../src/platform/index.ts'))}
    const release = await systemFiles.lock(process.argv[1])
    process.stdout.write(release ? 'holds' : 'refused')
    setInterval(() => release, 60_000)`
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.after(() => end(child))
  const [said] = (await once(child.stdout, 'data')) as [Buffer]
  return { holds: said.toString() === 'holds', child }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const ended = once(child, 'exit')
  child.kill('SIGKILL')
  await ended
}

test('one opener in a process holds the lock, the others are refused until it lets go', async (t) => {
  const path = await lockPath(t)
  const all = await Promise.all([1, 2, 3].map(() => systemFiles.lock(path)))
  const held = all.filter((release) => release !== undefined)
  assert.equal(held.length, 1)
  assert.equal(await systemFiles.lock(path), undefined)
  await held[0]?.()
  await held[0]?.()
  const next = await systemFiles.lock(path)
  assert.ok(next)
  assert.equal(await systemFiles.lock(path), undefined, 'a second release must not free what another holds')
  await next()
})

test('a lock held here is refused to other processes, also after refusals in this one', async (t) => {
  const path = await lockPath(t)
  const release = await systemFiles.lock(path)
  assert.ok(release)
  assert.equal((await contender(t, path)).holds, false)
  // The trap of POSIX locks: closing any descriptor of the file, as a refused opener does, drops them.
  assert.equal(await systemFiles.lock(path), undefined)
  assert.equal((await contender(t, path)).holds, false)
  await release()
  assert.equal((await contender(t, path)).holds, true)
  assert.equal(await systemFiles.lock(path), undefined)
})

test('the lock of a killed process is free at once, with nothing to clean up', async (t) => {
  const path = await lockPath(t)
  for (let round = 0; round < 3; round++) {
    const { holds, child } = await contender(t, path)
    assert.equal(holds, true)
    assert.equal(await systemFiles.lock(path), undefined)
    await end(child)
    const release = await systemFiles.lock(path)
    assert.ok(release)
    await release()
  }
})

test('a stopped process keeps its lock', { skip: process.platform === 'win32' }, async (t) => {
  const path = await lockPath(t)
  const { holds, child } = await contender(t, path)
  assert.equal(holds, true)
  child.kill('SIGSTOP')
  assert.equal(await systemFiles.lock(path), undefined)
})

test('another way to the same file is the same lock, another file another', async (t) => {
  const path = await lockPath(t)
  const release = await systemFiles.lock(path)
  await symlink(path, `${path}-link`)
  assert.equal(await systemFiles.lock(`${path}-link`), undefined)
  const other = await systemFiles.lock(`${path}-other`)
  assert.ok(other)
  await release?.()
  await other()
})

test('a lock that cannot be made is an error, not a refusal', async (t) => {
  const path = await lockPath(t)
  await assert.rejects(systemFiles.lock(join(path, 'none', 'lock')), { code: 'ENOENT' })
})
