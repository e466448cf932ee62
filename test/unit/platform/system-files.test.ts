import assert from 'node:assert/strict'
import { mkdtemp, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { systemFiles } from '../../../src/platform/index.ts'

const isPosix = process.platform !== 'win32'

async function directory(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'p2p-files-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString()
}

test('what is written is read back, at any offset and across a reopening', async (t) => {
  const path = join(await directory(t), 'file')
  const file = await systemFiles.open(path, 'rw')
  await file.write(0, Buffer.from('hello world'))
  await file.write(6, Buffer.from('WORLD and more'))
  await file.sync()
  assert.equal(await file.size(), 20)
  assert.equal(text(await file.read(6, 5)), 'WORLD')
  assert.equal(text(await file.read(16, 100)), 'more', 'a read stops at the end of the file')
  assert.equal((await file.read(500, 10)).byteLength, 0)
  await file.truncate(5)
  await file.close()
  const again = await systemFiles.open(path, 'rw')
  assert.equal(text(await again.read(0, 100)), 'hello')
  await again.close()
  assert.equal(text(await systemFiles.readFile(path)), 'hello')
})

test('a new file is for its owner alone, whatever the umask, and so is a new directory', {
  skip: !isPosix,
}, async (t) => {
  const top = await directory(t)
  const umask = process.umask(0)
  try {
    const nested = join(top, 'a', 'b')
    await systemFiles.makeDirectory(nested)
    await systemFiles.makeDirectory(nested)
    for (const path of [nested, join(top, 'a')]) assert.equal((await stat(path)).mode & 0o777, 0o700)
    for (const mode of ['rw', 'wx'] as const) {
      const path = join(nested, mode)
      await (await systemFiles.open(path, mode)).close()
      assert.equal((await systemFiles.facts(path))?.mode, 0o600)
    }
    const release = await systemFiles.lock(join(nested, 'lock'))
    assert.equal((await systemFiles.facts(join(nested, 'lock')))?.mode, 0o600)
    await release?.()
  } finally {
    process.umask(umask)
  }
})

test('the modes open, create and refuse as they say', async (t) => {
  const top = await directory(t)
  const path = join(top, 'file')
  await assert.rejects(systemFiles.open(path, 'r'), { code: 'ENOENT' })
  await assert.rejects(systemFiles.open(join(top, 'none', 'file'), 'rw'), { code: 'ENOENT' })
  await (await systemFiles.open(path, 'wx')).close()
  await assert.rejects(systemFiles.open(path, 'wx'), { code: 'EEXIST' })
  const reader = await systemFiles.open(path, 'r')
  await assert.rejects(reader.write(0, Buffer.from('x')), { code: isPosix ? 'EBADF' : 'EPERM' })
  await reader.close()
})

test('facts, list, rename and remove tell the truth about what is there', async (t) => {
  const top = await directory(t)
  const path = join(top, 'file')
  assert.equal(await systemFiles.facts(path), undefined)
  const file = await systemFiles.open(path, 'wx')
  await file.write(0, Buffer.from('123'))
  await file.close()
  const facts = await systemFiles.facts(path)
  assert.equal(facts?.sizeBytes, 3)
  assert.ok(Math.abs((facts?.modifiedMs ?? 0) - Date.now()) < 60_000)
  await (await systemFiles.open(join(top, 'target'), 'wx')).close()
  await systemFiles.rename(path, join(top, 'target'))
  await systemFiles.syncDirectory(top)
  assert.deepEqual(await systemFiles.list(top), ['target'])
  assert.equal(text(await systemFiles.readFile(join(top, 'target'))), '123')
  await systemFiles.remove(join(top, 'target'))
  assert.deepEqual(await systemFiles.list(top), [])
  for (const fail of [
    () => systemFiles.remove(path),
    () => systemFiles.readFile(path),
    () => systemFiles.list(path),
    () => systemFiles.rename(path, join(top, 'x')),
    () => systemFiles.syncDirectory(path),
  ]) {
    await assert.rejects(fail, { code: 'ENOENT' })
  }
})
