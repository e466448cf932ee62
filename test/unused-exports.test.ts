import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve, sep } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '..')

/** Where names may be used; `src` is where they must be. */
const FOLDERS = ['src', 'bin', 'services', 'scripts', 'test', 'bench', 'examples', 'dashboard/src']

/** What others import by the package's name (package.json, "exports"), or a program runs. */
const PUBLIC = new Set([
  'src/index.ts',
  'src/service/sdk/index.ts',
  'src/service/decorators.ts',
  'src/testing/index.ts',
])

/** Types are left out: what an exported function takes or gives may be named whether or not somebody does. */
const DECLARED = /^export (?:declare )?(?:abstract )?(?:async )?(?:function\*?|class|const|let) (\w+)/gm
const LISTED = /^export (type )?\{([^}]*)\}(?: from '([^']+)')?/gm
const IMPORTED = /\bimport (?:type )?(?:\w+, )?\{([^}]*)\} from '([^']+)'/g
const LOADED = /(?:\{([^{}]*)\} = await |)import\('(\.[^']+)'\)/g
const WHOLE = /(?:import|export) (?:type )?\* (?:as \w+ )?from '([^']+)'/g

function filesOf(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .map((name) => join(folder, name).split(sep).join('/'))
    .filter((name) => /\.tsx?$/.test(name) && !name.includes('node_modules'))
}

/** `a, type b as c` → the names before and after `as`. */
function namesIn(list: string): { name: string; as: string; isType: boolean }[] {
  return list
    .replace(/\/\/.*$/gm, '')
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
    .map((part) => {
      const [name = '', as = name] = part.replace(/^type /, '').split(/ as |: /)
      return { name, as, isType: part.startsWith('type ') }
    })
}

test('every export of the sources is used by another file', () => {
  const exported = new Map<string, Set<string>>()
  const used = new Set<string>()
  const wholly = new Set<string>()
  for (const file of FOLDERS.flatMap(filesOf)) {
    // Scripts of pages stand in the sources as texts, with exports of their own.
    const text = readFileSync(join(root, file), 'utf8').replace(/= `[^`]*`/g, '= ``')
    const targetOf = (specifier: string): string =>
      relative(root, resolve(root, dirname(file), specifier))
        .split(sep)
        .join('/')
    const own = new Set<string>()
    for (const [, name] of text.matchAll(DECLARED)) own.add(name as string)
    for (const [, types, list, from] of text.matchAll(LISTED)) {
      for (const { name, as, isType } of namesIn(list as string)) {
        if (types === undefined && !isType) own.add(as)
        if (from !== undefined) used.add(`${targetOf(from)} ${name}`)
      }
    }
    for (const [, list, from] of text.matchAll(IMPORTED)) {
      for (const { name } of namesIn(list as string)) used.add(`${targetOf(from as string)} ${name}`)
    }
    for (const [, list, from] of text.matchAll(LOADED)) {
      if (list === undefined) wholly.add(targetOf(from as string))
      else for (const { name } of namesIn(list)) used.add(`${targetOf(from as string)} ${name}`)
    }
    for (const [, from] of text.matchAll(WHOLE)) wholly.add(targetOf(from as string))
    if (file.startsWith('src/') && !PUBLIC.has(file)) exported.set(file, own)
  }
  const unused = [...exported].flatMap(([file, names]) =>
    wholly.has(file) ? [] : [...names].filter((name) => !used.has(`${file} ${name}`)).map((name) => `${file} ${name}`),
  )
  assert.deepEqual(unused, [])
})
