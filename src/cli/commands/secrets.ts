import { CliError } from '../../base/errors.ts'
import { confirm } from '../confirm.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, showRows } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { askSecret } from '../prompt.ts'
import { readSecretFrom } from '../read-secret.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'
import type { SecretView } from '../session/deployments.ts'

/** `p2p secrets list` */
export async function listSecrets(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const { secrets } = await session.call<{ secrets: SecretView[] }>({ method: 'GET', path: '/api/secrets' })
  await showRows(
    host,
    flags.output,
    secrets,
    [
      { title: 'SECRET', value: (secret) => secret.name },
      { title: 'VERSION', value: (secret) => secret.version, align: 'right' },
      { title: 'SET', value: (secret) => relativeTime(secret.updated_at_ms, host.wallMs()) },
      { title: 'BY', value: (secret) => secret.by },
      { title: 'USED BY', value: (secret) => secret.used_by.join(', ') || undefined },
    ],
    'There are no secrets; "p2p secrets set NAME" makes one',
  )
}

/** `p2p secrets set NAME`: the value comes from a prompt, the standard input or a file descriptor, never from an argument. */
export async function setSecret(
  host: CliHost,
  name: string,
  flags: ConnectionFlags & { valueFd?: number; output: OutputFormat },
): Promise<void> {
  const session = await connect(host, flags)
  const value = await valueOf(host, flags.valueFd)
  const secret = await session.call<SecretView>({ method: 'PUT', path: secretPath(name), body: { value } })
  const users = secret.used_by.map(plain).join(', ')
  const more = users === '' ? '' : `; a rollout gives it to ${users}`
  host.talk.write(`Set: ${plain(secret.name)}, version ${secret.version}${more}\n`)
}

/** `p2p secrets delete NAME` */
export async function deleteSecret(
  host: CliHost,
  name: string,
  flags: ConnectionFlags & { yes?: boolean },
): Promise<void> {
  if (!flags.yes) await confirm(host, `Secret ${name} is forgotten for good. Go on?`, '--yes')
  const session = await connect(host, flags)
  await session.call({ method: 'DELETE', path: secretPath(name) })
  host.talk.write(`Deleted: ${plain(name)}\n`)
}

function secretPath(name: string): string {
  return `/api/secrets/${encodeURIComponent(name)}`
}

async function valueOf(host: CliHost, descriptor: number | undefined): Promise<string> {
  const value =
    descriptor === undefined && host.input.isTTY
      ? await askSecret(host, 'Value of the secret')
      : await readSecretFrom(host, descriptor)
  if (value === '') throw new CliError('P2P_CLI_USAGE', 'The value is empty; nothing was changed')
  return value
}
