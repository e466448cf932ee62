import { createHash, type Hash } from 'node:crypto'
import type { ArtifactDigest } from '../../base/deployment.ts'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'
import { BUNDLE_MANIFEST_NAME, type BundleFile, type BundleManifest, decodeBundleManifest } from './bundle-manifest.ts'
import { ByteReader } from './byte-reader.ts'
import { foreignHeader } from './foreign-header.ts'
import { inflate } from './inflate.ts'
import { TAR_BLOCK_BYTES, tarHeader } from './tar-header.ts'

export interface ReadBundleOptions {
  /** SHA-256 that the bytes must have. */
  digest: ArtifactDigest
  /** How many they are. */
  sizeBytes: number
  signal: AbortSignal
  /** Before the first file. `bytes` are those of the first entry. */
  onManifest?: (manifest: BundleManifest, bytes: Uint8Array) => Promise<void>
  /** Reads a file's content to its end. Whether that is what the manifest says is checked afterwards. */
  onFile?: (file: BundleFile, content: AsyncIterable<Uint8Array>) => Promise<void>
}

/** Two zero blocks end an archive. */
const END_BYTES = 2 * TAR_BLOCK_BYTES

/**
 * Reads and checks a whole bundle. There is one way to write a bundle: after the manifest every byte but the files' contents
 * is known beforehand, and whatever is different is refused. Nothing in an archive is interpreted, so nothing in it can mean
 * something else to another reader.
 * @throws {DeployError} P2P_BUNDLE_INVALID, P2P_BUNDLE_DAMAGED, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN with
 *   `details.reason` and `details.entry`; P2P_ARTIFACT_DIGEST_MISMATCH; what the source or a callback throws
 */
export async function readBundle(
  source: AsyncIterable<Uint8Array>,
  options: ReadBundleOptions,
): Promise<BundleManifest> {
  const reader = new ByteReader(inflate(source, options.digest, options.signal))
  try {
    const { manifest, bytes } = await takeManifest(reader)
    checkRatio(manifest, options.sizeBytes)
    await options.onManifest?.(manifest, bytes)
    for (const file of manifest.files) await takeFile(reader, file, manifest, options.onFile ?? readThrough)
    await takeEnd(reader, manifest)
    return manifest
  } finally {
    await reader.close()
  }
}

/**
 * Reads only what a bundle says of itself. That its files are as it says is not known by that.
 * @throws {DeployError} as {@link readBundle}
 */
export async function readBundleManifest(
  source: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<BundleManifest> {
  const reader = new ByteReader(inflate(source, undefined, signal))
  try {
    return (await takeManifest(reader)).manifest
  } finally {
    await reader.close()
  }
}

/** @throws {DeployError} P2P_BUNDLE_TOO_LARGE: the files have more bytes than anything but a bomb is compressed from */
export function checkRatio(manifest: BundleManifest, bundleBytes: number): void {
  const { ratioFreeBytes, ratioMax } = BUNDLE_LIMITS
  const totalBytes = manifest.files.reduce((sum, file) => sum + file.sizeBytes, 0)
  if (totalBytes <= ratioFreeBytes + ratioMax * bundleBytes) return
  const sentence = `unpacks to ${totalBytes} bytes, more than ${ratioMax} times its size. Leave out files that only repeat themselves.`
  throw bundleError('P2P_BUNDLE_TOO_LARGE', 'bomb', undefined, sentence)
}

async function takeManifest(reader: ByteReader): Promise<{ manifest: BundleManifest; bytes: Uint8Array }> {
  const header = await reader.take(TAR_BLOCK_BYTES, undefined)
  const sizeBytes = Number.parseInt(Buffer.from(header.subarray(124, 135)).toString('latin1'), 8)
  if (!(sizeBytes >= 0) || !isEqual(header, tarHeader(BUNDLE_MANIFEST_NAME, sizeBytes, false))) {
    throw bundleError('P2P_BUNDLE_INVALID', 'no-manifest', undefined, `does not begin with ${BUNDLE_MANIFEST_NAME}.`)
  }
  if (sizeBytes > BUNDLE_LIMITS.manifestBytesMax) {
    throw bundleError(
      'P2P_BUNDLE_TOO_LARGE',
      'manifest-too-large',
      BUNDLE_MANIFEST_NAME,
      `has ${sizeBytes} bytes; ${BUNDLE_LIMITS.manifestBytesMax} are allowed. Deploy fewer files.`,
    )
  }
  const bytes = await reader.take(sizeBytes, BUNDLE_MANIFEST_NAME)
  await takePadding(reader, sizeBytes, BUNDLE_MANIFEST_NAME)
  return { manifest: decodeBundleManifest(bytes), bytes }
}

async function takeFile(
  reader: ByteReader,
  file: BundleFile,
  manifest: BundleManifest,
  onFile: (file: BundleFile, content: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  const header = await reader.take(TAR_BLOCK_BYTES, file.path)
  if (!isEqual(header, tarHeader(file.path, file.sizeBytes, file.isExecutable))) {
    throw foreignHeader(header, file, manifest)
  }
  const hash = createHash('sha256')
  await onFile(file, hashed(reader.stream(file.sizeBytes, file.path), hash))
  if (hash.digest('hex') !== file.sha256) {
    const sentence = 'does not have the content that the manifest says. Fetch or pack it again.'
    throw bundleError('P2P_BUNDLE_DAMAGED', 'content-mismatch', file.path, sentence)
  }
  await takePadding(reader, file.sizeBytes, file.path)
}

async function* hashed(content: AsyncIterable<Uint8Array>, hash: Hash): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of content) {
    hash.update(part)
    yield part
  }
}

async function readThrough(_file: BundleFile, content: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const _part of content) continue
}

/** Up to the next block: zeros, as everything that has no meaning. */
async function takePadding(reader: ByteReader, sizeBytes: number, entry: string): Promise<void> {
  const padding = await reader.take(-sizeBytes & (TAR_BLOCK_BYTES - 1), entry)
  if (!isZero(padding)) {
    throw bundleError('P2P_BUNDLE_INVALID', 'padding', entry, 'is followed by bytes that packing would not write.')
  }
}

async function takeEnd(reader: ByteReader, manifest: BundleManifest): Promise<void> {
  const block = await reader.take(TAR_BLOCK_BYTES, undefined)
  if (!isZero(block)) throw foreignHeader(block, undefined, manifest)
  const second = await reader.take(END_BYTES - TAR_BLOCK_BYTES, undefined)
  if (!isZero(second) || !(await reader.isAtEnd())) {
    throw bundleError(
      'P2P_BUNDLE_INVALID',
      'after-end',
      undefined,
      'has something behind its end. Pack the service again.',
    )
  }
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

function isEqual(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0
}
