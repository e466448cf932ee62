import { existsSync, globSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { CliError, messageOf } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'

/** `operator.json` in a coordinator's state directory: what its operating system's user signs in with. */
export interface OperatorCredential {
  url: string
  cluster: string
  ca_certificate: string
  credential: string
}

/** Places looked at, relative to the working directory: a README cluster's, then a `p2p local` one's. */
const PLACES = ['operator.json', 'data/*/operator.json', 'data/local/*/operator.json']

/** The credential files of coordinators that were started from this folder, absolute. */
function findCredentialFiles(host: CliHost): string[] {
  const found = PLACES.flatMap((pattern) => globSync(pattern, { cwd: host.workingDirectory }).toSorted())
  return found.map((path) => join(host.workingDirectory, path))
}

/**
 * The file to sign in with: the named one, else the only one found.
 * @throws {CliError} P2P_CLI_NOT_LOGGED_IN: none; P2P_CLI_USAGE: several
 */
export function chooseCredentialFile(host: CliHost, named: string | undefined): string {
  if (named !== undefined) return resolve(host.workingDirectory, named)
  const [first, ...others] = findCredentialFiles(host)
  if (first === undefined) {
    throw new CliError(
      'P2P_CLI_NOT_LOGGED_IN',
      'Not logged in, and no operator.json of a coordinator was found here. On the coordinator\'s machine: "p2p login" in the folder it was started in, or p2p login --credential-file <state_directory>/operator.json. From elsewhere, as a user of the cluster: p2p login https://HOST:8001 --name NAME --fingerprint HEX',
    )
  }
  if (others.length > 0) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `Several coordinators were started here; choose one: p2p login --credential-file ${[first, ...others].join(' | ')}`,
    )
  }
  return first
}

/** @throws {CliError} P2P_CLI_NOT_LOGGED_IN: missing, not readable by this user, or not such a file */
export function readCredential(path: string): OperatorCredential {
  const refused = (why: string, cause?: unknown): CliError =>
    new CliError('P2P_CLI_NOT_LOGGED_IN', `The operator credential ${path} cannot be used: ${why}`, { path }, { cause })
  if (!existsSync(path)) throw refused('there is no such file; a coordinator writes it when it starts')
  let value: Partial<OperatorCredential>
  try {
    value = JSON.parse(readFileSync(path, 'utf8')) as Partial<OperatorCredential>
  } catch (error) {
    // A parser's message would quote the file, which holds a secret.
    throw error instanceof SyntaxError
      ? refused('it is damaged; restart the coordinator')
      : refused(messageOf(error), error)
  }
  const { url, cluster, ca_certificate, credential } = value ?? {}
  if (
    ![url, cluster, ca_certificate, credential].every((field) => typeof field === 'string') ||
    !URL.canParse(url as string)
  ) {
    throw refused('it is damaged; restart the coordinator')
  }
  return value as OperatorCredential
}
