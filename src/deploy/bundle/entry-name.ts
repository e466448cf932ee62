import { bundleError } from './bundle-error.ts'
import { BUNDLE_LIMITS } from './bundle-limits.ts'
import { splitTarPath } from './tar-header.ts'

/** Why a name is not allowed in a bundle: `reason` names the kind, `sentence` follows the name. */
export interface NameFault {
  reason: string
  sentence: string
}

/** What Windows keeps for devices, whatever extension follows; any of its file systems would open the device. */
const RESERVED = /^(con|prn|aux|nul|conin\$|conout\$|clock\$|com[0-9¹²³]|lpt[0-9¹²³])(\.|$)/i
/** Characters that Windows refuses, or gives a meaning: drive letters, streams, wildcards, its own separator. */
const SPECIAL = /[<>:"|?*\\]/
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u

/**
 * Whether a file of this path can be kept, as the same file, below a folder on every system: relative, in one normal form, and
 * with no name that any file system reads differently.
 */
export function nameFault(path: string): NameFault | undefined {
  return formFault(path) ?? path.split('/').map(partFault).find(Boolean) ?? sizeFault(path)
}

function formFault(path: string): NameFault | undefined {
  if (path === '') return fault('empty-name', 'is no name')
  if (path.includes('\0')) return fault('nul-character', 'holds a NUL character')
  if (/^[A-Za-z]:/.test(path))
    return fault('drive-letter', 'begins with a drive letter; names are relative to the folder')
  if (path.startsWith('//') || path.startsWith('\\\\')) return fault('network-path', 'is a network path')
  if (path.startsWith('/')) return fault('absolute-path', 'is an absolute path; names are relative to the folder')
  if (path.includes('\uFFFD')) return fault('not-unicode', 'is not valid UTF-8; rename it')
  if (INVISIBLE.test(path)) return fault('control-character', 'holds a control or invisible character')
  if (path.includes('\\')) return fault('backslash', 'holds a backslash; folders are parted by "/"')
  if (path.normalize('NFC') !== path) return fault('unicode-form', 'is not in Unicode normal form C; rename it')
  return undefined
}

function partFault(part: string): NameFault | undefined {
  if (part === '') return fault('empty-part', 'has an empty name between two "/" or at its end')
  if (part === '..') return fault('parent-path', 'leads out of the folder by ".."')
  if (part === '.') return fault('dot-path', 'has a "." between its names')
  if (SPECIAL.test(part)) return fault('special-character', 'holds one of < > : " | ? *, which Windows cannot keep')
  if (/[. ]$/.test(part)) return fault('trailing-dot', 'has a name that ends with a dot or space, which Windows drops')
  if (RESERVED.test(part)) return fault('reserved-name', 'has a name that Windows keeps for a device')
  return undefined
}

function sizeFault(path: string): NameFault | undefined {
  if (path.split('/').length > BUNDLE_LIMITS.depthMax) {
    return fault('too-deep', `is more than ${BUNDLE_LIMITS.depthMax} folders deep`)
  }
  if (Buffer.byteLength(path) > BUNDLE_LIMITS.pathBytesMax || !splitTarPath(path)) {
    return fault('name-too-long', `is longer than ${BUNDLE_LIMITS.pathBytesMax} bytes, or one of its names than 100`)
  }
  return undefined
}

function fault(reason: string, sentence: string): NameFault {
  return { reason, sentence }
}

/**
 * Checks the names of all files together: each allowed, and no two that a file system could take for one another (upper and
 * lower case, look-alike forms of Unicode, a file that another one needs as a folder).
 * @param paths in ascending order of their code units
 * @throws {DeployError} P2P_BUNDLE_ENTRY_FORBIDDEN
 */
export function checkNames(paths: readonly string[]): void {
  const spelled = new Map<string, string>()
  const files = new Set<string>()
  const check = (path: string): void => {
    const folded = fold(path)
    const other = spelled.get(folded)
    if (other !== undefined && other !== path) {
      throw forbidden(
        path,
        'ambiguous-name',
        `and ${JSON.stringify(other)} are one name on some systems; rename one of them.`,
      )
    }
    spelled.set(folded, path)
  }
  for (const path of paths) {
    const found = nameFault(path)
    if (found) throw forbidden(path, found.reason, `${found.sentence}. Do not use this bundle.`)
    for (const folder of foldersOf(path)) check(folder)
    check(path)
    if (files.has(path)) throw forbidden(path, 'duplicate-entry', 'is there twice.')
    files.add(path)
  }
  for (const path of paths) {
    const folder = foldersOf(path).find((each) => files.has(each))
    if (folder !== undefined)
      throw forbidden(folder, 'file-and-folder', 'is a file, and other files need it as a folder.')
  }
}

/** `a`, `a/b` of `a/b/c`. */
export function foldersOf(path: string): string[] {
  const parts = path.split('/')
  return parts.slice(1).map((_, index) => parts.slice(0, index + 1).join('/'))
}

/** Equal for names that any file system could take for one another. Larger classes than any real one has: better one refusal too many. */
function fold(path: string): string {
  return path.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC')
}

function forbidden(path: string, reason: string, sentence: string): Error {
  return bundleError('P2P_BUNDLE_ENTRY_FORBIDDEN', reason, path, sentence)
}
