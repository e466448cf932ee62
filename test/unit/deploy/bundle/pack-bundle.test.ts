import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { chmod, mkdir, open, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type TestContext, test } from 'node:test'
import { pathToFileURL } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { extract, pack } from 'tar-stream'
import type { DeployError } from '../../../../src/base/errors.ts'
import { BUNDLE_LIMITS } from '../../../../src/deploy/bundle/bundle-limits.ts'
import { type PackedBundle, packBundle } from '../../../../src/deploy/bundle/pack-bundle.ts'
import { selectFiles } from '../../../../src/deploy/bundle/service-folder.ts'
import { chunksOf, foldersIn, sha256, signed, temporary, treeOf, writeFolder } from './support.ts'

const isPosix = process.platform !== 'win32'
const MANIFEST = JSON.stringify({ name: 'greeter', version: '1.2.3' })
const SERVICE = { 'manifest.json': MANIFEST, 'main.ts': 'export default 1\n', 'lib/a.ts': 'export const a = 1\n' }

async function packed(
  t: TestContext,
  files: Readonly<Record<string, string>>,
): Promise<PackedBundle & { bytes: Buffer; paths: string[]; folder: string }> {
  const top = await temporary(t)
  const folder = join(top, 'service')
  await writeFolder(folder, files)
  return { ...(await packFolder(top, folder)), folder }
}

async function packFolder(top: string, folder: string): Promise<PackedBundle & { bytes: Buffer; paths: string[] }> {
  const result = await packBundle(folder, join(top, 'bundle'))
  const bytes = await readFile(join(top, 'bundle'))
  return { ...result, bytes, paths: result.manifest.files.map(({ path }) => path) }
}

/** Refused with this code and reason, naming the entry; and no file is left. */
async function refused(
  t: TestContext,
  expected: { code: string; reason: string; entry?: string; remedy: RegExp },
  prepare: (folder: string) => Promise<void>,
): Promise<void> {
  const top = await temporary(t)
  const folder = join(top, 'service')
  await mkdir(folder)
  await prepare(folder)
  await assert.rejects(packBundle(folder, join(top, 'bundle')), (error: DeployError) => {
    const { reason, entry } = error.details
    assert.deepEqual([error.code, reason, entry], [expected.code, expected.reason, expected.entry], error.message)
    assert.match(error.message, expected.remedy)
    return true
  })
  await assert.rejects(stat(join(top, 'bundle')), { code: 'ENOENT' })
}

test('equal folders give equal bundles, whenever and in whatever order their files were made', async (t) => {
  const first = await packed(t, SERVICE)
  const top = await temporary(t)
  const folder = join(top, 'service')
  for (const [path, text] of Object.entries(SERVICE).reverse()) {
    await writeFolder(folder, { [path]: text })
    await utimes(join(folder, path), 1_000_000, 1_000_000)
    await chmod(join(folder, path), 0o600)
  }
  const second = await packFolder(top, folder)
  assert.deepEqual(second.bytes, first.bytes)
  assert.equal(second.digest, first.digest)
  assert.equal(first.digest, sha256(first.bytes))
  assert.equal(first.sizeBytes, first.bytes.byteLength)
  assert.deepEqual([...first.bytes.subarray(0, 10)], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255], 'no time, no system')
})

test('what was packed unpacks to the same files', async (t) => {
  const { bytes, manifest, folder } = await packed(t, {
    ...SERVICE,
    'data/größe.txt': 'ä'.repeat(1_000),
    'data/empty': '',
  })
  const folders = await foldersIn(await temporary(t))
  const unpacked = await folders.unpack(signed(bytes), chunksOf(bytes), new AbortController().signal)
  assert.deepEqual(unpacked.manifest, manifest)
  const { 'p2p-bundle.json': head, ...files } = await treeOf(unpacked.folder)
  assert.deepEqual(files, await treeOf(folder))
  assert.deepEqual(JSON.parse(head as string), manifest)
})

