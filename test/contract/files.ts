import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Files } from '../../src/base/files.ts'

/** An empty directory on a disk, and what removes it. */
export interface OpenedFiles {
  files: Files
  directory: string
  close(): Promise<void>
}

/** What every disk must do, real or simulated. */
export function filesContract(kind: string, open: () => Promise<OpenedFiles>): void {
  const run = (title: string, body: (files: Files, directory: string) => Promise<void>): void => {
    test(`${kind}: ${title}`, async () => {
      const opened = await open()
      try {
        await body(opened.files, opened.directory)
      } finally {
        await opened.close()
      }
    })
  }

  async function write(files: Files, path: string, text: string): Promise<void> {
    const file = await files.open(path, 'wx')
    await file.write(0, Buffer.from(text))
    await file.close()
  }
  const read = async (files: Files, path: string): Promise<string> => Buffer.from(await files.readFile(path)).toString()

  run('what is written is read, at any offset; what is there is not created again', async (files, directory) => {
    const path = `${directory}/file`
    await write(files, path, 'hello world')
    await assert.rejects(files.open(path, 'wx'), { code: 'EEXIST' })
    const file = await files.open(path, 'rw')
    await file.write(6, Buffer.from('there'))
    assert.equal(Buffer.from(await file.read(4, 100)).toString(), 'o there')
    await file.truncate(5)
    assert.equal(await file.size(), 5)
    await file.sync()
    await file.close()
    assert.equal(await read(files, path), 'hello')
    assert.equal((await files.facts(path))?.sizeBytes, 5)
    assert.equal(await files.facts(`${directory}/none`), undefined)
  })

  run('a directory lists the names in it, files and directories', async (files, directory) => {
    await files.makeDirectory(`${directory}/a/b`)
    await write(files, `${directory}/a/b/deep`, 'x')
    await write(files, `${directory}/a/file`, 'x')
    assert.deepEqual(await files.list(directory), ['a'])
    assert.deepEqual((await files.list(`${directory}/a`)).sort(), ['b', 'file'])
    assert.deepEqual(await files.list(`${directory}/a/b`), ['deep'])
  })

  run(
    'a directory is renamed with all that is in it, and never onto one that has something in it',
    async (files, directory) => {
      await files.makeDirectory(`${directory}/new/lib`)
      await write(files, `${directory}/new/lib/x`, 'content')
      await write(files, `${directory}/newer`, 'another name')
      await files.rename(`${directory}/new`, `${directory}/done`)
      await files.syncDirectory(directory)
      assert.deepEqual((await files.list(directory)).sort(), ['done', 'newer'])
      assert.equal(await read(files, `${directory}/done/lib/x`), 'content')
      await assert.rejects(files.readFile(`${directory}/new/lib/x`), { code: 'ENOENT' })
      await files.makeDirectory(`${directory}/new`)
      await write(files, `${directory}/new/y`, 'second')
      await assert.rejects(files.rename(`${directory}/new`, `${directory}/done`), { code: 'ENOTEMPTY' })
      await assert.rejects(files.rename(`${directory}/none`, `${directory}/there`), { code: 'ENOENT' })
      assert.equal(await read(files, `${directory}/done/lib/x`), 'content')
    },
  )

  run('a file that is renamed takes the place of another', async (files, directory) => {
    await write(files, `${directory}/old`, 'old')
    await write(files, `${directory}/new`, 'new')
    await files.rename(`${directory}/new`, `${directory}/old`)
    assert.deepEqual(await files.list(directory), ['old'])
    assert.equal(await read(files, `${directory}/old`), 'new')
  })

  run(
    'a tree is removed with read-only files in it, one file as well, and nothing is no error',
    async (files, directory) => {
      await files.makeDirectory(`${directory}/tree/lib`)
      await write(files, `${directory}/tree/lib/x`, 'x')
      await files.setMode(`${directory}/tree/lib/x`, 0o400)
      await write(files, `${directory}/tree-2`, 'stays')
      await write(files, `${directory}/file`, 'x')
      await files.removeTree(`${directory}/tree`)
      await files.removeTree(`${directory}/file`)
      await files.removeTree(`${directory}/none`)
      assert.deepEqual(await files.list(directory), ['tree-2'])
      await assert.rejects(files.remove(`${directory}/none`), { code: 'ENOENT' })
    },
  )

  run('permission bits are what was set', async (files, directory) => {
    await write(files, `${directory}/file`, 'x')
    assert.equal((await files.facts(`${directory}/file`))?.mode, 0o600)
    await files.setMode(`${directory}/file`, 0o500)
    const expected = process.platform === 'win32' ? 0o600 : 0o500
    assert.equal((await files.facts(`${directory}/file`))?.mode, expected)
    await assert.rejects(files.setMode(`${directory}/none`, 0o400), { code: 'ENOENT' })
  })
}
