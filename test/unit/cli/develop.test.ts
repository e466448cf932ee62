import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { suite, test, type TestContext } from 'node:test'
import type { LogEntry } from '../../../src/base/log.ts'
import { codeFrame, placeIn } from '../../../src/cli/develop/code-frame.ts'
import { DevScreen } from '../../../src/cli/develop/dev-screen.ts'
import { Reloader } from '../../../src/cli/develop/reloader.ts'
import { watchFolder } from '../../../src/cli/develop/watch-folder.ts'
import type { CliHost } from '../../../src/cli/index.ts'

function temporaryFolder(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'p2p-develop-')))
  t.after(() => rmSync(folder, { recursive: true }))
  return folder
}

suite('the place of an error', () => {
  test('is the last one in the own files of the service', () => {
    const at = (text: string) => placeIn(text, '/srv/shop')
    assert.deepEqual(at('cannot begin (lib/a.ts:7:24)'), { file: join('lib', 'a.ts'), line: 7, column: 24 })
    assert.deepEqual(at('at Object.greet (file:///srv/shop/main.ts?load=2:3:5)'), {
      file: 'main.ts',
      line: 3,
      column: 5,
    })
    assert.deepEqual(at('/srv/shop/main.ts:15:17: ERROR: expected (main.ts:15:18)')?.column, 18)
    assert.deepEqual(at('(main.js:9)'), { file: 'main.js', line: 9, column: undefined })
    for (const foreign of [
      'at x (/srv/other/main.ts:1:1)',
      'at x (/srv/shop/node_modules/p/i.js:1:1)',
      'at x (node:internal/x:1:1)',
      '../main.ts:1:1',
      'no place',
    ]) {
      assert.equal(at(foreign), undefined, foreign)
    }
  })

  test('is shown with the lines around it', (t) => {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'main.ts'), 'one\ntwo\n\tthree\u001b[2J\nfour\nfive\nsix\n')
    assert.equal(
      codeFrame({ file: 'main.ts', line: 3, column: 2 }, folder),
      ['  1 | one', '  2 | two', '> 3 |  three\uFFFD[2J', '    |  ^', '  4 | four', '  5 | five'].join('\n'),
    )
    assert.equal(codeFrame({ file: 'main.ts', line: 99, column: 1 }, folder), undefined)
    assert.equal(codeFrame({ file: 'gone.ts', line: 1, column: 1 }, folder), undefined)
  })
})

suite('p2p dev shows', () => {
  function screenOf(t: TestContext) {
    const folder = temporaryFolder(t)
    writeFileSync(join(folder, 'main.ts'), 'const a = 1\nthrow new Error("x")\n')
    const said = { text: '' }
    const host = { talk: { write: (text: string) => void (said.text += text) }, environment: {} } as CliHost
    return { folder, said, screen: new DevScreen(host, folder) }
  }
  const line = (more: Partial<LogEntry>): LogEntry => ({
    timeMs: 0,
    level: 'INFO',
    logger: 'Service.shop',
    message: 'Hello',
    fields: {},
    ...more,
  })

  test("the service's lines, and of the node what is wrong", (t) => {
    const { said, screen } = screenOf(t)
    screen.line(line({ fields: { who: 'Ada' } }))
    screen.line(line({ logger: 'Gossip', message: 'Quiet' }))
    screen.line(line({ logger: 'Gossip', level: 'WARNING', message: 'Loud' }))
    assert.match(said.text, /INFO Hello who=Ada\n/)
    assert.match(said.text, /WARNING Loud\n/)
    assert.doesNotMatch(said.text, /Quiet/)
  })

  test('an error with its own frames and source lines, without those of others', (t) => {
    const { folder, said, screen } = screenOf(t)
    const stack = ['at run (node:internal/x:1:1)', `at shop (${join(folder, 'main.ts')}:2:7)`]
    screen.line(line({ level: 'ERROR', fields: { error: { name: 'Error', message: 'x', stack } } }))
    assert.match(said.text, /Error: x\n/)
    assert.match(said.text, /at shop .*main\.ts:2:7/)
    assert.match(said.text, /> 2 \| throw new Error\("x"\)\n {4}\| {7}\^\n/)
    assert.doesNotMatch(said.text, /node:internal/)
  })

  test('why a version was not taken, once, and that the one before runs on', (t) => {
    const { said, screen } = screenOf(t)
    screen.reloading()
    const failure = { instance: 'shop#2', reason: 'x (main.ts:2:7)' }
    screen.line(line({ logger: 'p2p', level: 'ERROR', message: 'not started again', fields: failure }))
    screen.line(line({ level: 'ERROR', message: 'could not be started', fields: { reason: failure.reason } }))
    screen.refused('it failed: x (main.ts:2:7)', true)
    assert.doesNotMatch(said.text, /not started again/)
    assert.equal(said.text.match(/> 2 \|/g)?.length, 1)
    assert.match(said.text, /Not reloaded: it failed: x \(main\.ts:2:7\)/)
    assert.match(said.text, /runs on/)
    screen.refused('nothing runs', false)
    assert.equal(said.text.match(/runs on/g)?.length, 1)
  })
})

suite('a reload', () => {
  test('is one for everything asked meanwhile, and never beside another', async () => {
    const runs: PromiseWithResolvers<void>[] = []
    let underWay = 0
    const begun: (() => void)[] = []
    const reloader = new Reloader(async () => {
      assert.equal(++underWay, 1)
      const run = Promise.withResolvers<void>()
      runs.push(run)
      begun.shift()?.()
      await run.promise
      underWay--
    }, 1)
    const next = (): Promise<void> => new Promise((resolve) => begun.push(resolve))
    const first = next()
    for (let i = 0; i < 5; i++) reloader.ask()
    await first
    const second = next()
    reloader.ask()
    reloader.ask()
    runs[0]?.resolve()
    await second
    runs[1]?.resolve()
    await reloader.stop()
    assert.equal(runs.length, 2)
  })

  test('that was asked for and has not begun is forgotten at the stop', async () => {
    let count = 0
    const reloader = new Reloader(async () => void count++, 60_000)
    reloader.ask()
    await reloader.stop()
    assert.equal(count, 0)
  })
})

test('a change of the own files is told, also in a folder that was not there before', async (t) => {
  const folder = temporaryFolder(t)
  for (const name of ['lib', 'node_modules', '.p2p']) mkdirSync(join(folder, name))
  const told: string[] = []
  let wake: () => void = () => {}
  const end = watchFolder(folder, (path) => {
    told.push(path)
    wake()
  })
  t.after(end)
  /** A change may be told more than once, and another one in between. */
  const change = async (name: string, act: (path: string) => void): Promise<void> => {
    const path = join(folder, name)
    const before = told.length
    act(path)
    while (!told.includes(path, before)) await new Promise<void>((resolve) => (wake = resolve))
  }
  const write = (path: string): void => writeFileSync(path, 'x')
  const unimportant = ['main.test.ts', '.swap', 'main.ts~', 'node_modules/x.js', '.p2p/vault']
  for (const name of unimportant) write(join(folder, name))
  await change('main.ts', write)
  await change('lib/a.ts', write)
  await change('fresh', (path) => mkdirSync(path))
  await change('fresh/b.ts', write)
  await change('fresh', (path) => rmSync(path, { recursive: true }))
  await change('fresh', (path) => mkdirSync(path))
  await change('fresh/c.ts', write)
  for (const name of unimportant) assert.ok(!told.includes(join(folder, name)), name)
})