test('other programs read the archive, and write the same one', async (t) => {
  const long = `${'folder/'.repeat(12)}${'n'.repeat(60)}.txt`
  const { bytes, manifest } = await packed(t, { ...SERVICE, [long]: 'long' })
  const archive = gunzipSync(bytes)
  const other = pack()
  const found: string[] = []
  for await (const entry of Readable.from([archive]).pipe(extract())) {
    const { name, size, mode, type, pax } = entry.header
    assert.deepEqual([type, pax, mode], ['file', null, 0o644])
    found.push(name)
    const content: Buffer[] = []
    for await (const part of entry) content.push(part as Buffer)
    other.entry({ name, size: size as number, mode: mode as number, mtime: new Date(0) }, Buffer.concat(content))
  }
  other.finalize()
  assert.deepEqual(found, ['p2p-bundle.json', ...manifest.files.map(({ path }) => path)])
  const written: Buffer[] = []
  for await (const part of other) written.push(part as Buffer)
  assert.deepEqual(Buffer.concat(written), archive)
})

test('name, version and kind come from manifest.json, package.json and the folder, in this order', async (t) => {
  const full = await packed(t, SERVICE)
  assert.deepEqual([full.manifest.service, full.manifest.version, full.manifest.kind], ['greeter', '1.2.3', 'process'])
  const bare = await packed(t, { 'main.js': '', 'package.json': '{"name":"x","version":"2.0.0-rc.1"}' })
  assert.deepEqual([bare.manifest.service, bare.manifest.version], ['service', '2.0.0-rc.1'])
  assert.deepEqual(bare.manifest.manifest, { name: 'service', version: '2.0.0-rc.1', kind: 'process' })
  const program = await packed(t, {
    'manifest.json': JSON.stringify({ version: '1.0.0', exec: { command: './serve.py' } }),
    'serve.py': 'print("hello")',
  })
  assert.equal(program.manifest.kind, 'exec')
})

test('what nobody runs is left out, unless files names it', async (t) => {
  const junk = {
    '.env': 'SECRET=1',
    '.git/config': '',
    'node_modules/x/index.js': '',
    'lib/node_modules/y/index.js': '',
    'main.test.ts': '',
    'lib/a.spec.js': '',
    'test/x.ts': '',
    'lib/__tests__/x.ts': '',
    'coverage/index.html': '',
    'p2p-bundle.json': '{}',
  }
  const all = await packed(t, { ...SERVICE, ...junk })
  assert.deepEqual(all.paths, ['lib/a.ts', 'main.ts', 'manifest.json'])
  const manifest = JSON.stringify({
    name: 'greeter',
    version: '1.2.3',
    files: ['./main.ts', 'web/', 'test/x.ts', '.env'],
  })
  const some = await packed(t, {
    ...SERVICE,
    ...junk,
    'manifest.json': manifest,
    'web/index.html': '',
    'web/.x': '',
    'b.md': '',
  })
  assert.deepEqual(some.paths, ['.env', 'main.ts', 'manifest.json', 'test/x.ts', 'web/index.html'])
})

test('executables stay so', { skip: !isPosix }, async (t) => {
  const top = await temporary(t)
  await writeFolder(join(top, 'service'), { ...SERVICE, 'bin/tool': '#!/bin/sh\n' })
  await chmod(join(top, 'service/bin/tool'), 0o4755)
  const { manifest } = await packFolder(top, join(top, 'service'))
  const modes = Object.fromEntries(manifest.files.map(({ path, isExecutable }) => [path, isExecutable]))
  assert.deepEqual(modes, { 'bin/tool': true, 'lib/a.ts': false, 'main.ts': false, 'manifest.json': false })
})

test('methods that are known are in the manifest', async (t) => {
  const top = await temporary(t)
  await writeFolder(join(top, 'service'), SERVICE)
  const methods = [{ name: 'greet', isPublic: true, params: { type: 'object' } }]
  const { manifest } = await packBundle(join(top, 'service'), join(top, 'bundle'), { methods })
  assert.deepEqual(manifest.methods, methods)
})

