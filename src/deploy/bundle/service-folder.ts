import { constants } from 'node:fs'
import { lstat, open, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { platform } from 'node:process'
import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'
import { BUNDLE_MANIFEST_NAME } from './bundle-manifest.ts'
import { nameFault } from './entry-name.ts'

/** A file on its way into a bundle. */
export interface PackedFile {
  path: string
  sizeBytes: number
  isExecutable: boolean
  /** Its content from the beginning; may be asked for more than once. */
  content(): AsyncIterable<Uint8Array>
}

/** Always taken: what tells how the rest is to be read. */
const ALWAYS = ['manifest.json', 'package.json']
/** Left out wherever they are, unless `files` names them. Names that begin with a dot are, too: they hold editors' and git's state, and secrets. */
const LEFT_OUT = new Set(['node_modules', 'test', 'tests', '__tests__', '__pycache__', 'coverage'])
const TEST_FILE = /\.(test|spec)\.[^.]+$/

const READ_BYTES = 64 * 1_024
const FILES_LISTED_MAX = 1_024

/**
 * The files of a service's folder that belong into its bundle, in ascending order of their paths.
 *
 * With `files` (of manifest.json): the files and folders it names, `manifest.json` and `package.json`. Without: everything.
 * In both cases what nobody runs is left out: `node_modules`, `test`, `tests`, `__tests__`, `__pycache__`, `coverage`, names that
 * begin with a dot, and `*.test.*`, `*.spec.*`; unless `files` names it.
 * @throws {DeployError} P2P_BUNDLE_FOLDER_INVALID, P2P_BUNDLE_TOO_LARGE, P2P_BUNDLE_ENTRY_FORBIDDEN
 */
export async function selectFiles(folder: string, listed: unknown): Promise<PackedFile[]> {
  const roots = listed === undefined ? undefined : checkedRoots(listed)
  const found = new Map<string, PackedFile>()
  if (roots === undefined) await addFolder(folder, '', found)
  for (const root of roots ?? []) await addPath(folder, root, found)
  if (roots !== undefined) {
    for (const name of ALWAYS) if (await isThere(join(folder, name))) await addPath(folder, name, found)
  }
  return [...found.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function checkedRoots(listed: unknown): string[] {
  const isList = Array.isArray(listed) && listed.every((item) => typeof item === 'string')
  if (!isList || listed.length > FILES_LISTED_MAX) {
    throw refused('files-list', 'manifest.json', 'must have a list of paths as "files", or none.')
  }
  return listed.map((item: string) => {
    const path = item.replace(/^\.\//, '').replace(/\/$/, '')
    const fault = nameFault(path)
    if (fault)
      throw refused('files-list', 'manifest.json', `names ${JSON.stringify(item)} in "files", which ${fault.sentence}.`)
    return path
  })
}

async function isThere(path: string): Promise<boolean> {
  return (await lstat(path).catch(() => undefined)) !== undefined
}

async function addFolder(folder: string, path: string, found: Map<string, PackedFile>): Promise<void> {
  const names = await readdir(join(folder, path))
  for (const name of names.sort()) {
    if (!isLeftOut(name)) await addPath(folder, path === '' ? name : `${path}/${name}`, found)
  }
}

function isLeftOut(name: string): boolean {
  return name.startsWith('.') || LEFT_OUT.has(name) || TEST_FILE.test(name) || name === BUNDLE_MANIFEST_NAME
}

async function addPath(folder: string, path: string, found: Map<string, PackedFile>): Promise<void> {
  const fault = nameFault(path)
  if (fault)
    throw refused(fault.reason, path, `${fault.sentence}. Rename it, or leave it out by "files" in manifest.json.`)
  const absolute = join(folder, path)
  const facts = await lstat(absolute).catch(() => undefined)
  if (!facts)
    throw refused('missing-file', path, 'is not there: it was named in "files" of manifest.json, or just removed.')
  if (facts.isDirectory()) return addFolder(folder, path, found)
  if (facts.isSymbolicLink()) {
    throw refused(
      'symbolic-link',
      path,
      'is a symbolic link. Put the file itself in its place, or leave it out by "files" in manifest.json.',
    )
  }
  if (!facts.isFile()) {
    throw refused('special-file', path, 'is no regular file. Remove it, or leave it out by "files" in manifest.json.')
  }
  if (facts.size > BUNDLE_LIMITS.fileBytesMax)
    throw tooLarge('file-too-large', path, `has ${facts.size} bytes; ${BUNDLE_LIMITS.fileBytesMax} are allowed.`)
  if (found.size >= BUNDLE_LIMITS.fileCountMax && !found.has(path)) {
    throw tooLarge('too-many-files', path, `is one file more than the ${BUNDLE_LIMITS.fileCountMax} a bundle may have.`)
  }
  found.set(path, {
    path,
    sizeBytes: facts.size,
    isExecutable: platform !== 'win32' && (facts.mode & 0o111) !== 0,
    content: () => readPlainFile(absolute, path, facts.size),
  })
}

/** The file as it was found: no link that has taken its place, not longer, not shorter. */
async function* readPlainFile(
  absolute: string,
  path: string,
  sizeBytes: number,
): AsyncGenerator<Uint8Array, void, undefined> {
  const handle = await open(absolute, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0)).catch((error: unknown) => {
    throw changed(path, error)
  })
  try {
    let offset = 0
    for (;;) {
      const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafe(READ_BYTES), 0, READ_BYTES, offset)
      if (offset + bytesRead > sizeBytes) throw changed(path)
      if (bytesRead === 0) break
      offset += bytesRead
      yield buffer.subarray(0, bytesRead)
    }
    if (offset < sizeBytes) throw changed(path)
  } finally {
    await handle.close()
  }
}

/** @param cause why it could not be opened, or undefined */
export function changed(path: string, cause?: unknown): Error {
  const sentence = 'cannot be read, or was changed while it was packed. Check that you may read it, and deploy again.'
  return bundleError(
    'P2P_BUNDLE_FOLDER_INVALID',
    'changed',
    path,
    sentence,
    cause === undefined ? undefined : { cause },
  )
}

function refused(reason: string, path: string, sentence: string): Error {
  return bundleError('P2P_BUNDLE_FOLDER_INVALID', reason, path, sentence)
}

function tooLarge(reason: string, path: string, sentence: string): Error {
  return bundleError(
    'P2P_BUNDLE_TOO_LARGE',
    reason,
    path,
    `${sentence} Leave out what the service does not need: "files" in manifest.json.`,
  )
}
