import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/*
 * Where the program's own files are. The same module runs from src/context/ in tests and from dist/ or dist/chunks/
 * when built, so places are found by what lies beside it.
 */

const here = new URL('.', import.meta.url)
const isSource = existsSync(new URL('../service/sdk/index.ts', here))
const dist = isSource
  ? new URL('../../dist/', here)
  : existsSync(new URL('service.js', here))
    ? here
    : new URL('../', here)

/** URL of the module that `p2p-core/service` stands for inside services. */
export function sdkUrl(): string {
  return (isSource ? new URL('../service/sdk/index.ts', here) : new URL('service.js', dist)).href
}

/** Folder of the API pages' scripts and styles. */
export function assetsDirectory(): string {
  return fileURLToPath(new URL('assets/', dist))
}
