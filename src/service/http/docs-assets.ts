import { createRequire } from 'node:module'
import { join } from 'node:path'
import { RpcError } from '../../base/errors.ts'
import type { Files } from '../../base/files.ts'
import { type DocsFile, OWN_FILES } from './docs-pages.ts'

/** Where each foreign file comes from; the build copies them, a clone without a build reads them here. */
export const ASSET_SOURCES = {
  'swagger-ui.css': 'swagger-ui-dist/swagger-ui.css',
  'swagger-ui-bundle.js': 'swagger-ui-dist/swagger-ui-bundle.js',
  'redoc.standalone.js': 'redoc/bundles/redoc.standalone.js',
} as const

export interface Asset {
  contentType: string
  body: Uint8Array | string
}

/** @throws {RpcError} P2P_HTTP_NOT_FOUND: neither the build nor a development install has the file */
export async function readAsset(
  file: DocsFile,
  { files, assetsDirectory }: { files: Pick<Files, 'readFile'>; assetsDirectory: string },
): Promise<Asset> {
  const contentType = file.endsWith('.css') ? 'text/css; charset=utf-8' : 'text/javascript; charset=utf-8'
  if (file in OWN_FILES) return { contentType, body: OWN_FILES[file as keyof typeof OWN_FILES] }
  const name = file as keyof typeof ASSET_SOURCES
  const body =
    (await readIfThere(files, join(assetsDirectory, name))) ?? (await readIfThere(files, developmentPath(name)))
  if (body) return { contentType, body: name === 'redoc.standalone.js' ? withoutOutsideLogo(body) : body }
  throw new RpcError('P2P_HTTP_NOT_FOUND', `${name} is missing in ${assetsDirectory}; "npm run build" puts it there`)
}

/** ReDoc shows its maker's logo from its maker's server; the page's policy would block it, with an error in the console. */
function withoutOutsideLogo(script: Uint8Array): string {
  return Buffer.from(script).toString('utf8').replaceAll('https://cdn.redoc.ly/redoc/logo-mini.svg', 'data:,')
}

async function readIfThere(files: Pick<Files, 'readFile'>, path: string | undefined): Promise<Uint8Array | undefined> {
  if (path === undefined) return undefined
  try {
    return await files.readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function developmentPath(name: keyof typeof ASSET_SOURCES): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(ASSET_SOURCES[name])
  } catch {
    return undefined
  }
}
