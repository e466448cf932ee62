import { realpathSync } from 'node:fs'
import { type ModuleHooks, registerHooks } from 'node:module'
import { sep } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Location } from 'esbuild'
import { messageOf } from '../../base/errors.ts'

/** What a service's sources import; the running program answers to it, whatever is installed beside the service. */
const SDK_SPECIFIER = 'p2p-core/service'

/** Loads the modules of services, translating what Node cannot run itself. */
export interface ModuleLoader {
  /**
   * Loads `main`, and from now on translates what lies in its folder. Each load of the same folder makes its modules anew; the
   * earlier ones stay in memory as long as the process.
   * @throws what the module throws
   */
  load(main: string, folder: string): Promise<Record<string, unknown>>
  close(): void
}

export interface ModuleLoaderOptions {
  /** Module that `p2p-core/service` stands for inside services. */
  sdkUrl: string
  /** The source of a module as Node can run it; undefined when Node can run the file as it is. Gets a `file:` URL. */
  translate(url: string): string | undefined
}

/** Files outside the folders of services are never touched. */
export function createModuleLoader(options: ModuleLoaderOptions): ModuleLoader {
  return new HookedModuleLoader(options)
}

class HookedModuleLoader implements ModuleLoader {
  readonly #options: ModuleLoaderOptions
  /** Folders as URLs, with the number of their last load. */
  readonly #folders = new Map<string, number>()
  #hooks: ModuleHooks | undefined

  constructor(options: ModuleLoaderOptions) {
    this.#options = options
  }

  async load(main: string, folder: string): Promise<Record<string, unknown>> {
    // Node resolves links before it names a module.
    const folderUrl = `${pathToFileURL(realpathSync(folder)).href}/`
    const load = (this.#folders.get(folderUrl) ?? 0) + 1
    this.#folders.set(folderUrl, load)
    this.#hooks ??= registerHooks({
      resolve: (specifier, context, next) => {
        const isInside = this.#folderOf(context.parentURL) !== undefined
        if (isInside && specifier === SDK_SPECIFIER) return { url: this.#options.sdkUrl, shortCircuit: true }
        const resolved = next(specifier, context)
        return isInside ? { ...resolved, url: this.#ofThisLoad(resolved.url) } : resolved
      },
      load: (url, context, next) => {
        const source = this.#folderOf(url) === undefined ? undefined : this.#options.translate(url)
        return source === undefined ? next(url, context) : { format: 'module', source, shortCircuit: true }
      },
    })
    return (await import(this.#ofThisLoad(pathToFileURL(realpathSync(main)).href))) as Record<string, unknown>
  }

  close(): void {
    this.#hooks?.deregister()
    this.#hooks = undefined
    this.#folders.clear()
  }

  /** Modules are known by their URL: another one makes a module anew. */
  #ofThisLoad(url: string): string {
    const folder = this.#folderOf(url)
    const load = folder === undefined ? 1 : (this.#folders.get(folder) ?? 1)
    if (load === 1) return url
    const marked = new URL(url)
    marked.searchParams.set('load', String(load))
    return marked.href
  }

  #folderOf(url: string | undefined): string | undefined {
    if (!url?.startsWith('file:') || url.includes('/node_modules/')) return undefined
    for (const folder of this.#folders.keys()) if (url.startsWith(folder)) return folder
    return undefined
  }
}

/** `main.ts:12:5` of the first place in `folder` that the error names, for people. */
export function placeOf(error: unknown, folder: string): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const fromBuild = builderSays(error)?.location
  if (fromBuild) return `${relativeTo(folder, fromBuild.file)}:${fromBuild.line}:${fromBuild.column + 1}`
  const real = realpathSync(folder)
  for (const line of String((error as Error).stack).split('\n')) {
    const match = /(file:\/\/\S+?|\/[^\s()]+?|[A-Za-z]:\\[^\s()]+?):(\d+)(?::(\d+))?\)?$/.exec(line.trim())
    if (!match) continue
    const named = match[1] as string
    const path = named.startsWith('file:') ? fileURLToPath(named.replace(/\?.*/, '')) : named.replace(/\?.*/, '')
    if (path.startsWith(real + sep)) return `${relativeTo(real, path)}:${match[2]}${match[3] ? `:${match[3]}` : ''}`
  }
  return undefined
}

/** The sentence of an error with its place in the service's own files, where it has one. */
export function messageWithPlace(error: unknown, folder: string | undefined): string {
  // The builder's own message repeats the place, with the path on this machine.
  const message = builderSays(error)?.text ?? messageOf(error)
  const place = folder === undefined ? undefined : placeOf(error, folder)
  return place === undefined ? message : `${message} (${place})`
}

/** The first of the mistakes that esbuild found. */
function builderSays(error: unknown): { text?: string; location?: Location | null } | undefined {
  return (error as { errors?: readonly { text?: string; location?: Location | null }[] } | undefined)?.errors?.[0]
}

function relativeTo(folder: string, path: string): string {
  return path.startsWith(folder + sep) ? path.slice(folder.length + 1) : path
}
