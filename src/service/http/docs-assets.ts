import { createRequire } from 'node:module'
import { join } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import { type DocsFile, OWN_FILES } from './docs-pages.ts'
import { type PackedFile, readPacked } from './packed-file.ts'

/** Where each foreign file comes from; the build copies them, a clone without a build reads them here. */
export const ASSET_SOURCES = {
  'swagger-ui.css': 'swagger-ui-dist/swagger-ui.css',
  'swagger-ui-bundle.js': 'swagger-ui-dist/swagger-ui-bundle.js',
  'redoc.standalone.js': 'redoc/bundles/redoc.standalone.js',
} as const

type AssetName = keyof typeof ASSET_SOURCES

export interface Asset extends Omit<PackedFile, 'body'> {
  contentType: string
  body: Uint8Array | string
}

/**
 * @param accepted the request's Accept-Encoding
 * @throws {RpcError} P2P_HTTP_NOT_FOUND: neither the build nor a development install has the file
 */
export async function readAsset(
  file: DocsFile,
  { files, assetsDirectory }: { files: Pick<Files, 'readFile'>; assetsDirectory: string },
  accepted = '',
): Promise<Asset> {
  const contentType = file.endsWith('.css') ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8'
  if (file in OWN_FILES) return { contentType, body: OWN_FILES[file as keyof typeof OWN_FILES] }
  const name = file as AssetName
  const built = await readPacked(files, join(assetsDirectory, name), accepted)
  if (built) return { contentType, ...built }
  const source = developmentPath(name)
  const installed = source === undefined ? undefined : await readPacked(files, source, '')
  if (installed) return { contentType, body: asServed(name, installed.body) }
  throw new RpcError('P2P_HTTP_NOT_FOUND', `${name} is missing in ${assetsDirectory}; "npm run build" puts it there`)
}

/**
 * A foreign file as it is served: ReDoc shows its maker's logo from its maker's server; the page's policy would block it, with an
 * error in the console.
 */
export function asServed(name: AssetName, content: Uint8Array): Uint8Array {
  if (name !== 'redoc.standalone.js') return content
  return Buffer.from(
    Buffer.from(content).toString('utf8').replaceAll('https://cdn.redoc.ly/redoc/logo-mini.svg', 'data:,'),
  )
}

function developmentPath(name: AssetName): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(ASSET_SOURCES[name])
  } catch {
    return undefined
  }
}
