import { type Command, CommanderError } from 'commander'
import { codeOf, messageOf, P2PError } from '../base/errors.ts'
import { explained } from '../base/system-failure.ts'
import type { CliHost } from './host.ts'
import { styler } from './output/style.ts'
import { createProgram } from './program.ts'

const USAGE = 2

/**
 * Runs one command line and says on the host's streams what comes of it.
 * @returns the exit code: 0 done, 1 failed, 2 usage or configuration, or what ERROR_CODES says of the failure
 */
export async function runCli(host: CliHost): Promise<number> {
  let exitCode = 0
  try {
    const program = await createProgram(host, (code) => {
      exitCode = code
    })
    speakThrough(program, host)
    await refuseUnknownCommand(program, host.argv)
    program.hook('preAction', refuseStrayRunOptions)
    await program.parseAsync(host.argv, { from: 'user' })
    return exitCode
  } catch (error) {
    // Help and version that were asked for end with 0, help instead of a command and all mistakes with 1.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE
    return report(host, explained(error, host.workingDirectory))
  }
}

/** Says what went wrong. @returns the exit code */
function report(host: CliHost, error: unknown): number {
  const style = styler(host.talk, host.environment)
  const code = codeOf(error)
  // Each line of these begins with file:line:column, which editors and terminals turn into a link.
  const isListOfPlaces = code === 'P2P_CONFIG_INVALID' || code === 'P2P_CONFIG_UNKNOWN_KEY'
  host.talk.write(`${isListOfPlaces ? '' : `${style('red', 'error:')} `}${messageOf(error)}\n`)
  if (error instanceof P2PError) {
    if (code !== 'P2P_CLI_USAGE') host.talk.write(`${style('dim', `(${error.code})`)}\n`)
    return error.facts.exit ?? 1
  }
  // Not foreseen, so a bug or a failing disk: the stack is for whoever mends it.
  if (error instanceof Error && error.stack) host.talk.write(`${error.stack}\n`)
  return 1
}

/** Every command says what it says through the host, and ends by throwing rather than by ending the process. */
function speakThrough(command: Command, host: CliHost): void {
  command.exitOverride().configureOutput({
    writeOut: (text) => void host.output.write(text),
    writeErr: (text) => void host.talk.write(text),
    getOutHelpWidth: () => host.output.columns ?? 100,
    getErrHelpWidth: () => host.talk.columns ?? 100,
    getOutHasColors: () => false,
    getErrHasColors: () => false,
  })
  const path = pathOf(command)
  command.showHelpAfterError(`Run "${path} --help" to see what there is.`)
  for (const child of command.commands) speakThrough(child, host)
}

function pathOf(command: Command): string {
  return command.parent ? `${pathOf(command.parent)} ${command.name()}` : command.name()
}

/** Commander would complain of an option or of too many arguments where the word before it was the mistake. */
async function refuseUnknownCommand(program: Command, argv: readonly string[]): Promise<void> {
  let current = program
  for (const word of argv) {
    if (word.startsWith('-') || word === 'help' || current.commands.length === 0) return
    const next = current.commands.find((command) => command.name() === word)
    if (!next && current.registeredArguments.length > 0) return
    if (!next) {
      const { closest } = await import('../config/index.ts')
      const suggestion = closest(
        word,
        current.commands.map((command) => command.name()),
      )
      current.error(
        `error: unknown command '${word}'${suggestion === undefined ? '' : `\n(Did you mean ${suggestion}?)`}`,
      )
    }
    current = next as Command
  }
}

/** `p2p --config a.yaml nodes` runs no node: better said than ignored. */
function refuseStrayRunOptions(program: Command, action: Command): void {
  if (action === program) return
  const given = program.options.filter((option) => program.getOptionValueSource(option.attributeName()) === 'cli')
  if (given.length > 0) {
    const names = given.map((option) => option.long).join(', ')
    program.error(`error: ${names} stands before "${action.name()}"; options of a command follow it`)
  }
}
