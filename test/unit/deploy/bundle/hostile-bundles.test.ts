import assert from 'node:assert/strict'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { pack } from 'tar-stream'
import { DeployError } from '../../../../src/base/errors.ts'
import { shown } from '../../../../src/deploy/bundle/bundle-error.ts'
import { BUNDLE_LIMITS } from '../../../../src/deploy/bundle/bundle-limits.ts'
import type { BundleFile, BundleManifest } from '../../../../src/deploy/bundle/bundle-manifest.ts'
import { tarHeader } from '../../../../src/deploy/bundle/tar-header.ts'
import {
  type Archive,
  bundleOf,
  chunksOf,
  type Entry,
  entryBytes,
  foldersIn,
  header,
  honest,
  manifestOf,
  resealed,
  sha256,
  signed,
  tarOf,
  temporary,
  treeOf,
  writeFolder,
} from './support.ts'

interface Hostile {
  name: string
  code: string
  reason: string
  bytes: () => Buffer | Promise<Buffer>
}

/** A file of that name, in the manifest as in the archive. */
function named(path: string, reason: string): Hostile {
  return {
    name: `a file named ${shown(path)}`,
    code: 'P2P_BUNDLE_ENTRY_FORBIDDEN',
    reason,
    bytes: () => bundleOf(honest([{ path, content: 'evil' }])),
  }
}

/** Files that cannot be beside each other. */
function together(paths: string[], reason: string): Hostile {
  return {
    name: `files named ${paths.map(shown).join(' and ')}`,
    code: 'P2P_BUNDLE_ENTRY_FORBIDDEN',
    reason,
    bytes: () => bundleOf(honest(paths.map((path) => ({ path, content: 'evil' })))),
  }
}

/** Something in the archive, before its last file, that the manifest does not tell of. */
function smuggled(name: string, code: string, reason: string, entry: Entry): Hostile {
  return {
    name,
    code,
    reason,
    bytes: () => {
      const { manifest, entries } = honest()
      return bundleOf({ manifest, entries: entries.toSpliced(1, 0, entry) })
    },
  }
}

function ofType(type: string, name: string, reason: string, content = ''): Hostile {
  const head = header({ path: 'lib/z', type, sizeBytes: content.length, linkName: '../../../canary' })
  return smuggled(name, 'P2P_BUNDLE_ENTRY_FORBIDDEN', reason, { path: 'lib/z', content, header: head })
}

/** The header of `main.js`, changed. */
function changedHeader(name: string, code: string, reason: string, change: (block: Buffer) => Buffer): Hostile {
  return {
    name,
    code,
    reason,
    bytes: () => {
      const { manifest, entries } = honest()
      const main = entries[1] as Entry
      const block = Buffer.from(tarHeader('main.js', Buffer.from(main.content ?? '').byteLength, false))
      return bundleOf({ manifest, entries: [entries[0] as Entry, { ...main, header: change(block) }] })
    },
  }
}

function changedManifest(
  name: string,
  code: string,
  reason: string,
  change: (manifest: BundleManifest) => unknown,
): Hostile {
  return {
    name,
    code,
    reason,
    bytes: () => {
      const { manifest, entries } = honest()
      return bundleOf({ manifest: change(manifest as BundleManifest) as Record<string, unknown>, entries })
    },
  }
}

function manifestText(
  name: string,
  code: string,
  reason: string,
  change: (text: string) => string | Uint8Array,
): Hostile {
  return {
    name,
    code,
    reason,
    bytes: () => {
      const { manifest, entries } = honest()
      const content = change(JSON.stringify(manifest))
      const all = [{ path: 'p2p-bundle.json', content }, ...entries]
      return gzipSync(Buffer.concat([...all.map(entryBytes), new Uint8Array(1_024)]))
    },
  }
}

function changedTar(name: string, code: string, reason: string, change: (tar: Buffer) => Buffer): Hostile {
  return { name, code, reason, bytes: () => gzipSync(change(tarOf(honest()))) }
}

function changedBundle(name: string, code: string, reason: string, change: (bundle: Buffer) => Buffer): Hostile {
  return { name, code, reason, bytes: () => change(bundleOf(honest())) }
}

