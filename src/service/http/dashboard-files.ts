import { dirname, join } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import { type PackedFile, readPacked } from './packed-file.ts'

/** A file of the page as it goes out. */
export interface DashboardFile extends PackedFile {
  contentType: string
}

/** Names as the build gives them: no folder, no dot in front, a kind of file that the page is made of. */
export const DASHBOARD_FILE_NAME = /^[\w-]+(?:\.[\w-]+)*\.(?:js|css|svg)$/

const CONTENT_TYPES: Record<string, string> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
}

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
  const file = await readPacked(files, join(directory, path), accepted)
  if (file) return { contentType, ...file }
  throw new RpcError(
    'P2P_HTTP_NOT_FOUND',
    `The dashboard's ${path} is not in this build; "npm run build" puts it there`,
  )
}
