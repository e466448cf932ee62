import { type Command, Option } from 'commander'
import { wholeNumber } from '../options.ts'
import type { Act } from '../program.ts'

/** Commands for whoever writes a service. */
export function defineDevelopCommands(program: Command, act: Act): void {
  const develop = (name: string, description: string): Command =>
    program.command(name).description(description).helpGroup('Write a service:')

  develop('init <name>', 'Make the folder of a service that runs and is tested')
    .option('--directory <path>', 'where; by default a folder with the name of the service')
    .option('--class', 'written as a class with decorators instead of a definition')
    .addHelpText('after', '\nExamples:\n  p2p init shop\n  p2p init shop --class --directory services/shop\n')
    .action(act(async () => (await import('../commands/init.ts')).init))
  develop('test [directory]', 'Run the tests of a service, here or in a folder; nothing has to be installed')
    .option('-w, --watch', 'run them again at every save, until Ctrl-C')
    .addHelpText('after', '\nExamples:\n  p2p test\n  p2p test ./shop --watch\n')
    .action(act(async () => (await import('../commands/test.ts')).test))
  develop('dev [directory]', 'Run a service on a node of its own, and load it anew at every save')
    .addOption(
      new Option('--port <port>', 'of the node; by default the first free one from 8001').argParser(
        wholeNumber(0, 65_535),
      ),
    )
    .addHelpText(
      'after',
      `
The node listens on 127.0.0.1 only and keeps its state in .p2p of the folder. A
version that does not start leaves the one before running. While it runs,
--profile dev of every command means its node.

Examples:
  p2p dev
  p2p dev ./shop --port 8100
`,
    )
    .action(act(async () => (await import('../commands/dev.ts')).dev))
}
