import { utf8 } from '../../base/bytes.ts'

/** Size of a tar header, and the unit that contents are padded to. */
export const TAR_BLOCK_BYTES = 512

const NAME_BYTES_MAX = 100
const PREFIX_BYTES_MAX = 155

/**
 * The header of a regular file (POSIX.1-1988, "ustar"): owner 0, time 0, mode 755 or 644. A file of a bundle has this header
 * and no other, so reading compares it instead of interpreting it.
 */
export function tarHeader(path: string, sizeBytes: number, isExecutable: boolean): Uint8Array {
  const block = new Uint8Array(TAR_BLOCK_BYTES)
  const put = (offset: number, text: string): void => block.set(utf8(text), offset)
  const { prefix, name } = splitTarPath(path) ?? { prefix: '', name: '' }
  put(0, name)
  put(100, octal(isExecutable ? 0o755 : 0o644, 6))
  put(108, octal(0, 6))
  put(116, octal(0, 6))
  put(124, octal(sizeBytes, 11))
  put(136, octal(0, 11))
  put(156, '0')
  put(257, 'ustar\u000000')
  put(329, octal(0, 6))
  put(337, octal(0, 6))
  put(345, prefix)
  put(148, octal(tarChecksum(block), 6))
  return block
}

/** Sum of a header's bytes, its own field counted as spaces. */
export function tarChecksum(block: Uint8Array): number {
  return block.reduce((sum, byte, index) => sum + (index >= 148 && index < 156 ? 0x20 : byte), 0)
}

/** A path as the two fields of a header; undefined when it does not fit them. */
export function splitTarPath(path: string): { prefix: string; name: string } | undefined {
  let name = path
  let prefix = ''
  while (Buffer.byteLength(name) > NAME_BYTES_MAX) {
    const slash = name.indexOf('/')
    if (slash < 0) return undefined
    prefix += (prefix === '' ? '' : '/') + name.slice(0, slash)
    name = name.slice(slash + 1)
  }
  return Buffer.byteLength(prefix) > PREFIX_BYTES_MAX ? undefined : { prefix, name }
}

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')} `
}