/** The archive of a usual tar program: pax headers, times, owners. */
async function usualTar(
  entries: readonly { name: string; text: string; pax?: Record<string, string> }[],
): Promise<Buffer> {
  const archive = pack()
  const { manifest } = honest()
  archive.entry({ name: 'p2p-bundle.json', mtime: new Date(0) }, JSON.stringify(manifest))
  for (const { name, text, pax } of entries) archive.entry({ name, mtime: new Date(0), ...(pax && { pax }) }, text)
  archive.finalize()
  const chunks: Buffer[] = []
  for await (const chunk of archive) chunks.push(chunk as Buffer)
  return gzipSync(Buffer.concat(chunks))
}

const file = (changes: Partial<BundleFile>): ((manifest: BundleManifest) => BundleManifest) => {
  return (manifest) => ({
    ...manifest,
    files: [{ ...(manifest.files[0] as BundleFile), ...changes }, ...manifest.files.slice(1)],
  })
}

const manyFiles = (count: number): Archive => {
  const entries = Array.from({ length: count }, (_, index) => ({ path: `f${String(index).padStart(6, '0')}` }))
  return { manifest: manifestOf(entries), entries: [] }
}

const HOSTILE: Hostile[] = [
  named('../escape.js', 'parent-path'),
  named('lib/../../escape.js', 'parent-path'),
  named('lib/..', 'parent-path'),
  named('/etc/cron.d/evil', 'absolute-path'),
  named('//server/share/evil', 'network-path'),
  named('\\\\server\\share\\evil', 'network-path'),
  named('C:/Windows/evil.dll', 'drive-letter'),
  named('c:evil.dll', 'drive-letter'),
  named('lib\\..\\..\\evil.js', 'backslash'),
  named('./main2.js', 'dot-path'),
  named('lib/./x.js', 'dot-path'),
  named('lib//x.js', 'empty-part'),
  named('lib/', 'empty-part'),
  named('', 'empty-name'),
  named('evil\0.js', 'nul-character'),
  named('evil\n.js', 'control-character'),
  named('evil\u001b[2J.js', 'control-character'),
  named('evil\u202Egpj.js', 'control-character'),
  named('ev\u200Bil.js', 'control-character'),
  named('main.js:stream', 'special-character'),
  named('what?.js', 'special-character'),
  named('con', 'reserved-name'),
  named('lib/NUL.txt', 'reserved-name'),
  named('com1.js', 'reserved-name'),
  named('lpt\u00B9', 'reserved-name'),
  named('evil.js.', 'trailing-dot'),
  named('evil.js ', 'trailing-dot'),
  named('cafe\u0301.js', 'unicode-form'),
  named(`${'d/'.repeat(BUNDLE_LIMITS.depthMax)}x`, 'too-deep'),
  named('x'.repeat(101), 'name-too-long'),
  named(`${'x'.repeat(90)}/${'y'.repeat(90)}/${'z'.repeat(90)}`, 'name-too-long'),
  named('p2p-bundle.json', 'manifest-name'),
  together(['README', 'readme'], 'ambiguous-name'),
  together(['Lib2/a.js', 'lib2/b.js'], 'ambiguous-name'),
  together(['stra\u00DFe', 'strasse'], 'ambiguous-name'),
  together(['\u017Fafe', 'safe'], 'ambiguous-name'),
  named('\u212Aelvin', 'unicode-form'),
  together(['\uFB01le', 'file'], 'ambiguous-name'),
  together(['data', 'data/x'], 'file-and-folder'),
  together(['twice.js', 'twice.js'], 'duplicate-entry'),

  ofType('1', 'a hard link', 'hard-link'),
  ofType('2', 'a symbolic link', 'symbolic-link'),
  ofType('3', 'a character device', 'character-device'),
  ofType('4', 'a block device', 'block-device'),
  ofType('5', 'a directory', 'directory'),
  ofType('6', 'a named pipe', 'fifo'),
  ofType('7', 'a contiguous file', 'contiguous-file'),
  ofType('S', 'a sparse file', 'sparse-file'),
  ofType('x', 'a pax header that renames', 'pax-header', '22 path=../escape.js\n'),
  ofType('g', 'a global pax header', 'pax-global-header', '18 path=/etc/evil\n'),
  ofType('X', 'an extended header of Solaris', 'pax-header', '22 path=../escape.js\n'),
  ofType('L', 'a GNU long name', 'gnu-long-name', '../escape.js\0'),
  ofType('K', 'a GNU long link name', 'gnu-long-link', '../escape.js\0'),
  ofType('N', 'an old GNU long name', 'gnu-long-name'),
  ofType('M', 'a part of another volume', 'gnu-volume-part'),
  ofType('V', 'a volume name', 'gnu-volume-name'),
  ofType('D', 'a GNU directory listing', 'gnu-directory'),
  smuggled('an entry of an unknown type', 'P2P_BUNDLE_INVALID', 'unknown-type', {
    path: 'z',
    header: header({ path: 'lib/z', type: 'Z' }),
  }),
  smuggled('a file that is not in the manifest', 'P2P_BUNDLE_INVALID', 'not-in-manifest', { path: 'lib/z.js' }),
  smuggled('a file outside that is not in the manifest', 'P2P_BUNDLE_ENTRY_FORBIDDEN', 'parent-path', {
    path: '../escape.js',
    content: 'evil',
    header: header({ path: '../escape.js', sizeBytes: 4 }),
  }),
  smuggled('a file that is there twice', 'P2P_BUNDLE_INVALID', 'duplicate-entry', { path: 'lib/greeting.js' }),
  smuggled('a pax header of 3 MiB', 'P2P_BUNDLE_ENTRY_FORBIDDEN', 'pax-header', {
    path: 'x',
    content: new Uint8Array(3 * 1_024 * 1_024),
    header: header({ path: 'x', type: 'x', sizeBytes: 3 * 1_024 * 1_024 }),
  }),
  {
    name: 'a pax header that changes the size',
    code: 'P2P_BUNDLE_ENTRY_FORBIDDEN',
    reason: 'pax-header',
    bytes: () => usualTar([{ name: 'lib/greeting.js', text: 'evil', pax: { size: '99999999999' } }]),
  },
  {
    name: 'a link that is in the manifest as a file, and a file behind it',
    code: 'P2P_BUNDLE_ENTRY_FORBIDDEN',
    reason: 'symbolic-link',
    bytes: () => {
      const archive = honest([{ path: 'out', content: '' }])
      const link = header({ path: 'out', type: '2', linkName: '/tmp' })
      return bundleOf({
        ...archive,
        entries: archive.entries.map((each) => (each.path === 'out' ? { ...each, header: link } : each)),
      })
    },
  },

  changedHeader('another size', 'P2P_BUNDLE_INVALID', 'size-mismatch', () => header({ path: 'main.js', sizeBytes: 1 })),
  changedHeader('a size in base 256', 'P2P_BUNDLE_INVALID', 'size-mismatch', (block) => {
    block.fill(0, 124, 136)
    block[124] = 0x80
    block[130] = 0xff
    return resealed(block)
  }),
  changedHeader('a negative size', 'P2P_BUNDLE_INVALID', 'size-mismatch', (block) => {
    block.write('-0000000001 ', 124)
    return resealed(block)
  }),
  changedHeader('the set-user-id bit', 'P2P_BUNDLE_INVALID', 'mode', (block) => {
    block.write('104755', 100)
    return resealed(block)
  }),
  changedHeader('an executable that the manifest does not tell of', 'P2P_BUNDLE_INVALID', 'mode', (block) => {
    block.write('000755', 100)
    return resealed(block)
  }),
  changedHeader('an owner', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block.write('000001', 108)
    return resealed(block)
  }),
  changedHeader('a time', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block.write('00000000001', 136)
    return resealed(block)
  }),
  changedHeader('a file with a link name', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block.write('/etc/passwd', 157)
    return resealed(block)
  }),
  changedHeader('the type of the first tar programs', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block[156] = 0
    return resealed(block)
  }),
  changedHeader('the magic of GNU tar', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block.write('ustar  \0', 257)
    return resealed(block)
  }),
  changedHeader('bytes behind the end of the name', 'P2P_BUNDLE_INVALID', 'header-form', (block) => {
    block.write('evil', 50)
    return resealed(block)
  }),
  changedHeader('a wrong checksum', 'P2P_BUNDLE_DAMAGED', 'header-checksum', (block) => {
    block[0] = 0x4d
    return block
  }),
  changedHeader('no header at all', 'P2P_BUNDLE_INVALID', 'missing-entry', () => Buffer.alloc(512)),

  changedManifest('a later format', 'P2P_BUNDLE_INVALID', 'unknown-format', (manifest) => ({ ...manifest, format: 2 })),
  changedManifest('an unknown member', 'P2P_BUNDLE_INVALID', 'manifest-shape', (manifest) => ({
    ...manifest,
    run: 'x',
  })),
  changedManifest('no files member', 'P2P_BUNDLE_INVALID', 'manifest-shape', (manifest) => ({
    ...manifest,
    files: undefined,
  })),
  changedManifest('a version that is none', 'P2P_BUNDLE_INVALID', 'version', (manifest) => ({
    ...manifest,
    version: 'latest',
    manifest: { ...manifest.manifest, version: 'latest' },
  })),
  changedManifest('another version inside', 'P2P_BUNDLE_INVALID', 'manifest-contradiction', (manifest) => ({
    ...manifest,
    manifest: { ...manifest.manifest, version: '9.9.9' },
  })),
  changedManifest('a name of a service that is none', 'P2P_BUNDLE_INVALID', 'service-manifest', (manifest) => ({
    ...manifest,
    service: '../x',
    manifest: { ...manifest.manifest, name: '../x' },
  })),
  changedManifest(
    'another content',
    'P2P_BUNDLE_DAMAGED',
    'content-mismatch',
    file({ sha256: sha256(Buffer.from('x')) }),
  ),
  changedManifest('a hash in capitals', 'P2P_BUNDLE_INVALID', 'manifest-shape', file({ sha256: 'A'.repeat(64) })),
  changedManifest('a negative size in the manifest', 'P2P_BUNDLE_INVALID', 'manifest-shape', file({ sizeBytes: -1 })),
  changedManifest('a size with a fraction', 'P2P_BUNDLE_INVALID', 'manifest-shape', file({ sizeBytes: 0.5 })),
  changedManifest('files in another order', 'P2P_BUNDLE_INVALID', 'wrong-order', (manifest) => ({
    ...manifest,
    files: manifest.files.toReversed(),
  })),
  changedManifest('a file that is not there', 'P2P_BUNDLE_INVALID', 'missing-entry', (manifest) => ({
    ...manifest,
    files: [...manifest.files, { ...(manifest.files[0] as BundleFile), path: 'zz' }],
  })),
  changedManifest('a file in the middle that is not there', 'P2P_BUNDLE_INVALID', 'missing-entry', (manifest) => ({
    ...manifest,
    files: [
      manifest.files[0] as BundleFile,
      { ...(manifest.files[0] as BundleFile), path: 'lib/z' },
      manifest.files[1] as BundleFile,
    ],
  })),
  changedManifest(
    'a file of 257 MiB',
    'P2P_BUNDLE_TOO_LARGE',
    'file-too-large',
    file({ sizeBytes: BUNDLE_LIMITS.fileBytesMax + 1 }),
  ),
  changedManifest('files of 600 MiB', 'P2P_BUNDLE_TOO_LARGE', 'total-too-large', (manifest) => ({
    ...manifest,
    files: ['a', 'b', 'c'].map((path) => ({
      ...(manifest.files[0] as BundleFile),
      path,
      sizeBytes: 200 * 1_024 * 1_024,
    })),
  })),
  changedManifest(
    'a bomb that the manifest tells of',
    'P2P_BUNDLE_TOO_LARGE',
    'bomb',
    file({ sizeBytes: 200 * 1_024 * 1_024 }),
  ),
  {
    name: '8,193 files',
    code: 'P2P_BUNDLE_TOO_LARGE',
    reason: 'too-many-files',
    bytes: () => bundleOf(manyFiles(BUNDLE_LIMITS.fileCountMax + 1)),
  },
  manifestText('a manifest of 3 MiB', 'P2P_BUNDLE_TOO_LARGE', 'manifest-too-large', (text) =>
    text.padEnd(3 * 1_024 * 1_024),
  ),
  manifestText('no JSON', 'P2P_BUNDLE_INVALID', 'manifest-json', () => 'format: 1'),
  manifestText('an empty manifest', 'P2P_BUNDLE_INVALID', 'manifest-json', () => ''),
  manifestText('null', 'P2P_BUNDLE_INVALID', 'manifest-shape', () => 'null'),
  manifestText(
    'bytes that are no UTF-8',
    'P2P_BUNDLE_INVALID',
    'manifest-json',
    () => new Uint8Array([0x22, 0xff, 0x22]),
  ),
  manifestText('a byte order mark', 'P2P_BUNDLE_INVALID', 'manifest-json', (text) => `\uFEFF${text}`),
  manifestText(
    'a million brackets',
    'P2P_BUNDLE_INVALID',
    'manifest-json',
    () => '['.repeat(1_000_000) + ']'.repeat(1_000_000),
  ),
  manifestText('spaces', 'P2P_BUNDLE_INVALID', 'manifest-form', (text) => text.replace('{', '{ ')),
  manifestText('a member twice', 'P2P_BUNDLE_INVALID', 'manifest-form', (text) =>
    text.replace('{', '{"service":"other",'),
  ),
  manifestText('a prototype', 'P2P_BUNDLE_INVALID', 'manifest-json', (text) =>
    text.replace('{', '{"__proto__":{"format":1},'),
  ),

  changedTar('no manifest', 'P2P_BUNDLE_INVALID', 'no-manifest', (tar) => tar.subarray(512 * 2 + 512)),
  changedTar('the manifest as the second entry', 'P2P_BUNDLE_INVALID', 'no-manifest', (tar) =>
    Buffer.concat([entryBytes({ path: 'a', content: 'evil' }), tar]),
  ),
  changedTar('an end without its second block', 'P2P_BUNDLE_DAMAGED', 'truncated', (tar) => tar.subarray(0, -512)),
  changedTar('no end', 'P2P_BUNDLE_DAMAGED', 'truncated', (tar) => tar.subarray(0, -1_024)),
  changedTar('an end in the middle of a file', 'P2P_BUNDLE_DAMAGED', 'truncated', (tar) => tar.subarray(0, -1_300)),
  changedTar('a file behind the last one', 'P2P_BUNDLE_ENTRY_FORBIDDEN', 'parent-path', (tar) =>
    Buffer.concat([
      tar.subarray(0, -1_024),
      entryBytes({ path: 'x', header: header({ path: '../escape.js' }) }),
      new Uint8Array(1_024),
    ]),
  ),
  changedTar('a second archive behind the end', 'P2P_BUNDLE_INVALID', 'after-end', (tar) => Buffer.concat([tar, tar])),
  changedTar('zeros behind the end', 'P2P_BUNDLE_INVALID', 'after-end', (tar) =>
    Buffer.concat([tar, new Uint8Array(9_216)]),
  ),
  changedTar('100 MiB of zeros behind the end', 'P2P_BUNDLE_INVALID', 'after-end', (tar) =>
    Buffer.concat([tar, new Uint8Array(100 * 1_024 * 1_024)]),
  ),
  changedTar('something in the padding', 'P2P_BUNDLE_INVALID', 'padding', (tar) => {
    tar[tar.byteLength - 1_024 - 1] = 1
    return tar
  }),
  changedTar('an empty archive', 'P2P_BUNDLE_INVALID', 'no-manifest', () => Buffer.alloc(1_024)),
  {
    name: 'the archive of a usual tar program',
    code: 'P2P_BUNDLE_INVALID',
    reason: 'missing-entry',
    bytes: () => usualTar([{ name: 'main.js', text: 'evil' }]),
  },

  changedBundle('nothing', 'P2P_BUNDLE_DAMAGED', 'truncated', () => Buffer.alloc(0)),
  changedBundle('half of it', 'P2P_BUNDLE_DAMAGED', 'truncated', (bundle) => bundle.subarray(0, bundle.byteLength / 2)),
  changedBundle('all but the last byte', 'P2P_BUNDLE_DAMAGED', 'truncated', (bundle) => bundle.subarray(0, -1)),
  changedBundle('no gzip', 'P2P_BUNDLE_DAMAGED', 'not-gzip', () => tarOf(honest())),
  changedBundle('a wrong checksum of gzip', 'P2P_BUNDLE_DAMAGED', 'not-gzip', (bundle) => {
    bundle[bundle.byteLength - 5] = (bundle[bundle.byteLength - 5] as number) ^ 1
    return bundle
  }),
  changedBundle('garbage behind the end', 'P2P_BUNDLE_DAMAGED', 'not-gzip', (bundle) =>
    Buffer.concat([bundle, Buffer.from('garbage')]),
  ),
  changedBundle('zeros behind the gzip stream', 'P2P_BUNDLE_DAMAGED', 'trailing-garbage', (bundle) =>
    Buffer.concat([bundle, Buffer.alloc(64)]),
  ),
  changedBundle('a megabyte of zeros behind the gzip stream', 'P2P_BUNDLE_DAMAGED', 'trailing-garbage', (bundle) =>
    Buffer.concat([bundle, Buffer.alloc(1_024 * 1_024)]),
  ),
  changedBundle('a second gzip stream', 'P2P_BUNDLE_INVALID', 'after-end', (bundle) =>
    Buffer.concat([bundle, gzipSync('evil')]),
  ),
  changedBundle('a gzip bomb in place of a manifest', 'P2P_BUNDLE_INVALID', 'no-manifest', () =>
    gzipSync(Buffer.alloc(64 * 1_024 * 1_024)),
  ),
]

