/* npm run check: types, lint and format, all of them even when one fails. */
import { spawnSync } from 'node:child_process'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const bin = (name: string): string =>
  join(root, 'node_modules', '.bin', process.platform === 'win32' ? `${name}.cmd` : name)

const CHECKS: [label: string, command: string, args: string[]][] = [
  ['types', bin('tsc'), ['-p', root]],
  ['types of the dashboard', bin('tsc'), ['-p', join(root, 'dashboard')]],
  ['lint', bin('oxlint'), ['--type-aware', '--quiet']],
  ['format', bin('biome'), ['format', '--colors=off', '.']],
]

let failed = 0
for (const [label, command, args] of CHECKS) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', shell: process.platform === 'win32' })
  console.error(`${result.status === 0 ? 'ok  ' : 'FAIL'} ${label}`)
  if (result.status !== 0) failed++
}
process.exit(failed === 0 ? 0 : 1)
