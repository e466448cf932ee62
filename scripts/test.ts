/*
 * npm test: everything that must pass. Fetches the real parts the tests need, says loudly what had to be left out,
 * then runs the static checks and all tests. With CI=true nothing may be left out.
 * Arguments are test files; without them all run.
 */
import { spawnSync } from 'node:child_process'
import { globSync } from 'node:fs'
import { resolve } from 'node:path'
import { installMissing, PARTS } from './parts.ts'

const root = resolve(import.meta.dirname, '..')
const isCi = process.env['CI'] === 'true'

const missing = PARTS.filter((part) => !part.isThere())
if (missing.length > 0) {
  console.error(`Fetching what the tests need: ${missing.map((part) => part.name).join(', ')}`)
  installMissing(missing)
}
const leftOut = missing.filter((part) => !part.isThere())
function reportLeftOut(): void {
  for (const part of leftOut) console.error(`LEFT OUT: ${part.usedBy} (${part.name} is not available here)`)
}
reportLeftOut()
if (leftOut.length > 0 && isCi) {
  console.error('CI accepts no left-outs.')
  process.exit(1)
}

function run(label: string, args: string[], env: NodeJS.ProcessEnv = process.env): void {
  console.error(`\n== ${label}`)
  const result = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit', env })
  if (result.status !== 0) {
    reportLeftOut()
    process.exit(result.status ?? 1)
  }
}

const chosen = process.argv.slice(2)
if (chosen.length === 0) run('types, lint, format', ['scripts/check.ts'])

const files = chosen.length > 0 ? chosen : globSync('test/**/*.test.ts', { cwd: root }).sort()
// A part that is missing is named to the tests; only then may those that need it be skipped.
const env = { ...process.env, P2P_TEST_LEFT_OUT: leftOut.map((part) => part.name).join(',') }
// What waits for ever would hide which test it was.
const flags = ['--conditions=source', '--test', '--test-concurrency=2', `--test-timeout=${5 * 60_000}`]
run('tests', [...flags, ...files], env)
reportLeftOut()
