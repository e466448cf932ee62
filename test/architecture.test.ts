import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '..')

/** Who may import whom (ARCHITECTURE.md): a layer and what it may use besides itself. */
const MAY_IMPORT: Record<string, readonly string[]> = {
  base: [],
  platform: ['base'],
  config: ['base'],
  pki: ['base'],
  storage: ['base'],
  transport: ['base'],
  cache: ['base'],
  audit: ['base'],
  network: ['base', 'transport'],
  service: ['base', 'transport', 'network', 'cache'],
  builtin: ['base', 'service', 'deploy', 'telemetry'],
  deploy: ['base', 'service'],
  telemetry: ['base', 'service'],
  context: [
    'base',
    'platform',
    'config',
    'pki',
    'storage',
    'transport',
    'cache',
    'audit',
    'network',
    'service',
    'deploy',
    'telemetry',
    'builtin',
  ],
  cli: ['base', 'config', 'service', 'deploy', 'context'],
  testing: [
    'base',
    'platform',
    'config',
    'pki',
    'storage',
    'transport',
    'cache',
    'audit',
    'network',
    'service',
    'deploy',
    'telemetry',
    'builtin',
    'context',
  ],
}

/**
 * Files that others may import. What a service's process needs has a border of its own, so that it loads nothing else; and what
 * only a coordinator or a node with DNS needs, so that the others do not load it.
 */
const BORDERS = new Set(['index.ts', 'sdk/index.ts', 'host/index.ts', 'coordinator/index.ts', 'dns/index.ts'])

/** Folders that hold state machines only: no I/O, no clock, no chance, no waiting. */
const PURE = [
  'base',
  'deploy/plan',
  'network/swim',
  'pki/acme',
  'service/jsonrpc',
  'service/supervision',
  'storage/vault',
]
/** What computes and does nothing else; of `node:zlib` that is `crc32`, and its other functions wait. */
const PURE_MODULES = new Set(['node:crypto', 'node:buffer', 'node:zlib'])
/** `new Date(ms)` computes; without an argument it reads the clock. */
const IMPURE_WORDS =
  /\b(Date\.now\b|new Date(?!\(\w)|(?:setTimeout|setInterval|setImmediate|Math\.random|console|process|await)\b)/

function sources(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join(folder, name).split(sep).join('/'))
}

function importsOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^'"]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g,
  )
  return [...found].map((match) => (match[1] ?? match[2] ?? match[3]) as string)
}

function withoutComments(text: string): string {
  return text
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '')
    .replace(/'[^'\n]*'|`[^`]*`/g, "''")
}

test('a layer imports only the layers below it, and only through their index.ts', () => {
  const wrong: string[] = []
  for (const file of sources('src')) {
    const [, layer] = file.split('/')
    const allowed = MAY_IMPORT[layer as string]
    if (!allowed) {
      if (file !== 'src/index.ts') wrong.push(`${file}: the layer ${layer} is not in the table`)
      continue
    }
    for (const specifier of importsOf(file).filter((name) => name.startsWith('.'))) {
      const target = relative(root, resolve(root, dirname(file), specifier))
        .split(sep)
        .join('/')
      const [, other, ...rest] = target.split('/')
      if (other === layer) continue
      if (!allowed.includes(other as string)) wrong.push(`${file} imports ${target}: ${layer} may not use ${other}`)
      else if (other !== 'base' && !BORDERS.has(rest.join('/')))
        wrong.push(`${file} imports ${target}: use src/${other}/index.ts`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('pure folders do no I/O, read no clock and wait for nothing', () => {
  const wrong: string[] = []
  for (const folder of PURE) {
    for (const file of sources(join('src', folder))) {
      // base/time.ts holds the waiting helper of the Clock interface itself; base/control-store.ts reads a store.
      for (const specifier of importsOf(file)) {
        if (specifier.startsWith('node:') && !PURE_MODULES.has(specifier)) wrong.push(`${file} imports ${specifier}`)
      }
      if (file === 'src/base/control-store.ts') continue
      const word = IMPURE_WORDS.exec(withoutComments(readFileSync(join(root, file), 'utf8')))
      if (word) wrong.push(`${file} uses ${word[1]}`)
    }
  }
  assert.deepEqual(wrong, [])
})

test('an index.ts re-exports and holds no code', () => {
  for (const file of sources('src').filter((name) => name.endsWith('/index.ts') && name !== 'src/index.ts')) {
    const code = withoutComments(readFileSync(join(root, file), 'utf8'))
    assert.doesNotMatch(code, /\b(function|class|const|let|var)\b/, file)
  }
})

test('no source imports the testing layer, and services use only the public border', () => {
  for (const file of sources('src').filter((name) => !name.startsWith('src/testing/'))) {
    for (const specifier of importsOf(file)) assert.doesNotMatch(specifier, /\/testing\//, file)
  }
  for (const file of sources('services')) {
    for (const specifier of importsOf(file)) {
      const isAllowed = specifier === 'p2p-core/service' || specifier.startsWith('node:') || specifier.startsWith('./')
      assert.ok(
        isAllowed,
        `${file} imports ${specifier}: a service uses p2p-core/service, node: modules and its own files`,
      )
    }
  }
})