test('a link, a socket and a file of too many bytes are refused by name', { skip: !isPosix }, async (t) => {
  const code = 'P2P_BUNDLE_FOLDER_INVALID'
  await refused(
    t,
    { code, reason: 'symbolic-link', entry: '"lib/link.ts"', remedy: /Put the file itself/ },
    async (folder) => {
      await writeFolder(folder, SERVICE)
      await symlink('/etc/passwd', join(folder, 'lib/link.ts'))
    },
  )
  await refused(
    t,
    { code, reason: 'symbolic-link', entry: '"shared"', remedy: /leave it out by "files"/ },
    async (folder) => {
      await writeFolder(folder, SERVICE)
      await symlink('/etc', join(folder, 'shared'))
    },
  )
  await refused(t, { code, reason: 'special-file', entry: '"control"', remedy: /Remove it/ }, async (folder) => {
    await writeFolder(folder, SERVICE)
    const server = createServer().listen(join(folder, 'control'))
    t.after(() => server.close())
    await new Promise((resolve) => server.once('listening', resolve))
  })
  const tooLarge = { code: 'P2P_BUNDLE_TOO_LARGE', remedy: /268435456 are allowed.*"files" in manifest/ }
  await refused(t, { ...tooLarge, reason: 'file-too-large', entry: '"model.bin"' }, async (folder) => {
    await writeFolder(folder, SERVICE)
    const file = await open(join(folder, 'model.bin'), 'w')
    await file.truncate(BUNDLE_LIMITS.fileBytesMax + 1)
    await file.close()
  })
})

test('too many files, and files that only repeat themselves, are refused with the limit', async (t) => {
  const code = 'P2P_BUNDLE_TOO_LARGE'
  await refused(t, { code, reason: 'bomb', remedy: /200 times.*Leave out/ }, async (folder) => {
    await writeFolder(folder, SERVICE)
    await writeFile(join(folder, 'zeros'), Buffer.alloc(8 * 1_024 * 1_024))
  })
  const count = BUNDLE_LIMITS.fileCountMax
  await refused(
    t,
    { code, reason: 'too-many-files', entry: '"many/z"', remedy: /8192.*"files" in manifest/ },
    async (folder) => {
      await writeFolder(folder, { 'manifest.json': MANIFEST, 'many/z': '', 'z/never-seen': '' })
      // One after the other, without waiting: thousands at once would only wait for each other.
      for (let index = 1; index < count; index++) writeFileSync(join(folder, `many/f${index}`), '')
    },
  )
})

