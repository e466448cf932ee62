import type { AuditRecord } from '../../base/audit.ts'
import type { EventRecorder } from './event-store.ts'
import { person } from './deployment-happenings.ts'

/** The acts people ask about most, in their words; `{}` is what it was done on. */
const SENTENCES: Readonly<Record<string, string>> = {
  'POST /auth/link': 'made a login link',
  'POST /auth/revoke': 'withdrew an access token',
  'POST /api/nodes/{id}/approve': 'let {} in',
  'POST /api/nodes/{id}/reject': 'turned {} away',
  'POST /api/nodes/{id}/drain': 'moved everything away from {}',
  'POST /api/nodes/{id}/undrain': 'let services on {} again',
  'DELETE /api/nodes/{id}/certificates': 'revoked the certificates of {}',
  'POST /api/tokens': 'made a join token',
  'DELETE /api/tokens/{id}': 'withdrew the join token {}',
  'POST /api/acme/credentials': 'made an ACME credential',
  'DELETE /api/acme/credentials/{kid}': 'withdrew the ACME credential {}',
  'POST /api/nodes/{id}/ban': 'banned {}',
  'DELETE /api/nodes/{id}/ban': 'lifted the ban of {}',
  'POST /api/ca/rotation': 'began to exchange the CA',
  'POST /api/ca/rotation/finish': 'went on with the exchange of the CA without those that are missing',
  'POST /api/users': 'invited a user',
  'PUT /api/users/{name}/role': 'changed the role of {}',
  'POST /api/users/{name}/reset': 'made a new invitation for {}',
  'DELETE /api/users/{name}': 'removed the user {}',
  'POST /auth/invitation': 'took an invitation',
  'PUT /auth/password': 'changed the password',
  'DELETE /auth/sessions/{id}': 'ended a session',
  'POST /auth/totp': 'began to set up codes as a second step',
  'PUT /auth/totp': 'set up codes as a second step',
  'POST /auth/totp/remove': 'gave up codes as a second step',
  'POST /auth/passkeys': 'added a passkey',
  'DELETE /auth/passkeys/{id}': 'removed a passkey',
  'DELETE /api/logs': 'removed log lines',
  'POST /api/alerts/silences': 'silenced alerts',
  'DELETE /api/alerts/silences/{id}': 'ended a silence of alerts',
  'POST /api/alerts/test': 'sent a test of the alerts',
  'POST /api/artifacts': 'uploaded a bundle',
  'DELETE /api/deployments/{service}': 'removed {}',
  'POST /api/deployments/{service}/restart': 'restarted {}',
  'POST /api/dashboard/control-service': 'changed a service',
  'PUT /api/secrets/{name}': 'set the secret {}',
  'DELETE /api/secrets/{name}': 'deleted the secret {}',
}
/** Told of already, by what they changed; or too often to be news: every command of a person signs in. */
const NO_NEWS: ReadonlySet<string> = new Set([
  'POST /auth/token',
  'POST /auth/session',
  'POST /auth/refresh',
  'DELETE /auth/session',
  'GET /auth/oidc/callback',
  'POST /auth/passkeys/begin',
  'POST /api/alerts/acknowledge',
  'PUT /api/deployments/{service}',
  'POST /api/deployments/{service}/scale',
  'POST /api/deployments/{service}/rollback',
  'POST /api/deployments/{service}/start',
  'POST /api/deployments/{service}/stop',
  'rpc upgrades/begin',
])

/** Tells of what a person did, or tried to. Nodes are told of only where they were refused. */
export function tellAudit(recorder: EventRecorder, record: AuditRecord): void {
  const { phase, outcome, act, who, target, from, detail, traceId, time } = record
  const isRefused = outcome === 'refused'
  if (phase !== 'outcome' || (!isRefused && (NO_NEWS.has(act) || !who.startsWith('person:')))) return
  const name = who.startsWith('person:') ? person(who) : who.startsWith('node:') ? who.slice(5) : 'Somebody'
  const sentence = SENTENCES[act]?.replace('{}', target ?? 'it') ?? didText(act, target)
  const where = from === undefined ? '' : `From ${from}`
  const about = { timeMs: Date.parse(time), kind: 'person', traceId } as const
  if (outcome === 'succeeded') {
    recorder.record({ ...about, severity: 'info', title: `${name} ${sentence}`, detail: where || undefined })
    return
  }
  const end = isRefused ? 'was refused' : 'failed'
  const why = [where, detail].filter(Boolean).join(': ')
  recorder.record({
    ...about,
    severity: 'warning',
    title: `${name} ${end}: ${plainAct(act)}${on(target)}`,
    detail: why || undefined,
  })
}

function didText(act: string, target: string | undefined): string {
  return act.startsWith('rpc ') ? `called ${act.slice(4)}${on(target)}` : `did ${act}${on(target)}`
}

function plainAct(act: string): string {
  return act.replace(/^rpc /, '')
}

function on(target: string | undefined): string {
  return target === undefined ? '' : ` (${target})`
}
