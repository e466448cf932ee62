import { existsSync, readFileSync, realpathSync } from 'node:fs'
import { dirname, join } from 'node:path'
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

/** The program of a service's own process or thread. */
export function serviceHostProgram(): { entry: string; nodeArgs: string[]; readable: string[] } {
  if (!isSource)
    return { entry: fileURLToPath(new URL('service-host.js', dist)), nodeArgs: [], readable: [fileURLToPath(dist)] }
  const root = new URL('../../', here)
  return {
    entry: fileURLToPath(new URL('bin/service-host.ts', root)),
    nodeArgs: ['--conditions=source'],
    readable: ['bin', 'src', 'node_modules', 'package.json'].map((name) => fileURLToPath(new URL(name, root))),
  }
}

/** Entry of the threads of a coordinator's log store. */
export function logStoreThreadUrl(): URL {
  return isSource ? new URL('../telemetry/logs/thread/main.ts', here) : new URL('log-store-thread.js', dist)
}

/** Folder of the API pages' scripts and styles. */
export function assetsDirectory(): string {
  return fileURLToPath(new URL('assets/', dist))
}

/** The folder of the program that runs: of its package.json, dist and bin. */
export function programFolder(): string {
  return dirname(fileURLToPath(new URL('package.json', isSource ? new URL('../../', here) : new URL('../', dist))))
}

/** What begins this program and, in its place, one that an upgrade brought: of the installed one, whichever runs. */
export function launcherPath(): string {
  return isSource ? join(programFolder(), 'bin', 'p2p.cjs') : (process.argv[1] as string)
}

/** A package that the running program finds, where Node would look for it; undefined where there is none. */
export function installedPackage(name: string): { folder: string; version: string } | undefined {
  for (let at = programFolder(); ; at = dirname(at)) {
    const folder = join(at, 'node_modules', name)
    if (existsSync(join(folder, 'package.json'))) {
      const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }
      return { folder: realpathSync(folder), version }
    }
    if (at === dirname(at)) return undefined
  }
}
