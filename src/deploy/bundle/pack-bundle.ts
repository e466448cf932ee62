import { createHash } from 'node:crypto'
import { open, readFile, rm } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { valid } from 'semver'
import { utf8 } from '../../base/bytes.ts'
import { messageOf } from '../../base/errors.ts'
import { type Manifest, parseManifest } from '../../service/index.ts'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'
import {
  BUNDLE_FORMAT,
  BUNDLE_MANIFEST_NAME,
  type BundleFile,
  type BundleManifest,
  type BundleMethod,
  decodeBundleManifest,
  encodeBundleManifest,
} from './bundle-manifest.ts'
import { bundlePackages, hasDependencies } from './bundle-packages.ts'
import { checkRatio } from './read-bundle.ts'
import { changed, type PackedFile, selectFiles } from './service-folder.ts'
import { TAR_BLOCK_BYTES, tarHeader } from './tar-header.ts'

export interface PackOptions {
  /** Of the service, where they are known; else the first node that runs the version tells them. */
  methods?: readonly BundleMethod[]
  signal?: AbortSignal
}

export interface PackedBundle {
  digest: ArtifactDigest
  sizeBytes: number
  manifest: BundleManifest
}

/** Compressed in one piece, byte 9 of a gzip stream tells the system that made it: 255 is "unknown" (RFC 1952 section 2.3.1). */
const GZIP_SYSTEM_OFFSET = 9
const GZIP_SYSTEM_UNKNOWN = 255

/**
 * Packs a service's folder as one bundle. Equal folders give equal bundles: no time, owner or order of creation is in them. What
 * is taken tells {@link selectFiles}; with dependencies in package.json, {@link bundlePackages}. Memory does not grow with the
 * files.
 * @param output file to write, which must not be there yet; it is removed when packing fails
 * @throws {DeployError} P2P_BUNDLE_FOLDER_INVALID, P2P_BUNDLE_DEPENDENCY, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN, naming
 *   file, limit and remedy
 */
export async function packBundle(folder: string, output: string, options: PackOptions = {}): Promise<PackedBundle> {
  const { manifest, packageJson } = await readService(resolve(folder))
  const files = await collectFiles(resolve(folder), manifest, packageJson)
  const about = {
    service: manifest.name as string,
    version: manifest.version as string,
    kind: manifest.kind as NonNullable<Manifest['kind']>,
    manifest,
    ...(options.methods && { methods: options.methods }),
  }
  return packFiles(files, about, output, options.signal)
}

/**
 * Writes files as one bundle.
 * @param files in ascending order of their paths' code units
 * @throws {DeployError} as {@link packBundle}
 */
export async function packFiles(
  files: readonly PackedFile[],
  about: Omit<BundleManifest, 'format' | 'files'>,
  output: string,
  signal: AbortSignal | undefined,
): Promise<PackedBundle> {
  const listed: BundleFile[] = []
  for (const file of files) {
    signal?.throwIfAborted()
    listed.push({
      path: file.path,
      sizeBytes: file.sizeBytes,
      sha256: await hashOf(file),
      isExecutable: file.isExecutable,
    })
  }
  const head = encodeBundleManifest({ format: BUNDLE_FORMAT, ...about, files: listed })
  const checked = checkedHead(head)
  const written = await writeBundle(output, checked, tar(head, files, listed), signal)
  return { ...written, manifest: checked }
}

/** The service's manifest as it was written, with name, version and kind filled in. */
async function readService(folder: string): Promise<{ manifest: Manifest; packageJson: Record<string, unknown> }> {
  const raw = await readJsonFile(folder, 'manifest.json')
  const packageJson = await readJsonFile(folder, 'package.json')
  const version = raw['version'] ?? packageJson['version']
  if (version === undefined) {
    throw invalid('version', 'manifest.json', 'has no "version", such as 1.0.0, nor has package.json.')
  }
  if (typeof version !== 'string' || valid(version) !== version) {
    const sentence = `has the version ${JSON.stringify(version)}: semantic versions look like 1.4.2 or 2.0.0-rc.1.`
    throw invalid('version', 'manifest.json', sentence)
  }
  const name = raw['name'] ?? basename(folder)
  const kind = raw['kind'] ?? (raw['exec'] === undefined ? 'process' : 'exec')
  const manifest = { ...raw, name, version, kind } as Manifest
  try {
    parseManifest(manifest)
  } catch (error) {
    throw invalid('service-manifest', 'manifest.json', `cannot be used: ${messageOf(error)}.`, error)
  }
  return { manifest, packageJson }
}

async function readJsonFile(folder: string, name: string): Promise<Record<string, unknown>> {
  let text: string
  try {
    text = await readFile(join(folder, name), 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {}
    throw invalid('unreadable', name, `cannot be read: ${messageOf(error)}.`, error)
  }
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  } catch (error) {
    throw invalid('json', name, `is not JSON: ${messageOf(error)}.`, error)
  }
  throw invalid('json', name, 'must be one JSON object.')
}