test('there are more than 60 kinds of hostile archive, all different', () => {
  assert.ok(HOSTILE.length >= 60)
  assert.equal(new Set(HOSTILE.map(({ name }) => name)).size, HOSTILE.length)
})

for (const { name, code, reason, bytes } of HOSTILE) {
  test(`refused, and nothing is left of it: ${name}`, async (t) => {
    const top = await temporary(t)
    const directory = join(top, 'state', 'unpacked')
    await mkdir(directory, { recursive: true })
    await writeFolder(top, { canary: 'untouched', 'state/vault': 'untouched' })
    const before = await treeOf(top)
    const folders = await foldersIn(directory)
    const bundle = await bytes()
    await assert.rejects(folders.unpack(signed(bundle), chunksOf(bundle), new AbortController().signal), (error) => {
      assert.ok(error instanceof DeployError, String(error))
      assert.deepEqual([error.code, error.details['reason']], [code, reason], error.message)
      // A sentence for people, safe to print.
      assert.match(error.message, /^(The bundle|")[\p{L}\p{M}\p{N}\p{P}\p{S} ]+\.$/u)
      assert.ok(error.message.length < 800, error.message)
      return true
    })
    assert.deepEqual(await treeOf(top), before)
    assert.deepEqual(folders.list(), [])
  })
}

test('the same archive without what is hostile in it is taken', async (t) => {
  const directory = await temporary(t)
  const folders = await foldersIn(directory)
  const bundle = bundleOf(honest([{ path: 'bin/tool', content: '#!/bin/sh\n', isExecutable: true }]))
  const { folder, manifest } = await folders.unpack(signed(bundle), chunksOf(bundle, 7), new AbortController().signal)
  assert.equal(folder, join(directory, sha256(bundle)))
  assert.equal(manifest.service, 'greeter')
  const tree = await treeOf(folder)
  assert.equal(tree['bin/tool'], '#!/bin/sh\n')
  assert.deepEqual(Object.keys(tree), ['bin/', 'bin/tool', 'lib/', 'lib/greeting.js', 'main.js', 'p2p-bundle.json'])
})