test('what cannot be a service is refused with what is missing', async (t) => {
  const code = 'P2P_BUNDLE_FOLDER_INVALID'
  const cases: [Record<string, string>, { reason: string; entry: string; remedy: RegExp }][] = [
    [{ 'main.js': '' }, { reason: 'version', entry: '"manifest.json"', remedy: /such as 1\.0\.0/ }],
    [
      { 'manifest.json': '{"version":"v1"}', 'main.js': '' },
      { reason: 'version', entry: '"manifest.json"', remedy: /"v1".*look like 1\.4\.2/ },
    ],
    [
      { 'manifest.json': '{"version":2}' },
      { reason: 'version', entry: '"manifest.json"', remedy: /look like 1\.4\.2/ },
    ],
    [{ 'manifest.json': MANIFEST }, { reason: 'no-main', entry: '"main.ts"', remedy: /"exec" in manifest/ }],
    [
      { 'manifest.json': '{', 'main.js': '' },
      { reason: 'json', entry: '"manifest.json"', remedy: /is not JSON/ },
    ],
    [
      { 'manifest.json': '[]', 'main.js': '' },
      { reason: 'json', entry: '"manifest.json"', remedy: /one JSON object/ },
    ],
    [
      { 'manifest.json': '{"version":"1.0.0","name":"a b"}', 'main.js': '' },
      { reason: 'service-manifest', entry: '"manifest.json"', remedy: /name: must be 1 to 63/ },
    ],
    [
      { 'manifest.json': '{"version":"1.0.0","files":"main.js"}', 'main.js': '' },
      { reason: 'files-list', entry: '"manifest.json"', remedy: /list of paths/ },
    ],
    [
      { 'manifest.json': '{"version":"1.0.0","files":["../other"]}', 'main.js': '' },
      { reason: 'files-list', entry: '"manifest.json"', remedy: /"\.\.\/other".*leads out/ },
    ],
    [
      { 'manifest.json': '{"version":"1.0.0","files":["missing.js"]}', 'main.js': '' },
      { reason: 'missing-file', entry: '"missing.js"', remedy: /named in "files"/ },
    ],
    [
      { ...SERVICE, 'what?.txt': '' },
      { reason: 'special-character', entry: '"what?.txt"', remedy: /Rename it/ },
    ],
    [
      { ...SERVICE, 'lib/aux.ts': '' },
      { reason: 'reserved-name', entry: '"lib/aux.ts"', remedy: /Rename it/ },
    ],
  ]
  for (const [files, expected] of cases) await refused(t, { code, ...expected }, (folder) => writeFolder(folder, files))
})

test('two names that are one elsewhere are refused', async (t) => {
  const top = await temporary(t)
  await writeFolder(top, { probe: '' })
  if (await stat(join(top, 'PROBE')).catch(() => undefined)) return t.skip('this file system takes them for one itself')
  await refused(
    t,
    {
      code: 'P2P_BUNDLE_ENTRY_FORBIDDEN',
      reason: 'ambiguous-name',
      entry: '"lib/readme"',
      remedy: /rename one of them/,
    },
    (folder) => writeFolder(folder, { ...SERVICE, 'lib/README': '', 'lib/readme': '' }),
  )
})

test('a file that changes between listing and packing is noticed', async (t) => {
  const folder = await temporary(t)
  await writeFolder(folder, SERVICE)
  const read = async (change: (path: string) => Promise<void>): Promise<void> => {
    const main = (await selectFiles(folder, undefined)).find(({ path }) => path === 'main.ts')
    await change(join(folder, 'main.ts'))
    const content = main?.content() as AsyncIterable<Uint8Array>
    const all = async (): Promise<void> => {
      for await (const _part of content) continue
    }
    await assert.rejects(all(), {
      code: 'P2P_BUNDLE_FOLDER_INVALID',
      details: { reason: 'changed', entry: '"main.ts"' },
    })
  }
  await read((path) => writeFile(path, 'longer than it was before'))
  await read((path) => writeFile(path, ''))
})

test('a file that is there is never overwritten, and an abort leaves none', async (t) => {
  const top = await temporary(t)
  await writeFolder(top, {
    bundle: 'precious',
    ...Object.fromEntries(Object.entries(SERVICE).map(([path, text]) => [`s/${path}`, text])),
  })
  await assert.rejects(packBundle(join(top, 's'), join(top, 'bundle')), { code: 'EEXIST' })
  assert.equal(await readFile(join(top, 'bundle'), 'utf8'), 'precious')
  const signal = AbortSignal.abort(new Error('interrupted'))
  await assert.rejects(packBundle(join(top, 's'), join(top, 'other'), { signal }), { message: 'interrupted' })
  await assert.rejects(stat(join(top, 'other')), { code: 'ENOENT' })
})

