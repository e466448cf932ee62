import type { CaRotation, CaRotationPhase, RotationLaggard } from '../../base/enrolment.ts'
import { CliError } from '../../base/errors.ts'
import { confirm } from '../confirm.ts'
import type { CliHost } from '../host.ts'
import { relativeTime } from '../output/relative-time.ts'
import { facts, type OutputFormat, show, table } from '../output/show.ts'
import { plain } from '../output/style.ts'
import { type ConnectionFlags, connect } from '../session/connect.ts'

type Flags = ConnectionFlags & { output: OutputFormat; yes?: boolean }

/** `p2p ca rotate --root | --issuing` */
export async function rotateCa(host: CliHost, flags: Flags & { root?: boolean; issuing?: boolean }): Promise<void> {
  if (flags.root === flags.issuing) {
    throw new CliError('P2P_CLI_USAGE', 'Say what is to be exchanged: --root (with the issuing CA) or --issuing')
  }
  const kind = flags.root ? 'root' : 'issuing'
  if (!flags.yes) await confirm(host, `Every node gets a new certificate under a new ${kind} CA. Go on?`, '--yes')
  const session = await connect(host, flags)
  const rotation = await session.call<CaRotation>({ method: 'POST', path: '/api/ca/rotation', body: { kind } })
  await show(host, flags.output, rotation, () => described(host, rotation))
  host.talk.write('It goes on by itself; p2p ca rotate status shows how far it is\n')
}

/** `p2p ca rotate status` */
export async function rotationStatus(host: CliHost, flags: Flags): Promise<void> {
  const session = await connect(host, flags)
  const { rotation } = await session.call<{ rotation: CaRotation | null }>({ method: 'GET', path: '/api/ca/rotation' })
  await show(host, flags.output, rotation, () => (rotation ? described(host, rotation) : 'No CA was rotated\n'))
}

/** `p2p ca rotate finish` */
export async function finishRotation(host: CliHost, flags: Flags & { force?: boolean }): Promise<void> {
  const { force = false } = flags
  const question = 'The nodes that have not followed are cut off until they have fetched a new certificate. Go on?'
  if (force && !flags.yes) await confirm(host, question, '--yes')
  const session = await connect(host, flags)
  const path = '/api/ca/rotation/finish'
  const rotation = await session.call<CaRotation>({ method: 'POST', path, body: { force } })
  await show(host, flags.output, rotation, () => described(host, rotation))
}

const PHASES: Record<CaRotationPhase, string> = {
  distributing: '1 of 3: every node learns to trust the new root',
  renewing: '2 of 3: every node gets a certificate under the new CA',
  dropping: '3 of 3: the old CA is dropped',
  done: 'done: the old CA is trusted no more',
}

const MISSING: Record<RotationLaggard['missing'], string> = {
  trust: 'does not trust the new root yet',
  certificate: 'has no certificate under the new CA yet',
  drop: 'still trusts the old root',
}

function described(host: CliHost, rotation: CaRotation): string {
  const nowMs = host.wallMs()
  const head = facts(host, [
    ['Exchanged', rotation.kind === 'root' ? 'root and issuing CA' : 'issuing CA'],
    ['Phase', PHASES[rotation.phase]],
    ['Begun', relativeTime(rotation.started_at_ms, nowMs)],
    ['Followed', `${rotation.nodes_followed} of ${rotation.nodes_total} nodes`],
    ['Old', rotation.old_fingerprint],
    ['New', rotation.new_fingerprint],
    ...(rotation.left_behind.length > 0
      ? [['Left behind', rotation.left_behind.map((id) => plain(id)).join(', ')] as [string, string]]
      : []),
  ])
  if (rotation.waiting_for.length === 0) return head
  const laggards = table(host, rotation.waiting_for, [
    { title: 'WAITING FOR', value: (node) => node.node_id },
    { title: 'STATUS', value: (node) => node.status },
    { title: 'MISSING', value: (node) => MISSING[node.missing] },
  ])
  return `${head}\n${laggards}`
}
