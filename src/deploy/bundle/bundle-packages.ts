import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type * as Esbuild from 'esbuild'
import { messageOf } from '../../base/errors.ts'
import { bundleError } from './bundle-error.ts'

/** Packages the running program answers to itself. */
const SDK_PACKAGE = 'p2p-core'

/** Longest main.js that is made. */
const MAIN_BYTES_MAX = 32 * 1_024 * 1_024

/** CommonJS packages inside an ES module still call require() for node: modules. */
const REQUIRE_BANNER = `import { createRequire as __p2pCreateRequire } from 'node:module'; const require = __p2pCreateRequire(import.meta.url);`

export interface BundledMain {
  /** `main.js`. */
  code: Uint8Array
  /** Files of the folder that are in it. */
  inputs: ReadonlySet<string>
}

/** Of package.json: does the service need packages to run? */
export function hasDependencies(packageJson: Record<string, unknown>): boolean {
  const names = [packageJson['dependencies'], packageJson['optionalDependencies']].flatMap((each) =>
    Object.keys(each ?? {}),
  )
  return names.some((name) => name !== SDK_PACKAGE)
}

/**
 * Puts a service and the packages it imports into one `main.js` that runs on every platform. Nothing of them is run, no network
 * is used: they must be installed, in the versions that package-lock.json says. Native code is refused.
 * @throws {DeployError} P2P_BUNDLE_DEPENDENCY
 */
export async function bundlePackages(folder: string, main: string): Promise<BundledMain> {
  const locked = await readLock(folder)
  const { outputFiles, metafile } = await build(folder, main)
  const code = outputFiles[0]?.contents as Uint8Array
  if (code.byteLength > MAIN_BYTES_MAX) {
    throw refused(
      'too-large',
      undefined,
      `needs packages of more than ${MAIN_BYTES_MAX} bytes. Depend on fewer or smaller ones.`,
    )
  }
  const inputs = Object.keys(metafile.inputs)
  for (const path of new Set(inputs.map(packageFolderOf))) {
    if (path !== undefined) await checkPackage(folder, path, locked)
  }
  return { code, inputs: new Set(inputs.filter((path) => packageFolderOf(path) === undefined)) }
}

async function build(folder: string, main: string): Promise<Esbuild.BuildResult<{ write: false; metafile: true }>> {
  const esbuild = createRequire(import.meta.url)('esbuild') as typeof Esbuild
  try {
    return await esbuild.build({
      absWorkingDir: folder,
      entryPoints: [main],
      outfile: 'main.js',
      write: false,
      metafile: true,
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      external: [SDK_PACKAGE],
      // Whatever tsconfig lies around, decorators are the standard ones.
      tsconfigRaw: '{}',
      banner: { js: REQUIRE_BANNER },
      // Stacks name the service's own lines; the sources themselves are not repeated.
      sourcemap: 'inline',
      sourcesContent: false,
      legalComments: 'eof',
      logLevel: 'silent',
    })
  } catch (error) {
    throw buildError(error)
  }
}

function buildError(error: unknown): Error {
  const [first] = (error as Partial<Esbuild.BuildFailure>).errors ?? []
  if (!first) return refused('build', undefined, `could not be put into one file: ${messageOf(error)}`, error)
  const place = first.location ? ` (${first.location.file}:${first.location.line})` : ''
  if (first.text.includes('".node" files')) {
    return refused(
      'native-code',
      first.location?.file,
      `needs native code${place}, which runs on one platform only. Use a package in plain JavaScript.`,
    )
  }
  const remedy = first.text.startsWith('Could not resolve')
    ? ' Run "npm ci --ignore-scripts" in its folder; add it to dependencies.'
    : ''
  return refused('build', first.location?.file, `cannot be bundled: ${first.text}${place}.${remedy}`)
}

/** `node_modules/a` of `node_modules/a/lib/x.js`, also nested and scoped; undefined for the service's own files. */
function packageFolderOf(path: string): string | undefined {
  return /^(.*\/)?node_modules\/(@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0]
}

async function checkPackage(folder: string, path: string, locked: ReadonlyMap<string, string>): Promise<void> {
  const directory = join(folder, path)
  const { version } = await readJson(join(directory, 'package.json')).catch(() => ({ version: undefined }))
  if (locked.get(path) !== version) {
    const sentence = `is installed as ${String(version)}, package-lock.json says ${locked.get(path) ?? 'nothing of it'}. Run "npm ci --ignore-scripts" in the service's folder.`
    throw refused('not-as-locked', path, sentence)
  }
  if (existsSync(join(directory, 'binding.gyp')) || existsSync(join(directory, 'prebuilds'))) {
    throw refused(
      'native-code',
      path,
      'has native code, which runs on one platform only. Use a package in plain JavaScript.',
    )
  }
}

/** Version by folder, as npm's lockfile (versions 2 and 3) has it. */
async function readLock(folder: string): Promise<Map<string, string>> {
  const path = join(folder, 'package-lock.json')
  const lock = await readJson(path).catch((error: unknown) => {
    const sentence =
      'is not there or cannot be read, and the service has dependencies. Run "npm install --ignore-scripts" in its folder.'
    throw refused('no-lockfile', 'package-lock.json', sentence, error)
  })
  const packages = Object.entries((lock['packages'] ?? {}) as Record<string, { version?: string }>)
  return new Map(packages.flatMap(([key, { version }]) => (version === undefined ? [] : [[key, version] as const])))
}

async function readJson(path: string): Promise<Record<string, unknown>> {
  return JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
}

function refused(reason: string, entry: string | undefined, sentence: string, cause?: unknown): Error {
  const options = cause === undefined ? undefined : { cause }
  return bundleError('P2P_BUNDLE_DEPENDENCY', reason, entry, sentence, options)
}
