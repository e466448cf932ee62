import { Command } from 'commander'
import { VERSION } from '../base/version.ts'
import { defineClusterCommands } from './define/cluster-commands.ts'
import { defineDeployCommands } from './define/deploy-commands.ts'
import { defineDevelopCommands } from './define/develop-commands.ts'
import { defineMachineCommands } from './define/machine-commands.ts'
import { defineRun } from './define/run-command.ts'
import type { CliHost } from './host.ts'

/** What a command's function gets and gives: the host and the parsed words; the exit code, 0 when it gives none. */
export type Handler = (host: CliHost, ...words: never[]) => Promise<number | void>

/** Turns "load this function" into a commander action, so that a command costs nothing until it runs. */
export type Act = (load: () => Promise<Handler>) => (...words: unknown[]) => Promise<void>

/**
 * The whole command line, without running anything.
 * @param onExitCode told the exit code of the command that ran
 */
export async function createProgram(host: CliHost, onExitCode: (code: number) => void): Promise<Command> {
  const act: Act =
    (load) =>
    async (...words) => {
      const handler = await load()
      // Commander appends the command itself to the arguments and options.
      onExitCode((await handler(host, ...(words.slice(0, -1) as never[]))) ?? 0)
    }
  const program = new Command('p2p')
    .description("Runs a team's services on its own machines: mutual TLS everywhere, typed RPC, gossip membership.")
    .version(VERSION, '--version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .addHelpCommand(
      new Command('help').argument('[command]').description('Show the help of a command').helpGroup('Other commands:'),
    )
    .enablePositionalOptions()
    .showSuggestionAfterError()
    .usage('--config FILE [options]\n       p2p <command> [options]')
  defineRun(program, act)
  program.addCommand(await localCommand(host, onExitCode))
  defineClusterCommands(program, act)
  defineDeployCommands(program, act)
  defineDevelopCommands(program, act)
  defineMachineCommands(program, act)
  await addCompletions(program, host)
  return program.addHelpText('after', EXAMPLES)
}

/** Only named until it is asked for: what it does drags in more than the other commands. */
async function localCommand({ argv }: CliHost, onExitCode: (code: number) => void): Promise<Command> {
  const group = 'Try it out:'
  if (!argv.includes('local')) {
    return new Command('local')
      .description('Run a coordinator and two workers on this machine, to try things out')
      .helpGroup(group)
  }
  const { localCommand: createLocal } = await import('./commands/local.ts')
  // It leaves its exit code with the process.
  return createLocal()
    .helpGroup(group)
    .hook('postAction', () => onExitCode(Number(process.exitCode ?? 0)))
}

/** The completion library describes every command, so it comes last and only when it is asked for. */
async function addCompletions(program: Command, { argv }: CliHost): Promise<void> {
  const group = 'This machine:'
  if (!argv.includes('completions') && !argv.includes('complete')) {
    program
      .command('completions <shell>')
      .description('Print a completion script for bash, zsh, fish or powershell')
      .helpGroup(group)
    return
  }
  const { default: addTo } = await import('@bomb.sh/tab/commander')
  addTo(program, { completionCommandName: 'completions' })
  program.commands.find((command) => command.name() === 'completions')?.helpGroup(group)
}

const EXAMPLES = `
Examples:
  p2p --config config/coordinator.yaml                      start a coordinator
  p2p token create                                          let a worker in (on the coordinator's machine)
  p2p --config config/worker.yaml --join P2P1-…             start that worker
  p2p login && p2p nodes                                    who is there
  p2p call system/get_system_info --node worker-1           call a service on a node
  p2p deploy ./shop --count 3                               run a service of your own on the nodes
  p2p doctor --config config/worker.yaml                    find out what is wrong

Exit codes: 0 done, 1 failed, 2 usage or configuration, 75 try again later,
77 not permitted, 78 damaged data.
`
