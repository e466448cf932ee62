import assert from 'node:assert/strict'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { VERSION } from '../../../src/base/version.ts'
import { becomeChosenProgram } from '../../../src/context/index.ts'
import { createProgramControl, linkDependencies } from '../../../src/context/program-control.ts'
import type { ProgramPointer } from '../../../src/deploy/index.ts'

const root = resolve(import.meta.dirname, '../../..')

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'p2p-program-'))
  t.after(() => rmSync(path, { recursive: true, force: true }))
  return path
}

const POINTER: ProgramPointer = {
  format: 1,
  installed: VERSION,
  upgrade: 'u1',
  current: { digest: 'b'.repeat(64), version: '99.0.0' },
  previous: null,
  attempts: 1,
  isConfirmed: false,
  hadCompany: false,
}

suite('the packages of an unpacked program', () => {
  const write = (t: TestContext, about: object): string => {
    const path = folder(t)
    writeFileSync(join(path, 'package.json'), JSON.stringify({ name: 'p2p-core', version: '3.9.0', ...about }))
    return path
  }
  const { dependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }

  test('are those of the program that runs, native ones too', async (t) => {
    const path = write(t, { dependencies, engines: { node: '>=24' } })
    await linkDependencies(path)
    await linkDependencies(path)
    const require = createRequire(join(path, 'dist/p2p.js'))
    for (const name of Object.keys(dependencies)) {
      assert.ok(lstatSync(join(path, 'node_modules', name)).isSymbolicLink())
      assert.equal(require.resolve(name), createRequire(import.meta.url).resolve(name))
    }
    assert.match(readlinkSync(join(path, 'node_modules/zod')), /zod/)
    const { compressSync } = require('lz4-napi') as { compressSync: (bytes: Buffer) => Buffer }
    assert.ok(compressSync(Buffer.from('native code is loaded')).byteLength > 0)
  })

  test('are refused by name when one is missing or of another version, or Node is too old', async (t) => {
    const wanted = { ...dependencies, zod: '^99.0.0', 'no-such-package': '1.0.0' }
    const path = write(t, { dependencies: wanted, engines: { node: '>=999' } })
    await assert.rejects(linkDependencies(path), (error: Error & { code?: string }) => {
      assert.equal(error.code, 'P2P_BUNDLE_DEPENDENCY')
      assert.match(error.message, /Version 3\.9\.0 needs Node\.js >=999, and \d+[^;]*; /)
      assert.match(error.message, /zod \^99\.0\.0, and 4\.[\d.]+ is here/)
      assert.match(error.message, /no-such-package 1\.0\.0, and it is not here/)
      assert.match(error.message, /install 3\.9\.0 there with npm/)
      return true
    })
    assert.ok(!existsSync(join(path, 'node_modules')))
  })
})

suite('the pointer on the disk', () => {
  const control = (stateDirectory: string, cannotRestart?: string) =>
    createProgramControl({ stateDirectory, cannotRestart, onRestart: () => {} })

  test('is found again, and is nobody else’s to read', (t) => {
    const state = folder(t)
    assert.deepEqual([control(state).pointer(), control(state).running], [undefined, null])
    control(state).save(POINTER)
    assert.deepEqual(control(state).pointer(), POINTER)
    assert.equal(statSync(join(state, 'program.json')).mode & 0o077, 0)
  })

  test('a program whose folder is gone is left at the start, and one that cannot be read is said', (t) => {
    const state = folder(t)
    assert.equal(becomeChosenProgram(state), undefined)
    control(state).save(POINTER)
    assert.match(becomeChosenProgram(state) ?? '', /Version 99\.0\.0 is left: its folder is not there/)
    assert.equal(control(state).pointer()?.current, null)
    writeFileSync(join(state, 'program.json'), '{"format":')
    assert.match(becomeChosenProgram(state) ?? '', /cannot be read: the installed program/)
  })

  test('gives way to another installed version', (t) => {
    const state = folder(t)
    mkdirSync(join(state, 'program'))
    control(state).save({ ...POINTER, installed: '1.0.0' })
    assert.match(becomeChosenProgram(state) ?? '', /was 1\.0\.0 and is now/)
    assert.equal(control(state).pointer(), undefined)
    assert.equal(becomeChosenProgram(state), undefined)
  })

  test('a process that could not do again what it did at its start refuses, and says how else', (t) => {
    const refusing = control(folder(t), '--password-fd gave the password once')
    assert.throws(() => refusing.requireReplaceable(), { code: 'P2P_DEPLOY_REFUSED', message: /--password-fd/ })
  })
})
