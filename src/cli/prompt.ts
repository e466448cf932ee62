import { CliError } from '../base/errors.ts'
import type { CliHost } from './host.ts'

const LENGTH_MAX = 1_024

/**
 * Asks for a secret on the terminal without showing what is typed.
 * @throws {CliError} P2P_CLI_USAGE: there is no terminal, or Ctrl-C or Ctrl-D was pressed
 */
export async function askSecret(host: CliHost, question: string): Promise<string> {
  const { input, talk } = host
  if (!input.isTTY || !input.setRawMode) {
    throw new CliError(
      'P2P_CLI_USAGE',
      'There is no terminal to ask for the password on; give it by --password-fd N or P2P_PASSWORD',
    )
  }
  talk.write(`${question}: `)
  input.setRawMode(true)
  try {
    return await typed(input)
  } finally {
    input.setRawMode(false)
    input.pause()
    talk.write('\n')
  }
}

/**
 * Asks twice, for a secret that is set now: a slip of the finger would lock its owner out.
 * @throws {CliError} P2P_CLI_USAGE: as {@link askSecret}, or the two differ
 */
export async function askNewSecret(host: CliHost, question: string): Promise<string> {
  const first = await askSecret(host, question)
  if ((await askSecret(host, `${question}, once more`)) === first) return first
  throw new CliError('P2P_CLI_USAGE', 'The two passwords differ; nothing was changed')
}

/** Characters until Enter, in raw mode: the terminal edits nothing, so Backspace is ours. */
function typed(input: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    const characters: string[] = []
    const finish = (settle: () => void): void => {
      input.off('data', onData)
      input.off('end', onEnd)
      settle()
    }
    const cancel = (): void => finish(() => reject(new CliError('P2P_CLI_USAGE', 'Cancelled')))
    const onEnd = cancel
    const onData = (chunk: string | Buffer): void => {
      for (const character of chunk.toString()) {
        if (character === '\r' || character === '\n') return finish(() => resolve(characters.join('')))
        if (character === '\u0003' || character === '\u0004') return cancel()
        if (character === '\u007F' || character === '\b') characters.pop()
        else if (characters.length < LENGTH_MAX) characters.push(character)
      }
    }
    input.on('data', onData)
    input.on('end', onEnd)
    input.resume()
  })
}
