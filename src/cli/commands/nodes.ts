import { CliError } from '../../base/errors.ts'
import type { IssuedCertificate, NodeBan, PendingNode } from '../../base/enrolment.ts'
import { confirm } from '../confirm.ts'
import type { CliHost } from '../host.ts'
import { nodeColumns } from '../output/node-table.ts'
import { relativeTime } from '../output/relative-time.ts'
import { type OutputFormat, showRows } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect, type Session } from '../session/connect.ts'
import type { ClusterNodes } from '../session/wire.ts'

/** `p2p nodes` */
export async function listNodes(
  host: CliHost,
  flags: ConnectionFlags & { output: OutputFormat; watch?: boolean },
): Promise<void> {
  if (flags.watch) {
    const { watchNodes } = await import('./watch-nodes.ts')
    return watchNodes(host, flags)
  }
  const session = await connect(host, flags)
  const { nodes } = await session.call<ClusterNodes>({ method: 'GET', path: '/cluster/nodes' })
  await showRows(host, flags.output, nodes, nodeColumns(host), 'There are no nodes')
}

/** `p2p nodes pending` */
export async function listPending(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const pending = await pendingNodes(await connect(host, flags))
  await showRows(
    host,
    flags.output,
    pending,
    [
      { title: 'NODE', value: (node) => node.node_id },
      { title: 'ROLE', value: (node) => node.role },
      { title: 'FROM', value: (node) => node.remote_address },
      { title: 'ASKED', value: (node) => relativeTime(node.requested_at_ms, host.wallMs()) },
      { title: 'FINGERPRINT', value: (node) => node.fingerprint },
    ],
    'No node waits for approval',
  )
}

async function pendingNodes(session: Session): Promise<PendingNode[]> {
  return (await session.call<{ pending: PendingNode[] }>({ method: 'GET', path: '/api/nodes/pending' })).pending
}

const FINGERPRINT_DIGITS_MIN = 16

/**
 * `p2p nodes approve ID`. What is approved is the key whose fingerprint was given or shown, never merely a name: had
 * another request taken its place meanwhile, the coordinator refuses.
 */
export async function approveNode(
  host: CliHost,
  id: string,
  flags: ConnectionFlags & { fingerprint?: string },
): Promise<void> {
  const asked = flags.fingerprint === undefined ? undefined : normalFingerprint(flags.fingerprint)
  const session = await connect(host, flags)
  const waiting = (await pendingNodes(session)).filter((node) => node.node_id === id || node.request_id === id)
  const [node, ...others] = waiting.filter(
    (candidate) => asked === undefined || candidate.fingerprint.startsWith(asked),
  )
  if (!node) throw nothingToApprove(id, waiting)
  if (others.length > 0) {
    throw new CliError(
      'P2P_CLI_USAGE',
      `Several requests wait under ${id}; choose one by --fingerprint ${waiting.map((each) => each.fingerprint).join(' | ')}`,
    )
  }
  if (asked === undefined) {
    host.talk.write(
      `${plain(node.node_id)} (${node.role}) asks from ${plain(node.remote_address)}. Fingerprint of its key:\n  ${node.fingerprint}\n`,
    )
    await confirm(host, 'Does the node show the same?', '--fingerprint HEX')
  }
  const path = `/api/nodes/${encodeURIComponent(node.request_id)}/approve`
  await session.call({ method: 'POST', path, body: { fingerprint: node.fingerprint } })
  host.talk.write(`Approved: ${plain(node.node_id)} gets its certificate now\n`)
}

function nothingToApprove(id: string, waiting: readonly PendingNode[]): CliError {
  const [found] = waiting
  if (!found) return new CliError('P2P_CLI_USAGE', `No node waits under ${id}; "p2p nodes pending" lists those that do`)
  return new CliError(
    'P2P_CLI_USAGE',
    `${id} waits with another key, ${found.fingerprint}: it is not the node you mean, so nothing was approved`,
  )
}

