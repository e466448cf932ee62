import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { promisify } from 'node:util'

const run = promisify(execFile)
const PRELOAD = new URL('../../../src/service/decorators.ts', import.meta.url).href

const MARK = 'const seen = []\nconst mark = (_method, { name }) => void seen.push(name)\n'

/** Runs `main` of a folder with these files, under the preload. */
async function runWith(t: TestContext, files: Record<string, string>, main: string) {
  const folder = mkdtempSync(join(tmpdir(), 'p2p-decorators-'))
  t.after(() => rmSync(folder, { recursive: true }))
  for (const [path, text] of Object.entries({ 'package.json': '{"type":"module"}', ...files })) {
    mkdirSync(dirname(join(folder, path)), { recursive: true })
    writeFileSync(join(folder, path), text)
  }
  return run(process.execPath, ['--conditions=source', '--import', PRELOAD, join(folder, main)])
}

test('TypeScript and JavaScript with decorators run, and what they import', async (t) => {
  const files = {
    'main.ts': `import { seen } from './part.js'
class A { @((_m: unknown, _c: ClassMethodDecoratorContext) => {}) typed(): void {} }
console.log(typeof new A().typed, seen.join())`,
    'part.js': `export ${MARK}
class B {
  @mark
  marked() {}
}`,
  }
  assert.equal((await runWith(t, files, 'main.ts')).stdout, 'function marked\n')
})

test('an error names the line of the source', async (t) => {
  const files = {
    'main.ts': `${MARK.replaceAll('const', '// @ts-ignore\nconst')}
class A {
  @mark
  fails(): never { throw new Error('here') }
}
new A().fails()`,
  }
  await assert.rejects(runWith(t, files, 'main.ts'), { stderr: /main\.ts:8/ })
})

test('packages and sources without decorators are left alone', async (t) => {
  const files = {
    'node_modules/p/package.json': '{"name":"p","type":"module","main":"p.js"}',
    'node_modules/p/p.js': 'class A {\n  @no\n  x() {}\n}',
    'main.js': "import 'p'",
    'plain.ts': 'const n: number = 1\nconsole.log(n)',
  }
  await assert.rejects(runWith(t, files, 'main.js'), { stderr: /SyntaxError/ })
  assert.equal((await runWith(t, files, 'plain.ts')).stdout, '1\n')
})
