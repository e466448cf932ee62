import { createRequire, setSourceMapsSupport } from 'node:module'
import type * as Esbuild from 'esbuild'

/** A decorator at the beginning of a line, which no engine runs yet. Lines of a documentation comment begin with `*`. */
const DECORATOR = /^[ \t]*@[A-Za-z_$]/m

export function hasDecorator(source: string): boolean {
  return DECORATOR.test(source)
}

let esbuild: typeof Esbuild | undefined

/**
 * A module's source as Node can run it, with types taken out and standard decorators put into plain code. esbuild is
 * loaded when the first module needs it.
 * @param path of the file, for its source map
 * @throws an error of esbuild, whose `errors` name the place
 */
export function translate(source: string, path: string): string {
  if (!esbuild) {
    esbuild = createRequire(import.meta.url)('esbuild') as typeof Esbuild
    setSourceMapsSupport(true, { nodeModules: false, generatedCode: false })
  }
  const { code } = esbuild.transformSync(source, {
    loader: /ts$/.test(path) ? 'ts' : 'js',
    format: 'esm',
    target: 'node24',
    sourcefile: path,
    sourcemap: 'inline',
    // Whatever tsconfig lies around, decorators are the standard ones.
    tsconfigRaw: '{}',
  })
  return code
}
