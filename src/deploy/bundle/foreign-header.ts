import { bundleError } from './bundle-error.ts'
import type { BundleFile, BundleManifest } from './bundle-manifest.ts'
import { nameFault } from './entry-name.ts'
import { TAR_BLOCK_BYTES, tarChecksum } from './tar-header.ts'

/** Kinds of entries other than files, by their type flag (POSIX pax, GNU tar), and why they are not taken. */
const KINDS: Readonly<Record<string, readonly [reason: string, sentence: string]>> = {
  '1': ['hard-link', 'is a hard link'],
  '2': ['symbolic-link', 'is a symbolic link'],
  '3': ['character-device', 'is a character device'],
  '4': ['block-device', 'is a block device'],
  '5': ['directory', 'is a directory; folders follow from the files in them'],
  '6': ['fifo', 'is a named pipe'],
  '7': ['contiguous-file', 'is a contiguous file'],
  g: ['pax-global-header', 'is a header for all that follows'],
  x: ['pax-header', 'is an extended header, which could change name and size of what follows'],
  X: ['pax-header', 'is an extended header, which could change name and size of what follows'],
  D: ['gnu-directory', 'is a GNU directory listing'],
  K: ['gnu-long-link', 'is a GNU long link name, which replaces that of what follows'],
  L: ['gnu-long-name', 'is a GNU long name, which replaces that of what follows'],
  M: ['gnu-volume-part', 'continues a file of another archive'],
  N: ['gnu-long-name', 'is an old GNU long name, which replaces that of what follows'],
  S: ['sparse-file', 'is a sparse file'],
  V: ['gnu-volume-name', 'is a GNU volume name'],
}

/**
 * Says what a header is that is not the expected one. It is refused in any case: this reads it only to tell people why.
 * @param expected the file whose turn it is; undefined: none, the archive should end here
 */
export function foreignHeader(header: Uint8Array, expected: BundleFile | undefined, manifest: BundleManifest): Error {
  const invalid = (reason: string, entry: string | undefined, sentence: string): Error =>
    bundleError('P2P_BUNDLE_INVALID', reason, entry, `${sentence} Pack the service again.`)
  if (header.every((byte) => byte === 0))
    return invalid('missing-entry', expected?.path, 'is not there: the archive ends before it.')
  const fields = headerFields(header)
  if (fields.checksum !== tarChecksum(header)) {
    const sentence = 'should be here, and what is here is no header. Fetch or pack it again.'
    return bundleError('P2P_BUNDLE_DAMAGED', 'header-checksum', expected?.path, sentence)
  }
  const { path, type } = fields
  const kind = KINDS[type]
  if (kind) return bundleError('P2P_BUNDLE_ENTRY_FORBIDDEN', kind[0], path, `${kind[1]}. Do not use this bundle.`)
  if (type !== '0') return invalid('unknown-type', path, `is of the unknown type ${type.charCodeAt(0)}.`)
  const fault = nameFault(path)
  if (fault)
    return bundleError('P2P_BUNDLE_ENTRY_FORBIDDEN', fault.reason, path, `${fault.sentence}. Do not use this bundle.`)
  if (path !== expected?.path) return misplaced(path, expected, manifest, invalid)
  if (fields.sizeBytes !== expected.sizeBytes) {
    return invalid('size-mismatch', path, `has another size than the ${expected.sizeBytes} bytes of the manifest.`)
  }
  if (fields.mode !== (expected.isExecutable ? 0o755 : 0o644)) {
    return invalid('mode', path, `has the mode ${fields.mode.toString(8)}: files have 644, executable ones 755.`)
  }
  return invalid(
    'header-form',
    path,
    'has a header that packing would not write: an owner, a time, another form of a number.',
  )
}

function misplaced(
  path: string,
  expected: BundleFile | undefined,
  manifest: BundleManifest,
  invalid: (reason: string, entry: string, sentence: string) => Error,
): Error {
  const isListed = manifest.files.some((file) => file.path === path)
  if (!isListed) return invalid('not-in-manifest', path, 'is not in the manifest.')
  if (!expected || path < expected.path) return invalid('duplicate-entry', path, 'is there twice.')
  return invalid('missing-entry', expected.path, `is not there: ${JSON.stringify(path)} follows in its place.`)
}

function headerFields(header: Uint8Array): {
  path: string
  type: string
  mode: number
  sizeBytes: number
  checksum: number
} {
  const block = Buffer.from(header.buffer, header.byteOffset, TAR_BLOCK_BYTES)
  const text = (from: number, length: number): string => {
    const field = block.subarray(from, from + length)
    const end = field.indexOf(0)
    return field.subarray(0, end < 0 ? length : end).toString('utf8')
  }
  const number = (from: number, length: number): number => Number.parseInt(text(from, length).trim(), 8)
  const prefix = text(345, 155)
  const name = text(0, 100)
  const flag = block[156] ?? 0
  return {
    path: prefix === '' ? name : `${prefix}/${name}`,
    type: flag === 0 ? '0' : String.fromCharCode(flag),
    mode: number(100, 8),
    sizeBytes: number(124, 12),
    checksum: number(148, 8),
  }
}
