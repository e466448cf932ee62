import type { ChangeEvent } from '../../base/control-store.ts'
import type { IssuedCertificate, PendingNode } from '../../base/enrolment.ts'
import type { EventRecorder } from './event-store.ts'

/** Where the certificate authority keeps what it issued, and who waits to be let in. */
export const ISSUED_PREFIX = 'pki/issued/'
export const PENDING_PREFIX = 'pki/pending/'
/** Where it keeps the latest exchange of itself. */
export const ROTATION_KEY = 'pki/rotation'

const decoder = new TextDecoder()

/** Tells of a certificate that was issued, renewed or revoked. */
export function tellCertificate(recorder: EventRecorder, change: ChangeEvent, nowMs: number): void {
  if (change.type !== 'put') return
  const {
    serial,
    node_id: holder,
    role,
    names,
    not_after_ms: notAfterMs,
    revoked_at_ms: revokedAtMs,
  } = parse(change.entry.value) as IssuedCertificate
  const isServer = role === 'server'
  const whose = isServer ? (names?.join(', ') ?? 'a server') : holder
  const about = { timeMs: nowMs, kind: 'certificate', ...(!isServer && { nodeId: holder }) } as const
  if (revokedAtMs !== undefined) {
    recorder.observe(`revoked/${serial}`, 'revoked', () => ({
      ...about,
      severity: 'warning',
      title: `The certificate of ${whose} was revoked`,
      detail: `Serial ${serial}. Nobody trusts it any more.`,
    }))
    return
  }
  recorder.observe(`certificate/${isServer ? whose : holder}`, serial, (previous) => ({
    ...about,
    severity: 'info',
    title: `The certificate of ${whose} was ${previous === undefined ? 'issued' : 'renewed'}`,
    detail: `Good until ${new Date(notAfterMs).toISOString().slice(0, 16).replace('T', ' ')} UTC. Serial ${serial}.`,
  }))
}

/** Tells of a stranger who waits to be let in. */
export function tellPending(recorder: EventRecorder, change: ChangeEvent, nowMs: number): void {
  if (change.type !== 'put' || change.entry.version !== 1) return
  const { node_id: nodeId, role, fingerprint, remote_address: address } = parse(change.entry.value) as PendingNode
  recorder.record({
    timeMs: nowMs,
    kind: 'member',
    severity: 'warning',
    title: `${nodeId} asks to join as ${role}`,
    detail: `From ${address}, its key's fingerprint is ${fingerprint}. It waits until somebody approves or rejects it.`,
    nodeId,
  })
}

const PHASES = {
  distributing: 'is exchanged: the nodes are told to trust the new one',
  renewing: 'is exchanged: the nodes get new certificates',
  dropping: 'was exchanged: nobody is to trust the old one any more',
  done: 'was exchanged: nobody trusts the old one any more',
} as const

/** Tells of each step of an exchange of the certificate authority. */
export function tellRotation(recorder: EventRecorder, change: ChangeEvent, nowMs: number): void {
  if (change.type !== 'put') return
  const { kind, phase, startedAtMs, leftBehind } = parse(change.entry.value) as {
    kind: 'root' | 'issuing'
    phase: keyof typeof PHASES
    startedAtMs: number
    leftBehind: string[]
  }
  recorder.observe('rotation', `${startedAtMs} ${phase}`, () => ({
    timeMs: nowMs,
    kind: 'certificate',
    severity: phase === 'done' && leftBehind.length > 0 ? 'warning' : 'info',
    title: `The ${kind === 'root' ? 'root' : 'issuing'} CA ${PHASES[phase]}`,
    detail: leftBehind.length > 0 ? `Nobody waits for: ${leftBehind.join(', ')}` : undefined,
  }))
}

/** What is in the store was written by this node: it is trusted to have its type. */
function parse(value: Uint8Array): unknown {
  return JSON.parse(decoder.decode(value))
}
