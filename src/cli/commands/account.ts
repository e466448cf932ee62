import { CliError } from '../../base/errors.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { facts, type OutputFormat, show } from '../output/show.ts'
import { plain, styler } from '../output/style.ts'
import { askSecret } from '../prompt.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import { userPassword } from '../session/new-password.ts'

/** The own account as `GET /auth/account` tells of it. */
interface Account {
  name: string
  role: string
  is_user: boolean
  has_code: boolean
  passkeys: { label: string; host: string; used_at_ms?: number }[]
  sessions: { id: string }[]
}

/** `p2p account` */
export async function showAccount(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const account = await session.call<Account>({ method: 'GET', path: '/auth/account' })
  await show(host, flags.output, account, () => {
    const { name, role, is_user: isUser, has_code: hasCode, passkeys, sessions } = account
    if (!isUser) return facts(host, [['Signed in as', `${plain(name)}, ${role}; this is no user`]])
    const nowMs = host.wallMs()
    const used = (atMs: number | undefined): string =>
      atMs === undefined ? 'never used' : `used ${relativeTime(atMs, nowMs)}`
    return facts(host, [
      ['Signed in as', `${plain(name)}, ${role}`],
      ['Second step', hasCode ? 'on' : 'off; "p2p account totp" sets it up'],
      ...passkeys.map(({ label, host: where, used_at_ms: atMs }): [string, string] => [
        'Passkey',
        `${plain(label)}, at ${where}, ${used(atMs)}`,
      ]),
      ['Sessions', String(sessions.length)],
    ])
  })
}

/** `p2p account totp`: the recovery codes are data, the rest is for whoever sits here. */
export async function setUpTotp(host: CliHost, flags: ConnectionFlags & { passwordFd?: number }): Promise<void> {
  const session = await connect(host, flags)
  const { name, has_code: hasCode } = await accountOfUser(session)
  if (hasCode)
    throw new CliError('P2P_CLI_USAGE', `${name} has a second step; turn it off in the dashboard's settings first`)
  const password = await userPassword(host, `Password of ${name}`, { descriptor: flags.passwordFd, isNew: false })
  const begun = await session.call<{ secret: string; address: string }>({
    method: 'POST',
    path: '/auth/totp',
    body: { password },
  })
  const { renderUnicodeCompact } = await import('uqr')
  host.talk.write(`Scan this with your authenticator program, or type the key in, as a time-based code:\n\n`)
  host.talk.write(`${onDark(host, renderUnicodeCompact(begun.address, { border: 2 }))}\n`)
  host.talk.write(`Key: ${(begun.secret.match(/.{1,4}/g) ?? []).join(' ')}\n\n`)
  const code = (await askSecret(host, 'Code it shows')).replaceAll(' ', '')
  const confirmed = await session.call<{ recovery_codes: string[] }>({
    method: 'PUT',
    path: '/auth/totp',
    body: { code },
  })
  host.talk.write('The second step is on. Keep these recovery codes, each lets you in once; they are shown only now:\n')
  host.output.write(`${confirmed.recovery_codes.join('\n')}\n`)
}

async function accountOfUser(session: Session): Promise<Account> {
  const account = await session.call<Account>({ method: 'GET', path: '/auth/account' })
  if (account.is_user) return account
  throw new CliError(
    'P2P_CLI_USAGE',
    'This login is of the operator credential, which has no second step; sign in as a user: p2p login --name NAME',
  )
}

/** Light squares on a dark ground whatever the terminal's colours are: cameras want the contrast the right way round. */
function onDark(host: CliHost, code: string): string {
  const style = styler(host.talk, host.environment)
  return code
    .split('\n')
    .map((line) => style(['whiteBright', 'bgBlack'], line))
    .join('\n')
}
