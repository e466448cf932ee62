import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { CliError } from '../base/errors.ts'
import type { CliHost } from './host.ts'

/**
 * Asks before something that cannot be undone.
 * @param flag what a script gives instead of an answer, for instance `--yes`
 * @throws {CliError} P2P_CLI_USAGE: the answer was not yes, or there is no terminal to ask on
 */
export async function confirm(host: CliHost, question: string, flag: string): Promise<void> {
  if (!host.input.isTTY) throw new CliError('P2P_CLI_USAGE', `${question} There is no terminal to ask on: give ${flag}`)
  host.talk.write(`${question} [y/N] `)
  // Echo is the terminal's: the interface must not write a second one.
  const lines = createInterface({
    input: host.input,
    output: new Writable({ write: (_chunk, _encoding, done) => done() }),
    terminal: false,
  })
  const closed = new Promise<string>((resolve) => lines.once('close', () => resolve('')))
  const answer = await Promise.race([lines.question(''), closed])
  lines.close()
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('P2P_CLI_USAGE', 'Not done')
}
