import assert from 'node:assert/strict'
import { createReadStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import { gunzipSync, gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { packProgram, readBundleManifest } from '../../../../src/deploy/index.ts'

const never = new AbortController().signal
const PROGRAM: Record<string, string> = {
  'package/package.json': JSON.stringify({ name: 'p2p-core', version: '3.0.1' }),
  'package/bin/p2p.cjs': '#!/usr/bin/env node\n',
  'package/dist/p2p.js': 'export {}\n',
  'package/dist/service-host.js': 'export {}\n',
}

type Headers = Parameters<ReturnType<typeof pack>['entry']>[0]

/** A tarball with these files, and what a test adds. */
async function tarball(files: Record<string, string>, more: (Headers & { content?: string })[] = []): Promise<Buffer> {
  const archive = pack()
  for (const [name, content] of Object.entries(files)) {
    archive.entry({ name, mode: name.endsWith('.cjs') ? 0o755 : 0o644 }, content)
  }
  for (const { content, ...header } of more) archive.entry(header, content ?? '')
  archive.finalize()
  const parts: Buffer[] = []
  for await (const part of archive) parts.push(part as Buffer)
  return gzipSync(Buffer.concat(parts))
}

function packing(t: TestContext): (bytes: Uint8Array) => ReturnType<typeof packProgram> {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-program-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  let count = 0
  return (bytes) => {
    const file = join(folder, `${++count}.tgz`)
    writeFileSync(file, bytes)
    return packProgram(file, join(folder, `${count}.bundle`), never)
  }
}

suite('the tarball of the program', () => {
  test('becomes a bundle of its own kind, equal for equal tarballs', async (t) => {
    const packed = packing(t)
    const bundle = await packed(await tarball(PROGRAM))
    const { kind, service, version, files } = bundle.manifest
    assert.deepEqual([kind, service, version], ['program', 'p2p-core', '3.0.1'])
    assert.deepEqual(
      files.map(({ path, isExecutable }) => `${path} ${isExecutable}`),
      ['bin/p2p.cjs true', 'dist/p2p.js false', 'dist/service-host.js false', 'package.json false'],
    )
    const again = await packed(await tarball(Object.fromEntries(Object.entries(PROGRAM).reverse())))
    assert.equal(again.digest, bundle.digest)
  })

  test('is read back by who takes bundles', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'p2p-program-'))
    t.after(() => rmSync(folder, { recursive: true, force: true }))
    writeFileSync(join(folder, 'p.tgz'), await tarball(PROGRAM))
    const output = join(folder, 'p.bundle')
    const { manifest } = await packProgram(join(folder, 'p.tgz'), output, never)
    assert.deepEqual(await readBundleManifest(createReadStream(output), never), manifest)
    assert.ok(gunzipSync(readFileSync(output)).byteLength > 0)
  })

  const changed = (name: string, content: string | undefined): Record<string, string> =>
    Object.fromEntries(
      Object.entries({ ...PROGRAM, [name]: content }).filter(
        (entry): entry is [string, string] => entry[1] !== undefined,
      ),
    )
  const about = (value: unknown): Record<string, string> => changed('package/package.json', JSON.stringify(value))
  const refusals: [string, () => Promise<Uint8Array>, string, RegExp][] = [
    ['another package', () => tarball(about({ name: 'left-pad', version: '1.0.0' })), 'P2P_BUNDLE_INVALID', /left-pad/],
    ['no version', () => tarball(about({ name: 'p2p-core' })), 'P2P_BUNDLE_INVALID', /no semantic version/],
    [
      'no package.json',
      () => tarball(changed('package/package.json', undefined)),
      'P2P_BUNDLE_INVALID',
      /package\.json/,
    ],
    ['an unbuilt tree', () => tarball(changed('package/dist/p2p.js', undefined)), 'P2P_BUNDLE_INVALID', /Build first/],
    [
      'a link',
      () => tarball(PROGRAM, [{ name: 'package/x', type: 'symlink', linkname: '/etc' }]),
      'P2P_BUNDLE_ENTRY_FORBIDDEN',
      /no file below/,
    ],
    [
      'a file elsewhere',
      () => tarball(PROGRAM, [{ name: 'etc/passwd' }]),
      'P2P_BUNDLE_ENTRY_FORBIDDEN',
      /no file below/,
    ],
    ['a parent path', () => tarball(PROGRAM, [{ name: 'package/../x' }]), 'P2P_BUNDLE_ENTRY_FORBIDDEN', /"\.\."/],
    [
      'the same file twice',
      () => tarball(PROGRAM, [{ name: 'package/dist/p2p.js' }]),
      'P2P_BUNDLE_ENTRY_FORBIDDEN',
      /twice/,
    ],
    ['a tarball cut short', async () => (await tarball(PROGRAM)).subarray(0, 200), 'P2P_BUNDLE_DAMAGED', /cut short/],
    ['no tarball', async () => Buffer.from('hello'), 'P2P_BUNDLE_DAMAGED', /npm pack/],
    ['nothing', async () => Buffer.alloc(0), 'P2P_BUNDLE_DAMAGED', /cut short/],
  ]
  for (const [what, bytes, code, message] of refusals) {
    test(`is refused: ${what}`, async (t) => {
      await assert.rejects(packing(t)(await bytes()), (error: Error & { code?: string }) => {
        assert.equal(error.code, code, error.message)
        assert.match(error.message, message)
        return true
      })
    })
  }
})
