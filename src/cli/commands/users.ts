import type { CliHost } from '../host.ts'
import { confirm } from '../confirm.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, show, showRows } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import { userPassword } from '../session/new-password.ts'

/** A person as `GET /api/users` tells of one. */
interface UserView {
  name: string
  role: string
  created_at_ms: number
  created_by: string
  has_password: boolean
  has_code: boolean
  passkeys: number
  sessions: number
  invitation_ends_ms?: number
}

interface Invited {
  user: UserView
  invitation?: { secret: string; ends_at_ms: number }
}

/** Without one of these, an invitation is made. */
interface PasswordFlags {
  password?: boolean
  passwordFd?: number
}

/** `p2p users list` */
export async function listUsers(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const { users } = await session.call<{ users: UserView[] }>({ method: 'GET', path: '/api/users' })
  await showRows(
    host,
    flags.output,
    users,
    [
      { title: 'USER', value: (user) => user.name },
      { title: 'ROLE', value: (user) => user.role },
      { title: 'SIGNS IN BY', value: (user) => waysOf(user, host.wallMs()) },
      { title: 'SESSIONS', value: (user) => user.sessions, align: 'right' },
      { title: 'ADDED', value: (user) => relativeTime(user.created_at_ms, host.wallMs()) },
      { title: 'BY', value: (user) => user.created_by },
    ],
    'There are no users; "p2p users add NAME --role ROLE" makes one',
  )
}

function waysOf(user: UserView, nowMs: number): string {
  if (user.has_password) {
    const ways = [user.has_code ? 'password and code' : 'password', ...(user.passkeys > 0 ? ['passkey'] : [])]
    return ways.join(', ')
  }
  const { invitation_ends_ms: endMs } = user
  if (endMs === undefined) return 'nothing'
  return endMs > nowMs ? `invitation, ends ${relativeTime(endMs, nowMs)}` : 'invitation that has ended'
}

/** `p2p users add NAME` */
export async function addUser(
  host: CliHost,
  name: string,
  flags: ConnectionFlags & PasswordFlags & { role: string; output: OutputFormat },
): Promise<void> {
  const session = await connect(host, flags)
  const body = { name, role: flags.role, ...(await passwordOf(host, name, flags)) }
  const made = await session.call<Invited>({ method: 'POST', path: '/api/users', body })
  await showInvited(host, session, made, flags.output, `Added: ${plain(name)}, ${made.user.role}`)
}

/** `p2p users reset NAME` */
export async function resetUser(
  host: CliHost,
  name: string,
  flags: ConnectionFlags & PasswordFlags & { yes?: boolean; output: OutputFormat },
): Promise<void> {
  if (!flags.yes) await confirm(host, `Password, second step and sessions of ${name} end. Go on?`, '--yes')
  const session = await connect(host, flags)
  const body = await passwordOf(host, name, flags)
  const made = await session.call<Invited>({ method: 'POST', path: `${userPath(name)}/reset`, body })
  await showInvited(host, session, made, flags.output, `Reset: ${plain(name)}`)
}

/** `p2p users set-role NAME ROLE` */
export async function setUserRole(host: CliHost, name: string, role: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  const user = await session.call<UserView>({ method: 'PUT', path: `${userPath(name)}/role`, body: { role } })
  host.talk.write(`${plain(name)} is ${user.role} from now on; the sessions for the role before have ended\n`)
}

/** `p2p users remove NAME` */
export async function removeUser(
  host: CliHost,
  name: string,
  flags: ConnectionFlags & { yes?: boolean },
): Promise<void> {
  if (!flags.yes) await confirm(host, `${name} is removed and signed out everywhere. Go on?`, '--yes')
  const session = await connect(host, flags)
  await session.call({ method: 'DELETE', path: userPath(name) })
  host.talk.write(`Removed: ${plain(name)}\n`)
}

function userPath(name: string): string {
  return `/api/users/${encodeURIComponent(name)}`
}

async function passwordOf(
  host: CliHost,
  name: string,
  { password, passwordFd }: PasswordFlags,
): Promise<{ password?: string }> {
  if (!password && passwordFd === undefined) return {}
  return { password: await userPassword(host, `Password of ${name}`, { descriptor: passwordFd, isNew: true }) }
}

/** The link is data: the one thing of this that is handed on. */
async function showInvited(
  host: CliHost,
  session: Session,
  made: Invited,
  output: OutputFormat,
  said: string,
): Promise<void> {
  const { invitation } = made
  const link = invitation && `${session.url}/dashboard#invitation=${invitation.secret}`
  const shown = link === undefined ? made : { ...made, invitation: { ...invitation, link } }
  await show(host, output, shown, () => (link === undefined ? '' : `${link}\n`))
  host.talk.write(`${said}\n`)
  if (!invitation) return
  const end = relativeTime(invitation.ends_at_ms, host.wallMs())
  host.talk.write(`Hand the link to ${plain(made.user.name)}: it sets the password, works once, and ends ${end}.\n`)
}
