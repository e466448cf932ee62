import { type Command, InvalidArgumentError, Option } from 'commander'
import { OUTPUT_FORMATS } from './output/show.ts'

/** For commander: a whole number in a range. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (/^\d+$/.test(text) && value >= min && value <= max) return value
    throw new InvalidArgumentError(`It must be a whole number from ${min} to ${max}.`)
  }
}

/** For commander: cores, as 0.5 or 2. */
export function coreCount(text: string): number {
  if (/^\d{1,4}(\.\d{1,3})?$/.test(text)) return Number(text)
  throw new InvalidArgumentError('It must be a number of cores such as 0.5 or 2.')
}

/** For commander: a number of instances, or the word for one on every node. */
export function instanceCount(text: string): number | 'every' {
  if (text === 'every') return 'every'
  if (/^\d{1,5}$/.test(text) && Number(text) <= 10_000) return Number(text)
  throw new InvalidArgumentError('It must be a whole number from 0 to 10000, or "every".')
}

/** One of the words each time the option is given. @throws {InvalidArgumentError} */
export function collectChoice<Word extends string>(words: readonly Word[]): (text: string, before?: Word[]) => Word[] {
  return (text, before = []) => {
    const word = words.find((one) => one === text.toLowerCase())
    if (word === undefined) throw new InvalidArgumentError(`It is one of: ${words.join(', ')}.`)
    return [...before, word]
  }
}

/** For commander: one of these words, typed in any case. */
export function upperCaseWord<Word extends string>(words: readonly Word[]): (text: string) => Word {
  return (text) => {
    const found = words.find((word) => word === text.toUpperCase())
    if (found !== undefined) return found
    throw new InvalidArgumentError(`It must be one of ${words.join(', ')}.`)
  }
}

/** For commander: the id of a call, as errors and log lines tell it. */
export function traceId(text: string): string {
  if (/^[\da-f]{32}$/i.test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('It must be a trace id: 32 hex digits, as an error or a log line tells it.')
}

/** For commander: an option that may be given several times. */
export function collect(text: string, earlier: string[] | undefined): string[] {
  return [...(earlier ?? []), text]
}

/** `--output`, for commands that read. */
export function withOutput(command: Command): Command {
  const option = new Option('-o, --output <format>', 'how the data is written').choices(OUTPUT_FORMATS).default('table')
  return command.addOption(option)
}

/** Which node to talk to. */
export function withConnection(command: Command): Command {
  return command
    .option('--url <url>', 'node to ask, https://HOST:PORT (also: P2P_URL)')
    .option('--profile <name>', 'login to use, of those made with "p2p login --profile"')
}

/** What opens the vault. */
export function withUnlock(command: Command): Command {
  return command
    .option('--password <password>', 'password of the vault; visible in the process list')
    .addOption(
      new Option('--password-fd <descriptor>', 'read the password from this open file descriptor').argParser(
        wholeNumber(0, 1_023),
      ),
    )
    .option('--manual-password', 'ask for the password on the terminal')
    .option('--use-plot-auth', 'open the vault with the plot (what happens without any of these)')
}