const PACKAGES = {
  'manifest.json': MANIFEST,
  'main.ts':
    "import { shout } from 'shout'\nimport { word } from './lib/word.ts'\nexport const said: string = shout(word)\n",
  'lib/word.ts': "export const word: string = 'hello'\n",
  'lib/template.txt': 'kept',
  'package.json': JSON.stringify({ dependencies: { shout: '^1.0.0' } }),
  'package-lock.json': JSON.stringify({
    lockfileVersion: 3,
    packages: {
      '': {},
      'node_modules/shout': { version: '1.0.1' },
      'node_modules/shout/node_modules/up': { version: '2.0.0' },
    },
  }),
  'node_modules/shout/package.json': JSON.stringify({ name: 'shout', version: '1.0.1', main: 'index.js' }),
  'node_modules/shout/index.js':
    "const os = require('os')\nconst up = require('up')\nexports.shout = (word) => up(word) + (os.EOL ? '!' : '')\n",
  'node_modules/shout/node_modules/up/package.json': JSON.stringify({ name: 'up', version: '2.0.0' }),
  'node_modules/shout/node_modules/up/index.js': 'module.exports = (word) => word.toUpperCase()\n',
}

test('a service with dependencies becomes one file that needs no package and runs', async (t) => {
  const { bytes, paths } = await packed(t, PACKAGES)
  assert.deepEqual(paths, ['lib/template.txt', 'main.js', 'manifest.json', 'package-lock.json', 'package.json'])
  const folders = await foldersIn(await temporary(t))
  const { folder } = await folders.unpack(signed(bytes), chunksOf(bytes), new AbortController().signal)
  const main = (await import(pathToFileURL(join(folder, 'main.js')).href)) as { said: string }
  assert.equal(main.said, 'HELLO!')
  const again = await packed(t, PACKAGES)
  assert.deepEqual(again.bytes, bytes, 'and always the same')
})

test('the program itself is no dependency, and a program of another kind is not looked into', async (t) => {
  const own = { ...SERVICE, 'package.json': '{"dependencies":{"p2p-core":"^3.0.0"}}' }
  assert.deepEqual((await packed(t, own)).paths, ['lib/a.ts', 'main.ts', 'manifest.json', 'package.json'])
  const exec = {
    ...PACKAGES,
    'manifest.json': '{"version":"1.0.0","exec":{"command":"node"},"files":["main.ts","node_modules"]}',
  }
  const { paths } = await packed(t, exec)
  assert.ok(paths.includes('node_modules/shout/index.js'))
})

test('packages that cannot be bundled are refused with the way out', async (t) => {
  const code = 'P2P_BUNDLE_DEPENDENCY'
  const shout = 'node_modules/shout'
  const { 'package-lock.json': _, ...unlocked } = PACKAGES
  const cases: [Record<string, string>, { reason: string; entry?: string; remedy: RegExp }][] = [
    [unlocked, { reason: 'no-lockfile', entry: '"package-lock.json"', remedy: /npm install --ignore-scripts/ }],
    [
      { ...PACKAGES, [`${shout}/package.json`]: '{"version":"1.0.2"}' },
      {
        reason: 'not-as-locked',
        entry: `"${shout}"`,
        remedy: /installed as 1\.0\.2.*says 1\.0\.1.*npm ci --ignore-scripts/,
      },
    ],
    [
      { ...PACKAGES, 'main.ts': "import 'shouts'\n" },
      { reason: 'build', entry: '"main.ts"', remedy: /Could not resolve "shouts" \(main\.ts:1\).*npm ci/ },
    ],
    [
      { ...PACKAGES, 'main.ts': 'const = 1\n' },
      { reason: 'build', entry: '"main.ts"', remedy: /main\.ts:1/ },
    ],
    [
      { ...PACKAGES, [`${shout}/index.js`]: "require('./build/addon.node')", [`${shout}/build/addon.node`]: 'ELF' },
      { reason: 'native-code', entry: `"${shout}/index.js"`, remedy: /plain JavaScript/ },
    ],
    [
      { ...PACKAGES, [`${shout}/binding.gyp`]: '{}' },
      { reason: 'native-code', entry: `"${shout}"`, remedy: /plain JavaScript/ },
    ],
  ]
  for (const [files, expected] of cases) await refused(t, { code, ...expected }, (folder) => writeFolder(folder, files))
})
