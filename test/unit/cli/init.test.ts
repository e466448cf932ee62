import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { test } from 'node:test'
import { linkProgram } from '../../../src/cli/develop/link-program.ts'
import { fakeUser } from './fake-host.ts'

const root = resolve(import.meta.dirname, '../../..')

test('writes a service under its name, links the program, and says what comes next', async (t) => {
  const user = fakeUser(t)
  const { code, talk } = await user.run('init', 'Shop')
  assert.equal(code, 0)
  const folder = join(user.folder, 'Shop')
  assert.deepEqual(readdirSync(folder).sort(), [
    '.gitignore',
    'main.test.ts',
    'main.ts',
    'manifest.json',
    'node_modules',
    'package.json',
    'tsconfig.json',
  ])
  const text = (name: string): string => readFileSync(join(folder, name), 'utf8')
  assert.equal(JSON.parse(text('manifest.json')).name, 'Shop')
  assert.deepEqual(Object.keys(JSON.parse(text('package.json'))), ['name', 'version', 'private', 'type'])
  assert.equal(JSON.parse(text('package.json')).name, 'shop')
  assert.match(text('main.ts'), /defineService\(\{\n {2}name: 'Shop'/)
  for (const name of readdirSync(folder)) if (name !== 'node_modules') assert.doesNotMatch(text(name), /\{\{/, name)
  assert.equal(realpathSync(join(folder, 'node_modules/p2p-core')), root)
  for (const command of ['p2p test Shop', 'p2p dev Shop', 'p2p deploy Shop']) assert.ok(talk.includes(command), talk)
})

test('writes a class where it is asked to, in the directory that is given', async (t) => {
  const user = fakeUser(t)
  assert.equal((await user.run('init', 'till', '--class', '--directory', 'a/b')).code, 0)
  assert.match(readFileSync(join(user.folder, 'a/b/main.ts'), 'utf8'), /class Run extends BaseService/)
  assert.match(readFileSync(join(user.folder, 'a/b/main.test.ts'), 'utf8'), /startTestService\(t, Run\)/)
})

test('refuses a name that is none, with one that is near', async (t) => {
  const user = fakeUser(t)
  for (const [name, suggestion] of [
    ['My Shöp!', /for instance My-Shop\n/],
    ['7-eleven', /for instance eleven\n/],
    ['../up', /for instance up\n/],
    ['42', /beginning with a letter\n/],
    ['a'.repeat(64), /for instance a{63}\n/],
  ] as const) {
    const { code, talk } = await user.run('init', name)
    assert.equal(code, 2, name)
    assert.match(talk, suggestion)
  }
  assert.deepEqual(
    readdirSync(user.folder).filter((name) => name !== 'home'),
    [],
  )
})

test('touches nothing that is there', async (t) => {
  const user = fakeUser(t)
  mkdirSync(join(user.folder, 'shop'))
  writeFileSync(join(user.folder, 'shop/notes'), 'mine')
  const used = await user.run('init', 'shop')
  assert.equal(used.code, 2)
  assert.match(used.talk, /shop is not empty/)
  assert.deepEqual(readdirSync(join(user.folder, 'shop')), ['notes'])
  writeFileSync(join(user.folder, 'file'), 'mine')
  assert.match((await user.run('init', 'file')).talk, /file is a file/)
  assert.match((await user.run('init', 'x', '--directory', 'file/x')).talk, /is no folder/)
  mkdirSync(join(user.folder, 'empty'))
  assert.equal((await user.run('init', 'empty')).code, 0)
})

test('the link is made anew where it leads nowhere, and an installed package is left alone', (t) => {
  const { folder } = fakeUser(t)
  const path = join(folder, 'node_modules/p2p-core')
  mkdirSync(join(folder, 'node_modules'))
  symlinkSync(join(folder, 'gone'), path)
  linkProgram(folder)
  assert.equal(realpathSync(path), root)
  const other = join(folder, 'other')
  mkdirSync(join(other, 'node_modules/p2p-core'), { recursive: true })
  linkProgram(other)
  assert.ok(!existsSync(join(other, 'node_modules/p2p-core/package.json')))
})
