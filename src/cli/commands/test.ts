import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { resolve } from 'node:path'
import { requireFolder } from '../deploy/service-folder.ts'
import { linkProgram } from '../develop/link-program.ts'
import type { CliHost } from '../host.ts'

/** What ends without an exit code was ended by a signal. */
const ENDED_BY_SIGNAL = 1

/** `p2p test [DIR]`: runs the tests of a service's folder with Node's own runner. @returns its exit code */
export async function test(host: CliHost, directory: string | undefined, flags: { watch?: boolean }): Promise<number> {
  const shown = directory ?? '.'
  requireFolder(host, shown)
  const folder = resolve(host.workingDirectory, shown)
  linkProgram(folder)
  // Inside a test the runner would take itself for one of its files.
  const { NODE_TEST_CONTEXT: _inherited, ...env } = host.environment
  const args = [
    // In a clone without a build the program runs from its sources, and so does what the tests import of it.
    ...process.execArgv.filter((argument) => argument === '--conditions=source'),
    '--import',
    'p2p-core/decorators',
    '--test',
    ...(flags.watch === true ? ['--watch'] : []),
  ]
  const child = spawn(process.execPath, args, { cwd: folder, env, stdio: 'inherit' })
  // A Ctrl-C reaches the tests too: they end first.
  const interruption = host.interruption()
  try {
    const [code] = (await once(child, 'exit')) as [number | null]
    return code ?? ENDED_BY_SIGNAL
  } finally {
    interruption.dispose()
  }
}
