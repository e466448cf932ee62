import { ACCESS, type RouteKey } from './access.ts'

/** Routes that change nothing although their method says so, or whose act has a record of its own already. */
const NOT_AUDITED: ReadonlySet<RouteKey> = new Set<RouteKey>([
  'POST /rpc', // by method, where it runs
  'POST /p2p/v1/channel',
  'PUT /api/artifacts/{digest}', // parts of the upload that POST began
  'POST /api/deployments/{service}/plan',
  'POST /api/audit/verify',
])

/** Open to everybody, and still something that is asked about later: who signed in. */
const AUDITED_THOUGH_OPEN: ReadonlySet<RouteKey> = new Set<RouteKey>([
  'POST /auth/token',
  'POST /auth/link',
  'POST /auth/session',
  'POST /auth/refresh',
  'POST /auth/revoke',
  'POST /auth/invitation',
  'GET /auth/oidc/callback',
])

/** Whether anybody may try it, so that attempts can come in floods. */
export function isAuditedThoughOpen(key: RouteKey): boolean {
  return AUDITED_THOUGH_OPEN.has(key)
}

/** Whether using the route is a privileged act: it changes something, and not everybody may. */
export function isAudited(key: RouteKey): boolean {
  if (AUDITED_THOUGH_OPEN.has(key)) return true
  return !key.startsWith('GET ') && ACCESS[key] !== 'open' && !NOT_AUDITED.has(key)
}
