import { createReadStream } from 'node:fs'
import { basename } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { valid } from 'semver'
import { DeployError, messageOf } from '../../base/errors.ts'
import { bundleError } from '../bundle/bundle-error.ts'
import { BUNDLE_LIMITS } from '../bundle/bundle-limits.ts'
import { checkNames } from '../bundle/entry-name.ts'
import { generated, type PackedBundle, packFiles } from '../bundle/pack-bundle.ts'
import type { PackedFile } from '../bundle/service-folder.ts'
import { PROGRAM_NAME } from './upgrade.ts'

/** Of all files together: they are held in memory, and the program has a tenth of it. */
const PROGRAM_BYTES_MAX = 128 * 1_024 * 1_024
/** Every entry of a tarball that npm packs is below this folder. */
const ROOT = 'package/'
/** What a node needs to begin with it. */
const NEEDED = ['package.json', 'bin/p2p.cjs', 'dist/p2p.js', 'dist/service-host.js']

/**
 * Packs the program's tarball, as `npm pack` makes it, as a bundle of kind `program`. The tarball has no node_modules: what it
 * depends on is looked for on the node.
 * @param output file to write, which must not be there yet; it is removed when packing fails
 * @throws {DeployError} P2P_BUNDLE_DAMAGED: no tarball, or cut short; P2P_BUNDLE_INVALID: not this program, or not built;
 *   P2P_BUNDLE_ENTRY_FORBIDDEN; P2P_BUNDLE_TOO_LARGE
 */
export async function packProgram(tarball: string, output: string, signal: AbortSignal): Promise<PackedBundle> {
  const files = await readTarball(tarball, signal)
  checkNames(files.map(({ path }) => path))
  const { version } = await readPackage(files, basename(tarball))
  const manifest = { name: PROGRAM_NAME, version }
  return packFiles(files, { service: PROGRAM_NAME, version, kind: 'program', manifest }, output, signal)
}

async function readTarball(tarball: string, signal: AbortSignal): Promise<PackedFile[]> {
  const { extract } = await import('tar-stream')
  const unpack = extract()
  const files: PackedFile[] = []
  const read = async (): Promise<void> => {
    let totalBytes = 0
    for await (const entry of unpack) {
      const { name, type, size, mode } = entry.header
      totalBytes += size
      if (totalBytes > PROGRAM_BYTES_MAX || files.length >= BUNDLE_LIMITS.fileCountMax) {
        const sentence = `is more than the program can be: ${PROGRAM_BYTES_MAX} bytes in ${BUNDLE_LIMITS.fileCountMax} files.`
        throw bundleError('P2P_BUNDLE_TOO_LARGE', 'program-too-large', name, sentence)
      }
      if (type !== 'file' || !name.startsWith(ROOT)) {
        const sentence = `is no file below ${ROOT}, and npm packs nothing else. Do not use this tarball.`
        throw bundleError('P2P_BUNDLE_ENTRY_FORBIDDEN', 'not-packed-by-npm', name, sentence)
      }
      files.push(generated(name.slice(ROOT.length), await bytesOf(entry), (mode & 0o111) !== 0))
    }
  }
  const ends = await Promise.allSettled([
    read(),
    pipeline(createReadStream(tarball), createGunzip(), unpack, { signal }),
  ])
  const [error] = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []))
  if (error !== undefined) {
    signal.throwIfAborted()
    // What was found in it ends the stream too: the first of the two says why.
    if (error instanceof DeployError || (error instanceof Error && 'syscall' in error)) throw error
    const sentence = `is not what "npm pack" makes, or it is cut short: ${messageOf(error)}. Pack it again.`
    throw bundleError('P2P_BUNDLE_DAMAGED', 'tarball', basename(tarball), sentence, { cause: error })
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}

async function bytesOf(entry: AsyncIterable<unknown>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of entry) parts.push(part as Uint8Array)
  return Buffer.concat(parts)
}

async function readPackage(files: readonly PackedFile[], tarball: string): Promise<{ version: string }> {
  const refused = (reason: string, sentence: string): DeployError =>
    bundleError('P2P_BUNDLE_INVALID', reason, tarball, sentence)
  const file = files.find(({ path }) => path === 'package.json')
  const parts: Uint8Array[] = []
  for await (const part of file?.content() ?? []) parts.push(part)
  let about: { name?: unknown; version?: unknown } | null
  try {
    about = JSON.parse(Buffer.concat(parts).toString('utf8')) as typeof about
  } catch (error) {
    throw refused('no-package', `has no package.json that can be read: ${messageOf(error)}.`)
  }
  if (about?.name !== PROGRAM_NAME) {
    throw refused(
      'not-the-program',
      `holds ${JSON.stringify(about?.name)}, not ${PROGRAM_NAME}: services are deployed with p2p deploy.`,
    )
  }
  const { version } = about
  if (typeof version !== 'string' || valid(version) !== version) {
    throw refused('version', `has the version ${JSON.stringify(version)}, which is no semantic version.`)
  }
  const missing = NEEDED.find((path) => !files.some((each) => each.path === path))
  if (missing !== undefined) {
    throw refused('not-built', `has no ${missing}: it was packed without being built. Build first, then "npm pack".`)
  }
  return { version }
}
