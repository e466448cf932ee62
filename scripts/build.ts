/*
 * Builds what runs and ships: dist/*.js (the program as a few bundles: 80 modules by type stripping cost 0.4 s and
 * 40 MB at every start), dist/services/<ours>/main.js, dist/assets (API pages), dist/dashboard and dist/types.
 * Never touches dist/services/plot, nor services it did not put there.
 */
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { isBuiltin } from 'node:module'
import { join, resolve } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { build, type BuildOptions, type Plugin } from 'esbuild'
import { build as buildPage } from 'vite'
import { ASSET_SOURCES, asServed } from '../src/service/http/docs-assets.ts'

const root = resolve(import.meta.dirname, '..')
const dist = join(root, 'dist')

/** Has a program of its own, or native code: installed beside ours. */
const EXTERNAL = ['esbuild', 'lz4-napi']

/** What Fastify loads for schemas that are not Zod's, and for its own tests: left out, 400 kB that nothing would run. */
const UNUSED = ['@fastify/ajv-compiler', '@fastify/fast-json-stringify-compiler', 'light-my-request']

/** CommonJS packages inside an ES module bundle still call require() for node: modules. */
const REQUIRE_BANNER = `import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);`

const asExternalSdk: Plugin = {
  name: 'service-sdk-stays-external',
  setup(pluginBuild) {
    pluginBuild.onResolve({ filter: /^p2p-core\/service$/ }, () => ({ path: 'p2p-core/service', external: true }))
  },
}

/**
 * `import` makes Node read every export of its module, also those that are made when first read: of `node:http` the whole
 * implementation of fetch and WebSocket (11 MB of resident memory nobody uses), of `node:tls` the texts of all well-known
 * authorities, of `node:process` the three standard streams. `require` does not.
 */
const byRequire: Plugin = {
  name: 'by-require',
  setup(pluginBuild) {
    pluginBuild.onResolve({ filter: /^(node:)?(http|tls|process)$/ }, ({ path, kind }) => {
      const name = path.startsWith('node:') ? path : `node:${path}`
      return kind === 'require-call' ? { path: name, external: true } : { path: name, namespace: 'by-require' }
    })
    pluginBuild.onLoad({ filter: /.*/, namespace: 'by-require' }, ({ path }) => ({
      contents: `module.exports = require('${path}')`,
    }))
  },
}

/** Zod brings its messages in fifty languages; the program speaks one. Half of its code is the others. */
const englishOnly: Plugin = {
  name: 'zod-english-only',
  setup(pluginBuild) {
    pluginBuild.onLoad({ filter: /zod[\\/]v4[\\/]locales[\\/]index\.js$/ }, () => ({
      contents: 'export { default as en } from "./en.js"',
    }))
  },
}

/**
 * Of a CommonJS package that is loaded by `import()` esbuild leaves nothing but `default` once it splits the program. Node
 * gives the package's names too, and that is what the sources are written for: so they are given here, each by name.
 */
const namesOfPackages: Plugin = {
  name: 'names-of-packages',
  setup(pluginBuild) {
    pluginBuild.onResolve({ filter: /^[^./]/ }, ({ path, kind, importer, resolveDir }) => {
      const isOurs = importer.startsWith(join(root, 'src'))
      if (kind !== 'dynamic-import' || !isOurs || isBuiltin(path) || EXTERNAL.includes(path)) return undefined
      return { path, namespace: 'by-name', pluginData: resolveDir }
    })
    pluginBuild.onLoad({ filter: /.*/, namespace: 'by-name' }, async ({ path, pluginData }) => {
      const names = Object.keys(await import(path)).filter((name) => /^[\w$]+$/.test(name))
      return { contents: `export { ${names.join(', ')} } from ${JSON.stringify(path)}`, resolveDir: pluginData }
    })
  },
}

const PROGRAM = {
  outdir: dist,
  bundle: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  conditions: ['source'],
  external: [...EXTERNAL, ...UNUSED],
  plugins: [byRequire, englishOnly, namesOfPackages],
  banner: { js: REQUIRE_BANNER },
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
  write: false,
} as const satisfies BuildOptions

