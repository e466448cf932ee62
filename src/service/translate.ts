import { readFileSync } from 'node:fs'
import { createRequire, setSourceMapsSupport } from 'node:module'
import { fileURLToPath } from 'node:url'
import type * as Esbuild from 'esbuild'

const TYPESCRIPT = /\.m?ts$/
const JAVASCRIPT = /\.m?js$/
/** A decorator at the beginning of a line, which no engine runs yet. Lines of a documentation comment begin with `*`. */
const DECORATOR = /^[ \t]*@[A-Za-z_$]/m

let esbuild: typeof Esbuild | undefined

/**
 * The source of a module as Node can run it: types taken out, standard decorators put into plain code. esbuild is
 * loaded when the first file needs it.
 * @param url `file:` URL of the module
 * @returns undefined when Node can run the file as it is
 * @throws an error of esbuild, whose `errors` name the place
 */
export function translatedSource(url: string): string | undefined {
  const { pathname } = new URL(url)
  const isTypeScript = TYPESCRIPT.test(pathname)
  if (!isTypeScript && !JAVASCRIPT.test(pathname)) return undefined
  const path = fileURLToPath(new URL(pathname, 'file:'))
  const source = readFileSync(path, 'utf8')
  if (!isTypeScript && !DECORATOR.test(source)) return undefined
  return translate(source, path, isTypeScript)
}

/**
 * For a file that Node could not parse without saying where.
 * @throws an error of esbuild, whose `errors` name the place
 */
export function checkSyntax(path: string): void {
  translate(readFileSync(path, 'utf8'), path, TYPESCRIPT.test(path))
}

function translate(source: string, path: string, isTypeScript: boolean): string {
  if (!esbuild) {
    esbuild = createRequire(import.meta.url)('esbuild') as typeof Esbuild
    setSourceMapsSupport(true, { nodeModules: false, generatedCode: false })
  }
  return esbuild.transformSync(source, {
    loader: isTypeScript ? 'ts' : 'js',
    format: 'esm',
    target: 'node24',
    sourcefile: path,
    sourcemap: 'inline',
    // Whatever tsconfig lies around, decorators are the standard ones.
    tsconfigRaw: '{}',
  }).code
}
