import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import type { Command } from 'commander'
import { createProgram } from '../../../src/cli/program.ts'
import { VERSION } from '../../../src/base/version.ts'
import { fakeUser } from './fake-host.ts'

/** Every command as words, found in the program itself so that none is forgotten. */
async function allCommands(): Promise<string[][]> {
  const host = { argv: [] } as unknown as Parameters<typeof createProgram>[0]
  const program = await createProgram(host, () => {})
  const pathsOf = (command: Command, path: string[]): string[][] => [
    path,
    ...command.commands.flatMap((child) => pathsOf(child, [...path, child.name()])),
  ]
  return program.commands.flatMap((command) => pathsOf(command, [command.name()]))
}

/** Options without which a command does not look at the others. */
function required([first, second]: string[]): string[] {
  if (first !== 'storage' || second === undefined) return []
  return ['--config', 'x.yaml', ...(second === 'repair' ? ['--to-seq', '1'] : [])]
}

test('every command has help on the output, with exit code 0', async (t) => {
  const user = fakeUser(t)
  const commands = await allCommands()
  assert.ok(commands.length > 25, 'the commands were not found')
  for (const words of [[], ...commands]) {
    if (words[0] === 'help') continue
    const { code, output, talk } = await user.run(...words, '--help')
    assert.equal(code, 0, words.join(' '))
    assert.match(output, new RegExp(`^Usage: p2p ${words.join(' ')}`), words.join(' '))
    assert.equal(talk, '', words.join(' '))
  }
})

test('every command refuses an unknown option with exit code 2 before it does anything', async (t) => {
  const user = fakeUser(t)
  for (const words of await allCommands()) {
    if (words[0] === 'help') continue
    const { code, output, talk } = await user.run(...words, ...required(words), '--surely-unknown')
    assert.equal(code, 2, words.join(' '))
    assert.equal(output, '', words.join(' '))
    assert.match(talk, /unknown option '--surely-unknown'[\s\S]*--help/, words.join(' '))
  }
})

test('the help names every group and shows examples', async (t) => {
  const { output } = await fakeUser(t).run('--help')
  for (const heading of ['Run a node:', 'Use a cluster:', 'This machine:', 'Examples:', 'Exit codes:']) {
    assert.ok(output.includes(heading), heading)
  }
  assert.match(output, /--use-plot-auth/)
  assert.match((await fakeUser(t).run('help', 'token', 'create')).output, /Usage: p2p token/)
})

test('--version is the version', async (t) => {
  assert.deepEqual(await fakeUser(t).run('--version'), { code: 0, output: `${VERSION}\n`, talk: '' })
})

test('a mistyped command or option is answered with the one that was meant', async (t) => {
  const user = fakeUser(t)
  const cases: [argv: string[], meant: RegExp][] = [
    [['nods', '--output', 'json'], /unknown command 'nods'\n\(Did you mean nodes\?\)/],
    [['nodes', 'pendin'], /unknown command 'pendin'\n\(Did you mean pending\?\)\nRun "p2p nodes --help"/],
    [['--cofnig', 'x'], /Did you mean --config\?/],
    [['nodes', '--outptu', 'json'], /Did you mean --output\?/],
    [['qqqqq'], /^error: unknown command 'qqqqq'\nRun/],
  ]
  for (const [argv, meant] of cases) {
    const { code, talk } = await user.run(...argv)
    assert.equal(code, 2)
    assert.match(talk, meant)
  }
})

test('a wrong choice, number or count of words is a usage error', async (t) => {
  const user = fakeUser(t)
  for (const argv of [
    ['nodes', '--output', 'xml'],
    ['token', 'create', '--uses', '0'],
    ['token', 'create', '--uses', 'many'],
    ['token', 'create', '--role', 'admin'],
    ['nodes', 'approve'],
    ['nodes', 'approve', 'a', 'b'],
    ['config', 'check'],
    ['storage', 'verify'],
    ['storage', 'repair', '--config', 'x.yaml'],
    ['--password-fd', 'x', '--config', 'x.yaml'],
    ['call'],
    ['config'],
    [],
  ]) {
    const { code, output, talk } = await user.run(...argv)
    assert.equal(code, 2, argv.join(' '))
    assert.equal(output, '', argv.join(' '))
    assert.notEqual(talk, '', argv.join(' '))
  }
})

test('options that run a node do not go with a command', async (t) => {
  const { code, talk } = await fakeUser(t).run('--config', 'a.yaml', '-v', 'nodes')
  assert.equal(code, 2)
  assert.match(talk, /--config, --verbose stands before "nodes"/)
})

test('docs/cli.md names every command', async () => {
  const page = readFileSync(resolve(import.meta.dirname, '../../../docs/cli.md'), 'utf8')
  for (const words of await allCommands()) {
    const isGroup = ['token', 'acme', 'ca', 'config', 'plot', 'secrets', 'storage', 'help'].includes(words.join(' '))
    if (!isGroup) assert.match(page, new RegExp(`\`p2p ${words.join(' ')}[ \`]`), words.join(' '))
  }
})
