import type { AccessRole, Principal } from '../../base/identity.ts'

/** Who may use a route: everybody (`open`), or callers with one of the roles. */
export type AccessRule = 'open' | readonly AccessRole[]

const MACHINES = ['node', 'coordinator'] as const
const VIEWERS = ['viewer', 'operator', 'admin'] as const
const OPERATORS = ['operator', 'admin'] as const
const ADMINS = ['admin'] as const
const ANYBODY_KNOWN = [...VIEWERS, ...MACHINES] as const

/**
 * The one table of who may use which route of a node's port: `METHOD /path`, parameters in braces as in OpenAPI.
 * What is not in it is denied. HEAD follows GET. The methods behind `POST /rpc` have rules of their own
 * (MethodDescriptor `isPublic` and `requiredRole`), asked by the service runtime.
 */
export const ACCESS = {
  'GET /health': 'open',
  'GET /cluster/nodes': ANYBODY_KNOWN,
  'GET /cluster/events': ANYBODY_KNOWN,
  'GET /services': ANYBODY_KNOWN,
  'GET /services/{name}': ANYBODY_KNOWN,
  'GET /metrics': ANYBODY_KNOWN,
  'GET /openapi.json': ANYBODY_KNOWN,
  'POST /rpc': ANYBODY_KNOWN,
  'POST /p2p/v1/channel': MACHINES, // the transport itself asks for the certificate

  // The documentation pages hold nothing of the cluster: what they show is /openapi.json, which asks for a credential.
  'GET /docs': 'open',
  'GET /redoc': 'open',
  'GET /docs/assets/{file}': 'open',

  'POST /auth/token': 'open', // the credential is in the body
  'POST /auth/revoke': VIEWERS,

  // Joining: the stranger's proof is in the request, the answers are worthless without it (docs/protocol/enrolment.md).
  'GET /internal/ca-cert': 'open',
  'GET /internal/crl': 'open',
  'POST /internal/cert-nonce': 'open',
  'POST /internal/cert-request': 'open',

  'GET /api/status': ANYBODY_KNOWN,
  'GET /api/logs': VIEWERS,
  'GET /api/logs/sources': VIEWERS,
  'DELETE /api/logs': ADMINS,
  'GET /api/ca': VIEWERS,
  'GET /api/nodes/pending': OPERATORS,
  'POST /api/nodes/{id}/approve': ADMINS,
  'POST /api/nodes/{id}/reject': ADMINS,
  'DELETE /api/nodes/{id}/certificates': ADMINS,
  'GET /api/tokens': ADMINS,
  'POST /api/tokens': ADMINS,
  'DELETE /api/tokens/{id}': ADMINS,
} as const satisfies Record<string, AccessRule>

/** A route of the table, for example `GET /services/{name}`. */
export type RouteKey = keyof typeof ACCESS

/** The role a caller acts in, or undefined for a stranger. */
export function accessRoleOf(principal: Principal): AccessRole | undefined {
  if (principal.kind === 'anonymous') return undefined
  if (principal.kind === 'person') return principal.role
  return principal.role === 'coordinator' ? 'coordinator' : 'node'
}

/** Whether the table lets the caller use the route. */
export function isAllowed(key: RouteKey, principal: Principal): boolean {
  const rule: AccessRule = ACCESS[key]
  if (rule === 'open') return true
  const role = accessRoleOf(principal)
  return role !== undefined && rule.includes(role)
}
