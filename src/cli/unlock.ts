import { closeSync, existsSync, readSync } from 'node:fs'
import { CliError, messageOf } from '../base/errors.ts'
import { secretsFrom } from '../config/index.ts'
import type { Unlock } from '../context/index.ts'
import type { CliHost } from './host.ts'
import { askNewSecret, askSecret } from './prompt.ts'

/** The flags that say what opens the vault; at most one of them. */
export interface UnlockFlags {
  password?: string
  passwordFd?: number
  manualPassword?: boolean
  usePlotAuth?: boolean
}

/**
 * What opens the vault: a flag, else P2P_PASSWORD, else P2P_RECOVERY_KEY, else the plot.
 * @param storagePath the vault; where it does not exist yet, a typed password is asked for twice
 * @throws {CliError} P2P_CLI_USAGE: several flags at once, an unreadable descriptor, no terminal
 */
export async function chooseUnlock(host: CliHost, flags: UnlockFlags, storagePath: string): Promise<Unlock> {
  const given = [
    flags.password !== undefined && '--password',
    flags.passwordFd !== undefined && '--password-fd',
    flags.manualPassword && '--manual-password',
    flags.usePlotAuth && '--use-plot-auth',
  ].filter((name) => typeof name === 'string')
  if (given.length > 1)
    throw new CliError('P2P_CLI_USAGE', `${given.join(' and ')} exclude each other; give one of them`)

  if (flags.password !== undefined) {
    warnOfArgument(host, '--password', 'P2P_PASSWORD, --password-fd N or --manual-password')
    return { kind: 'password', password: flags.password }
  }
  if (flags.passwordFd !== undefined) return { kind: 'password', password: readDescriptor(flags.passwordFd) }
  if (flags.manualPassword) {
    const ask = existsSync(storagePath) ? askSecret : askNewSecret
    return { kind: 'password', password: await ask(host, 'Password of the vault') }
  }
  if (flags.usePlotAuth) return { kind: 'plot' }
  const secrets = secretsFrom(host.environment)
  if (secrets.password !== undefined) return { kind: 'password', password: secrets.password }
  if (secrets.recoveryKey !== undefined) return { kind: 'recovery', recoveryKey: secrets.recoveryKey }
  return { kind: 'plot' }
}

/** Says once that the process list shows arguments to every user of the machine, and what to use instead. */
export function warnOfArgument(host: CliHost, flag: string, better: string): void {
  host.talk.write(`warning: every user of this machine can see ${flag} in the process list; better: ${better}\n`)
}

const SECRET_BYTES_MAX = 4_096

/** The first line that comes out of an open file descriptor: `p2p … --password-fd 3 3<file`. */
function readDescriptor(descriptor: number): string {
  const buffer = Buffer.alloc(SECRET_BYTES_MAX)
  let length = 0
  try {
    while (length < buffer.length && !buffer.subarray(0, length).includes('\n')) {
      const count = readSync(descriptor, buffer, length, buffer.length - length, null)
      if (count === 0) break
      length += count
    }
    // The standard streams stay open: a file opened later must not take their place.
    if (descriptor > 2) closeSync(descriptor)
  } catch (error) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `--password-fd ${descriptor} cannot be read: ${messageOf(error)}`,
      {},
      { cause: error },
    )
  }
  const text = buffer.toString('utf8', 0, length).split(/\r?\n/)[0] as string
  buffer.fill(0)
  if (text === '') throw new CliError('P2P_CLI_USAGE', `--password-fd ${descriptor} gave an empty line`)
  return text
}
