import { readFileSync } from 'node:fs'
import { createRequire, setSourceMapsSupport } from 'node:module'
import { fileURLToPath } from 'node:url'
import type * as Esbuild from 'esbuild'

const TYPESCRIPT = /\.m?ts$/
const JAVASCRIPT = /\.m?js$/
/** A decorator at the beginning of a line, which no engine runs yet. Lines of a documentation comment begin with `*`. */
const DECORATOR = /^[ \t]*@[A-Za-z_$]/m

let esbuild: typeof Esbuild | undefined

/** Whether Node cannot run the file as it is. */
export function needsTranslation(path: string, source: string): boolean {
  return TYPESCRIPT.test(path) || (JAVASCRIPT.test(path) && DECORATOR.test(source))
}

/** Whether a file of that name may need a translation at all. */
export function isModule(path: string): boolean {
  return TYPESCRIPT.test(path) || JAVASCRIPT.test(path)
}

/**
 * The source of a module as Node can run it: types taken out, standard decorators put into plain code. esbuild is
 * loaded when the first file needs it.
 * @param url `file:` URL of the module
 * @returns undefined when Node can run the file as it is
 * @throws an error of esbuild, whose `errors` name the place
 */
export function translatedSource(url: string): string | undefined {
  const { pathname } = new URL(url)
  if (!isModule(pathname)) return undefined
  const path = fileURLToPath(new URL(pathname, 'file:'))
  const source = readFileSync(path, 'utf8')
  if (!needsTranslation(path, source)) return undefined
  showSourceLines()
  return loadEsbuild().transformSync(source, optionsFor(path)).code
}

/**
 * The same for a file whose source is there, without stopping the event loop.
 * @throws an error of esbuild, whose `errors` name the place; also for JavaScript that cannot be parsed
 */
export async function translate(path: string, source: string): Promise<string> {
  return (await loadEsbuild().transform(source, optionsFor(path))).code
}

/** Ends the helper process of `translate`; the next call starts another. */
export async function endTranslating(): Promise<void> {
  await esbuild?.stop()
}

/** Places in stacks are those of the source, not of its translation. */
export function showSourceLines(): void {
  setSourceMapsSupport(true, { nodeModules: false, generatedCode: false })
}

/** What a parser says of a file that Node could not parse without saying where; undefined when it finds nothing wrong. */
export async function syntaxErrorOf(path: string): Promise<unknown> {
  try {
    await translate(path, readFileSync(path, 'utf8'))
    return undefined
  } catch (error) {
    return error
  }
}

function loadEsbuild(): typeof Esbuild {
  esbuild ??= createRequire(import.meta.url)('esbuild') as typeof Esbuild
  return esbuild
}

function optionsFor(path: string): Esbuild.TransformOptions {
  return {
    loader: TYPESCRIPT.test(path) ? 'ts' : 'js',
    format: 'esm',
    target: 'node24',
    sourcefile: path,
    sourcemap: 'inline',
    // Whatever tsconfig lies around, decorators are the standard ones.
    tsconfigRaw: '{}',
  }
}
