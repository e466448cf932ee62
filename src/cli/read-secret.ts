import { createReadStream } from 'node:fs'
import { CliError, codeOf, messageOf } from '../base/errors.ts'
import type { CliHost } from './host.ts'

const SECRET_BYTES_MAX = 64 * 1_024

/**
 * A secret of one line or several, from the standard input or another open file descriptor, without the line break at its end.
 * @throws {CliError} P2P_CLI_USAGE: it cannot be read, is not text, or is too long
 */
export async function readSecretFrom(host: CliHost, descriptor: number | undefined): Promise<string> {
  const source = descriptor === undefined ? host.input : createReadStream('', { fd: descriptor })
  const chunks: Buffer[] = []
  let length = 0
  try {
    for await (const chunk of source) {
      const bytes = Buffer.from(chunk)
      length += bytes.length
      if (length > SECRET_BYTES_MAX) {
        throw new CliError('P2P_CLI_USAGE', `The value is longer than ${SECRET_BYTES_MAX} bytes`)
      }
      chunks.push(bytes)
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks)).replace(/\r?\n$/, '')
  } catch (error) {
    if (codeOf(error)) throw error
    const where = descriptor === undefined ? 'the standard input' : `--value-fd ${descriptor}`
    throw new CliError('P2P_CLI_USAGE', `The value cannot be read from ${where}: ${messageOf(error)}`)
  } finally {
    for (const chunk of chunks) chunk.fill(0)
  }
}