/** All of it, or nothing: what was built before stays until this is complete, for those who run it meanwhile. */
async function buildProgram(): Promise<void> {
  const outputs = await Promise.all([
    build({
      entryPoints: {
        p2p: join(root, 'bin/p2p.ts'),
        index: join(root, 'src/index.ts'),
        service: join(root, 'src/service/sdk/index.ts'),
        decorators: join(root, 'src/service/decorators.ts'),
        testing: join(root, 'src/testing/index.ts'),
        'log-store-thread': join(root, 'src/telemetry/logs/thread/main.ts'),
      },
      chunkNames: 'chunks/[name]-[hash]',
      splitting: true,
      ...PROGRAM,
    }),
    // One file of its own: shared chunks hold more than it uses, and every process of a service would load that.
    build({ entryPoints: { 'service-host': join(root, 'bin/service-host.ts') }, ...PROGRAM }),
  ])
  const chunks = join(dist, 'chunks')
  mkdirSync(chunks, { recursive: true })
  const written = new Set<string>()
  for (const { path, contents } of outputs.flatMap(({ outputFiles }) => outputFiles)) {
    const fresh = `${path}.${process.pid}`
    writeFileSync(fresh, contents)
    renameSync(fresh, path)
    written.add(path)
  }
  for (const name of readdirSync(chunks)) {
    if (!written.has(join(chunks, name))) rmSync(join(chunks, name))
  }
}

async function buildServices(): Promise<void> {
  for (const entry of readdirSync(join(root, 'services'), { withFileTypes: true })) {
    if (!entry.isDirectory()) continue
    const source = join(root, 'services', entry.name)
    const target = join(dist, 'services', entry.name)
    await build({
      entryPoints: [join(source, 'main.ts')],
      outfile: join(target, 'main.js'),
      bundle: true,
      format: 'esm',
      platform: 'node',
      target: 'node24',
      tsconfigRaw: '{}',
      plugins: [asExternalSdk, byRequire],
      banner: { js: REQUIRE_BANNER },
      sourcemap: 'inline',
      sourcesContent: false,
      logLevel: 'warning',
    })
    const manifest = join(source, 'manifest.json')
    if (existsSync(manifest)) copyFileSync(manifest, join(target, 'manifest.json'))
  }
}

/** The API pages are served from our own origin: their scripts come from packages, copied here. */
function copyAssets(): void {
  const assets = join(dist, 'assets')
  mkdirSync(assets, { recursive: true })
  for (const [name, source] of Object.entries(ASSET_SOURCES)) {
    const content = readFileSync(join(root, 'node_modules', source))
    writeFileSync(join(assets, name), asServed(name as keyof typeof ASSET_SOURCES, content))
    writePacked(join(assets, name))
  }
}

/** The packed forms of a file, beside it: nothing is packed while a node runs. */
function writePacked(path: string): void {
  const content = readFileSync(path)
  // The best brotli takes seconds for a library of megabytes, and gains a tenth.
  const quality = content.length > 1_000_000 ? 9 : constants.BROTLI_MAX_QUALITY
  const text = { [constants.BROTLI_PARAM_MODE]: constants.BROTLI_MODE_TEXT, [constants.BROTLI_PARAM_QUALITY]: quality }
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params: text }))
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }))
}

/** The dashboard. */
async function buildDashboard(): Promise<void> {
  const directory = join(dist, 'dashboard')
  const fresh = `${directory}.${process.pid}`
  await buildPage({
    configFile: join(root, 'dashboard/vite.config.ts'),
    logLevel: 'warn',
    build: { outDir: fresh, emptyOutDir: true },
  })
  for (const entry of readdirSync(fresh, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    writePacked(join(entry.parentPath, entry.name))
  }
  rmSync(directory, { recursive: true, force: true })
  renameSync(fresh, directory)
}

function emitTypes(): void {
  const tsc = join(root, 'node_modules', '.bin', process.platform === 'win32' ? 'tsc.cmd' : 'tsc')
  const result = spawnSync(tsc, ['--noCheck', '-p', join(root, 'tsconfig.types.json')], {
    stdio: 'inherit',
    shell: process.platform === 'win32',
  })
  if (result.status !== 0) throw new Error('emitting dist/types failed')
}

await buildProgram()
await buildServices()
copyAssets()
await buildDashboard()
emitTypes()
