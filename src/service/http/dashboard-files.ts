import { dirname, join } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'

/** A file of the page as it goes out. */
export interface DashboardFile {
  contentType: string
  /** Of the copy that was chosen; absent for the plain one. */
  encoding?: 'br' | 'gzip'
  body: Uint8Array
}

/** Names as the build gives them: no folder, no dot in front, a kind of file that the page is made of. */
export const DASHBOARD_FILE_NAME = /^[\w-]+(?:\.[\w-]+)*\.(?:js|css|svg)$/

const CONTENT_TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Smallest first. The build writes both beside each file. */
const ENCODINGS = [
  { encoding: 'br', suffix: '.br' },
  { encoding: 'gzip', suffix: '.gz' },
] as const

/**
 * Reads a file of `dist/dashboard`, which lies beside `dist/assets`, in the smallest form that the browser takes.
 * @param path relative, checked by the caller: `index.html` or `assets/NAME`
 * @param accepted the request's Accept-Encoding
 * @throws {RpcError} P2P_HTTP_NOT_FOUND: the build has no such file
 */
export async function readDashboardFile(
  { files, assetsDirectory }: { files: Pick<Files, 'readFile'>; assetsDirectory: string },
  path: string,
  accepted = '',
): Promise<DashboardFile> {
  const directory = join(dirname(assetsDirectory.replace(/[\\/]$/, '')), 'dashboard')
  const contentType = CONTENT_TYPES[path.slice(path.lastIndexOf('.') + 1)] ?? 'application/octet-stream'
  for (const { encoding, suffix } of ENCODINGS) {
    if (!acceptsEncoding(accepted, encoding)) continue
    const body = await readIfThere(files, join(directory, path + suffix))
    if (body) return { contentType, encoding, body }
  }
  const body = await readIfThere(files, join(directory, path))
  if (body) return { contentType, body }
  throw new RpcError(
    'P2P_HTTP_NOT_FOUND',
    `The dashboard's ${path} is not in this build; "npm run build" puts it there`,
  )
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
