import type { Files } from '../../base/files.ts'

/** A file's bytes as they go out. */
export interface PackedFile {
  /** Of the copy that was chosen; absent for the plain one. */
  encoding?: 'br' | 'gzip'
  body: Uint8Array
}

/** Smallest first. The build writes both beside each file. */
const ENCODINGS = [
  { encoding: 'br', suffix: '.br' },
  { encoding: 'gzip', suffix: '.gz' },
] as const

/**
 * Reads a file in the smallest form that lies there and the browser takes; undefined where there is none.
 * @param accepted the request's Accept-Encoding
 */
export async function readPacked(
  files: Pick<Files, 'readFile'>,
  path: string,
  accepted: string,
): Promise<PackedFile | undefined> {
  for (const { encoding, suffix } of ENCODINGS) {
    if (!acceptsEncoding(accepted, encoding)) continue
    const body = await readIfThere(files, path + suffix)
    if (body) return { encoding, body }
  }
  const body = await readIfThere(files, path)
  return body && { body }
}

/** RFC 9110 section 12.5.3, as far as browsers use it: named, and not with weight 0. */
function acceptsEncoding(accepted: string, encoding: string): boolean {
  return accepted.split(',').some((entry) => {
    const [name = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
    return name === encoding && !parameters.some((parameter) => /^q=0(?:\.0*)?$/.test(parameter))
  })
}

async function readIfThere(files: Pick<Files, 'readFile'>, path: string): Promise<Uint8Array | undefined> {
  try {
    return await files.readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
