import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { TestContext } from 'node:test'
import { gzipSync } from 'node:zlib'
import type { Files } from '../../../../src/base/files.ts'
import type { NodeIdentity } from '../../../../src/base/identity.ts'
import { silentLogger } from '../../../../src/base/log.ts'
import { type BundleFolders, createBundleFolders } from '../../../../src/deploy/bundle/bundle-folders.ts'
import type { BundleManifest } from '../../../../src/deploy/bundle/bundle-manifest.ts'
import { type SignedBundle, signBundle } from '../../../../src/deploy/bundle/signed-bundle.ts'
import { tarHeader } from '../../../../src/deploy/bundle/tar-header.ts'
import { systemFiles } from '../../../../src/platform/index.ts'
import { simulatedSigner, simulatedVerifier } from '../../../../src/testing/index.ts'

export const CLUSTER = 'p2p-test'
export const COORDINATOR: NodeIdentity = { cluster: CLUSTER, role: 'coordinator', nodeId: 'coordinator-1' }

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export interface Entry {
  path: string
  content?: string | Uint8Array
  isExecutable?: boolean
  /** In place of the header that packing writes. */
  header?: Uint8Array
}

export interface Archive {
  manifest: BundleManifest | Record<string, unknown>
  entries: Entry[]
}

/** A bundle of two files, as packing writes it. */
export function honest(extra: Entry[] = []): Archive {
  const entries = [
    { path: 'lib/greeting.js', content: 'export const greeting = "hello"\n' },
    { path: 'main.js', content: 'export { greeting } from "./lib/greeting.js"\n' },
    ...extra,
  ].sort((a, b) => (a.path < b.path ? -1 : 1))
  return { manifest: manifestOf(entries), entries }
}

export function manifestOf(entries: readonly Entry[]): BundleManifest {
  return {
    format: 1,
    service: 'greeter',
    version: '1.2.3',
    kind: 'process',
    manifest: { name: 'greeter', version: '1.2.3', kind: 'process' },
    files: entries.map(({ path, content = '', isExecutable = false }) => ({
      path,
      sizeBytes: Buffer.from(content).byteLength,
      sha256: sha256(Buffer.from(content)),
      isExecutable,
    })),
  }
}

/** The tar of it, without checking anything. */
export function tarOf({ manifest, entries }: Archive, end: Uint8Array = new Uint8Array(1_024)): Buffer {
  const head = { path: 'p2p-bundle.json', content: JSON.stringify(manifest) }
  return Buffer.concat([...[head, ...entries].map(entryBytes), end])
}

export function entryBytes({ path, content = '', isExecutable = false, header }: Entry): Buffer {
  const bytes = Buffer.from(content)
  const padding = new Uint8Array(-bytes.byteLength & 511)
  return Buffer.concat([header ?? tarHeader(path, bytes.byteLength, isExecutable), bytes, padding])
}

export function bundleOf(archive: Archive): Buffer {
  return gzipSync(tarOf(archive))
}

export interface HeaderFields {
  path: string
  type?: string
  sizeBytes?: number
  mode?: number
  linkName?: string
}

/** A header with a right checksum and whatever is asked for. */
export function header({ path, type = '0', sizeBytes = 0, mode = 0o644, linkName = '' }: HeaderFields): Buffer {
  const block = Buffer.from(tarHeader('x', sizeBytes, false))
  block.fill(0, 0, 100)
  block.write(path, 0, 100)
  block.write(mode.toString(8).padStart(6, '0'), 100)
  block.write(type, 156, 'latin1')
  block.write(linkName, 157, 100)
  return resealed(block)
}

/** With the checksum that belongs to it. */
export function resealed(block: Buffer): Buffer {
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return block
}

export async function* chunksOf(bytes: Uint8Array, size = 64 * 1_024): AsyncGenerator<Uint8Array, void, undefined> {
  for (let offset = 0; offset < bytes.byteLength; offset += size) yield bytes.subarray(offset, offset + size)
}

export function signed(bytes: Uint8Array, changes: Partial<{ service: string; version: string }> = {}): SignedBundle {
  return signBundle(simulatedSigner(COORDINATOR), {
    cluster: CLUSTER,
    digest: sha256(bytes),
    sizeBytes: Math.max(1, bytes.byteLength),
    service: 'greeter',
    version: '1.2.3',
    ...changes,
  })
}

export async function temporary(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'p2p-bundle-'))
  t.after(() => rm(path, { recursive: true, force: true }))
  return path
}

/** Writes files below a folder: text by path. */
export async function writeFolder(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(join(folder, dirname(path)), { recursive: true })
    await writeFile(join(folder, path), text)
  }
}

/** What is below a folder: content by path, folders with a slash. */
export async function treeOf(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {}
  for (const path of (await readdir(folder, { recursive: true })).sort()) {
    const facts = await stat(join(folder, path))
    if (facts.isDirectory()) found[`${path}/`] = ''
    else found[path] = await readFile(join(folder, path), 'utf8')
  }
  return found
}

/** Folders of unpacked bundles, on the real disk or another. */
export async function foldersIn(directory: string, files: Files = systemFiles): Promise<BundleFolders> {
  const needs = { files, verifier: simulatedVerifier, log: silentLogger }
  const folders = createBundleFolders(needs, { directory, cluster: CLUSTER })
  await folders.start(new AbortController().signal)
  return folders
}