async function collectFiles(
  folder: string,
  manifest: Manifest,
  packageJson: Record<string, unknown>,
): Promise<PackedFile[]> {
  const files = await selectFiles(folder, manifest['files'])
  if (manifest.kind === 'exec') return files
  const main = ['main.ts', 'main.js'].find((name) => files.some(({ path }) => path === name))
  if (main === undefined) {
    throw invalid(
      'no-main',
      'main.ts',
      'is not there, nor is main.js. Programs of another kind need "exec" in manifest.json.',
    )
  }
  if (!hasDependencies(packageJson)) return files
  const { code, inputs } = await bundlePackages(folder, main)
  const made = [generated('main.js', code), generated('package.json', utf8('{"type":"module"}\n'))]
  const isReplaced = ({ path }: PackedFile): boolean => inputs.has(path) || made.some((file) => file.path === path)
  return [...files.filter((file) => !isReplaced(file)), ...made].sort((a, b) => (a.path < b.path ? -1 : 1))
}

/** A file whose content is in memory. */
export function generated(path: string, bytes: Uint8Array, isExecutable = false): PackedFile {
  return { path, sizeBytes: bytes.byteLength, isExecutable, content: () => Readable.from([bytes]) }
}

async function hashOf(file: PackedFile): Promise<string> {
  const hash = createHash('sha256')
  for await (const part of file.content()) hash.update(part)
  return hash.digest('hex')
}

/** What is packed here must be taken there: the reader's own checks, before anything is written. */
function checkedHead(head: Uint8Array): BundleManifest {
  if (head.byteLength > BUNDLE_LIMITS.manifestBytesMax) {
    throw bundleError(
      'P2P_BUNDLE_TOO_LARGE',
      'manifest-too-large',
      undefined,
      `has too many files or methods to list in ${BUNDLE_LIMITS.manifestBytesMax} bytes. Leave some out: "files" in manifest.json.`,
    )
  }
  return decodeBundleManifest(head)
}

async function* tar(
  head: Uint8Array,
  files: readonly PackedFile[],
  listed: readonly BundleFile[],
): AsyncGenerator<Uint8Array, void, undefined> {
  yield tarHeader(BUNDLE_MANIFEST_NAME, head.byteLength, false)
  yield head
  yield padding(head.byteLength)
  for (const [index, file] of files.entries()) {
    yield tarHeader(file.path, file.sizeBytes, file.isExecutable)
    const hash = createHash('sha256')
    for await (const part of file.content()) {
      hash.update(part)
      yield part
    }
    if (hash.digest('hex') !== listed[index]?.sha256) throw changed(file.path)
    yield padding(file.sizeBytes)
  }
  yield new Uint8Array(2 * TAR_BLOCK_BYTES)
}

function padding(sizeBytes: number): Uint8Array {
  return new Uint8Array(-sizeBytes & (TAR_BLOCK_BYTES - 1))
}

async function writeBundle(
  output: string,
  manifest: BundleManifest,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<{ digest: ArtifactDigest; sizeBytes: number }> {
  const handle = await open(output, 'wx', 0o600)
  const hash = createHash('sha256')
  let sizeBytes = 0
  const measure = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer, void, undefined> {
    for await (const chunk of source) {
      const at = GZIP_SYSTEM_OFFSET - sizeBytes
      if (at >= 0 && at < chunk.byteLength) chunk[at] = GZIP_SYSTEM_UNKNOWN
      sizeBytes += chunk.byteLength
      checkSize(sizeBytes)
      hash.update(chunk)
      yield chunk
    }
  }
  try {
    await pipeline(Readable.from(content), createGzip(), measure, handle.createWriteStream(), { signal })
    checkRatio(manifest, sizeBytes)
  } catch (error) {
    await handle.close()
    await rm(output, { force: true })
    throw error
  }
  return { digest: hash.digest('hex'), sizeBytes }
}

function checkSize(sizeBytes: number): void {
  if (sizeBytes <= BUNDLE_LIMITS.bundleBytesMax) return
  throw tooLarge('bundle-too-large', `has more than ${BUNDLE_LIMITS.bundleBytesMax} bytes.`)
}

function tooLarge(reason: string, sentence: string): Error {
  return bundleError(
    'P2P_BUNDLE_TOO_LARGE',
    reason,
    undefined,
    `${sentence} Leave out what the service does not need: "files" in manifest.json.`,
  )
}

function invalid(reason: string, entry: string, sentence: string, cause?: unknown): Error {
  const options = cause === undefined ? undefined : { cause }
  return bundleError('P2P_BUNDLE_FOLDER_INVALID', reason, entry, sentence, options)
}