/** As people copy it: with colons, spaces or capitals. */
function normalFingerprint(text: string): string {
  const digits = text.toLowerCase().replace(/[\s:]/g, '')
  if (/^[0-9a-f]+$/.test(digits) && digits.length >= FINGERPRINT_DIGITS_MIN && digits.length <= 64) return digits
  throw new CliError('P2P_CLI_USAGE', `--fingerprint takes ${FINGERPRINT_DIGITS_MIN} to 64 hexadecimal digits`)
}

/** `p2p nodes reject ID` */
export async function rejectNode(host: CliHost, id: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  const node = await session.call<PendingNode>({ method: 'POST', path: `/api/nodes/${encodeURIComponent(id)}/reject` })
  host.talk.write(`Rejected: ${plain(node.node_id)}, key ${node.fingerprint}\n`)
}

/** `p2p nodes revoke ID` */
export async function revokeNode(host: CliHost, id: string, flags: ConnectionFlags & { yes?: boolean }): Promise<void> {
  if (!flags.yes) await confirm(host, `${id} will be cut off within seconds and must join anew. Go on?`, '--yes')
  const session = await connect(host, flags)
  const path = `/api/nodes/${encodeURIComponent(id)}/certificates`
  const { revoked } = await session.call<{ revoked: IssuedCertificate[] }>({ method: 'DELETE', path })
  host.talk.write(`Revoked ${revoked.length} ${revoked.length === 1 ? 'certificate' : 'certificates'} of ${id}\n`)
}

/** `p2p nodes ban ID` */
export async function banNode(
  host: CliHost,
  id: string,
  flags: ConnectionFlags & { yes?: boolean; reason?: string; fingerprint?: string },
): Promise<void> {
  const { reason, fingerprint } = flags
  if (!flags.yes) {
    await confirm(
      host,
      `${id} will be cut off within seconds, and neither its name nor its keys let anybody in again. Go on?`,
      '--yes',
    )
  }
  const session = await connect(host, flags)
  const body = {
    ...(reason !== undefined && { reason }),
    ...(fingerprint !== undefined && { fingerprint: wholeFingerprint(fingerprint) }),
  }
  const ban = await session.call<NodeBan>({ method: 'POST', path: `/api/nodes/${encodeURIComponent(id)}/ban`, body })
  const keys = ban.key_fingerprints.length
  host.talk.write(`Banned: ${plain(id)}${keys === 0 ? '' : `, with ${keys} ${keys === 1 ? 'key' : 'keys'}`}\n`)
}

function wholeFingerprint(text: string): string {
  const digits = normalFingerprint(text)
  if (digits.length === 64) return digits
  throw new CliError('P2P_CLI_USAGE', '--fingerprint takes the whole fingerprint of the key, 64 hexadecimal digits')
}

/** `p2p nodes unban ID` */
export async function unbanNode(host: CliHost, id: string, flags: ConnectionFlags): Promise<void> {
  const session = await connect(host, flags)
  await session.call<NodeBan>({ method: 'DELETE', path: `/api/nodes/${encodeURIComponent(id)}/ban` })
  host.talk.write(`No longer banned: ${plain(id)}. To let it in, give it a new join token or approve it\n`)
}

/** `p2p nodes banned` */
export async function listBanned(host: CliHost, flags: ConnectionFlags & { output: OutputFormat }): Promise<void> {
  const session = await connect(host, flags)
  const { banned } = await session.call<{ banned: NodeBan[] }>({ method: 'GET', path: '/api/nodes/banned' })
  await showRows(
    host,
    flags.output,
    banned,
    [
      { title: 'NODE', value: (ban) => ban.node_id },
      { title: 'BANNED', value: (ban) => relativeTime(ban.banned_at_ms, host.wallMs()) },
      { title: 'KEYS', value: (ban) => ban.key_fingerprints.length, align: 'right' },
      { title: 'REASON', value: (ban) => ban.reason ?? '' },
    ],
    'No node is banned',
  )
}
