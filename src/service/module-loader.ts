import { realpathSync } from 'node:fs'
import { type ModuleHooks, registerHooks } from 'node:module'
import { sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Location } from 'esbuild'
import { checkSyntax, translatedSource } from './translate.ts'

/** What a service's sources import; the running program answers to it, whatever is installed beside the service. */
const SDK_SPECIFIER = 'p2p-core/service'

/** Loads the modules of services, translating what Node cannot run itself. */
export interface ModuleLoader {
  /** Loads `main`, and from now on translates what lies in its folder. @throws what the module throws */
  load(main: string, folder: string): Promise<Record<string, unknown>>
  close(): void
}

/**
 * @param sdkUrl module that `p2p-core/service` stands for inside services
 *
 * Files outside the folders of services are never touched; esbuild is loaded when the first file needs it.
 */
export function createModuleLoader(sdkUrl: string): ModuleLoader {
  return new HookedModuleLoader(sdkUrl)
}

class HookedModuleLoader implements ModuleLoader {
  readonly #sdkUrl: string
  readonly #folders = new Set<string>()
  #hooks: ModuleHooks | undefined

  constructor(sdkUrl: string) {
    this.#sdkUrl = sdkUrl
  }

  async load(main: string, folder: string): Promise<Record<string, unknown>> {
    // Node resolves links before it names a module.
    this.#folders.add(`${pathToFileURL(realpathSync(folder)).href}/`)
    this.#hooks ??= registerHooks({
      resolve: (specifier, context, next) => {
        if (specifier !== SDK_SPECIFIER || !this.#isOurs(context.parentURL)) return next(specifier, context)
        return { url: this.#sdkUrl, shortCircuit: true }
      },
      load: (url, context, next) => {
        const source = this.#isOurs(url) ? translatedSource(url) : undefined
        return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
      },
    })
    try {
      return (await import(pathToFileURL(main).href)) as Record<string, unknown>
    } catch (error) {
      if (error instanceof SyntaxError && placeOf(error, folder) === undefined) checkSyntax(main)
      throw error
    }
  }

  close(): void {
    this.#hooks?.deregister()
    this.#hooks = undefined
    this.#folders.clear()
  }

  #isOurs(url: string | undefined): boolean {
    if (!url?.startsWith('file:') || url.includes('/node_modules/')) return false
    for (const folder of this.#folders) if (url.startsWith(folder)) return true
    return false
  }
}

/** `main.ts:12:5` of the first place in `folder` that the error names, for people. */
export function placeOf(error: unknown, folder: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const fromBuild = (error as { errors?: readonly { location?: Location | null }[] }).errors?.[0]?.location
  if (fromBuild) return `${relativeTo(folder, fromBuild.file)}:${fromBuild.line}:${fromBuild.column + 1}`
  const real = realpathSync(folder)
  for (const line of String((error as Error).stack).split('\n')) {
    const match = /(file:\/\/\S+?|\/[^\s()]+?|[A-Za-z]:\\[^\s()]+?):(\d+)(?::(\d+))?\)?$/.exec(line.trim())
    if (!match) continue
    const path = (match[1] as string).startsWith('file:') ? fileURLToPath(match[1] as string) : (match[1] as string)
    if (path.startsWith(real + sep)) return `${relativeTo(real, path)}:${match[2]}${match[3] ? `:${match[3]}` : ''}`
  }
  return undefined
}

function relativeTo(folder: string, path: string): string {
  return path.startsWith(folder + sep) ? path.slice(folder.length + 1) : path
}
