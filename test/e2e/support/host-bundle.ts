import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { build } from 'esbuild'

const root = resolve(import.meta.dirname, '../../..')

/** The host of services as it ships, but made of the sources as they are now: as modules it would start five times slower. */
export interface HostBundle {
  entry: string
  sdkUrl: string
  directory: string
}

let made: Promise<HostBundle> | undefined

/** Made once in a process, and removed with it. */
export function hostBundle(): Promise<HostBundle> {
  made ??= makeBundle()
  return made
}

async function makeBundle(): Promise<HostBundle> {
  const directory = mkdtempSync(join(tmpdir(), 'p2p-host-'))
  process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
  await build({
    entryPoints: {
      service: join(root, 'src/service/sdk/index.ts'),
      'service-host': join(root, 'bin/service-host.ts'),
    },
    outdir: directory,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    conditions: ['source'],
    external: ['esbuild', 'lz4-napi'],
    banner: {
      js: `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);`,
    },
    logLevel: 'warning',
  })
  return {
    entry: join(directory, 'service-host.mjs'),
    sdkUrl: pathToFileURL(join(directory, 'service.mjs')).href,
    directory,
  }
}
