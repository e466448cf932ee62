import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { askNewSecret, askSecret } from '../prompt.ts'
import { readSecretFrom } from '../read-secret.ts'

/** Where a person's password is taken from where there is nobody to type it. */
const VARIABLE = 'P2P_USER_PASSWORD'

/**
 * A person's password: from `--password-fd`, else P2P_USER_PASSWORD, else typed; never from an argument.
 * @param isNew it is set now, so it is asked for twice
 * @throws {CliError} P2P_CLI_USAGE: it is empty, cannot be read, or there is no terminal to ask on
 */
export async function userPassword(
  host: CliHost,
  question: string,
  { descriptor, isNew }: { descriptor: number | undefined; isNew: boolean },
): Promise<string> {
  const password = await readPassword(host, question, { descriptor, isNew })
  if (password === '') throw new CliError('P2P_CLI_USAGE', 'The password is empty')
  return password
}

async function readPassword(
  host: CliHost,
  question: string,
  { descriptor, isNew }: { descriptor: number | undefined; isNew: boolean },
): Promise<string> {
  if (descriptor !== undefined) return readSecretFrom(host, descriptor)
  const given = host.environment[VARIABLE]
  if (given !== undefined) return given
  if (!host.input.isTTY) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `There is no terminal to ask for the password on; give it by --password-fd N or ${VARIABLE}`,
    )
  }
  return (isNew ? askNewSecret : askSecret)(host, question)
}
