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
  'POST /services/{name}/restart': OPERATORS,
  'GET /metrics': ANYBODY_KNOWN,
  'GET /openapi.json': ANYBODY_KNOWN,
  'POST /rpc': ANYBODY_KNOWN,
  'POST /p2p/v1/channel': MACHINES, // the transport itself asks for the certificate

  // The documentation pages hold nothing of the cluster: what they show is /openapi.json, which asks for a credential.
  'GET /docs': 'open',
  'GET /redoc': 'open',
  'GET /docs/assets/{file}': 'open',

  // The dashboard's page likewise: it is empty until it has asked as a known caller.
  'GET /': 'open',
  'GET /dashboard': 'open',
  'GET /dashboard/{page}': 'open',
  'GET /dashboard/{page}/{item}': 'open',
  'GET /dashboard/assets/{file}': 'open',

  'POST /auth/token': 'open', // the credential is in the body
  'POST /auth/refresh': 'open', // likewise
  'POST /auth/revoke': 'open', // what is revoked is its own credential
  'POST /auth/invitation': 'open', // its secret is in the body
  'GET /auth/methods': 'open',
  'GET /auth/oidc/start': 'open',
  'GET /auth/oidc/callback': 'open', // what the provider says is verified
  'POST /auth/link': 'open', // the credential is in the body
  'POST /auth/session': 'open', // likewise, or a link's secret
  'POST /auth/passkeys/sign-in': 'open', // gives out what is to be signed
  'GET /auth/session': VIEWERS,
  'DELETE /auth/session': VIEWERS,

  // The own account; those that weaken it ask for the password besides.
  'GET /auth/account': VIEWERS,
  'PUT /auth/password': VIEWERS,
  'DELETE /auth/sessions/{id}': VIEWERS,
  'POST /auth/totp': VIEWERS,
  'PUT /auth/totp': VIEWERS,
  'POST /auth/totp/remove': VIEWERS,
  'POST /auth/passkeys/begin': VIEWERS,
  'POST /auth/passkeys': VIEWERS,
  'DELETE /auth/passkeys/{id}': VIEWERS,
  'GET /api/users': ADMINS,
  'POST /api/users': ADMINS,
  'PUT /api/users/{name}/role': ADMINS,
  'POST /api/users/{name}/reset': ADMINS,
  'DELETE /api/users/{name}': ADMINS,

  // Joining: the stranger's proof is in the request, the answers are worthless without it (docs/protocol/enrolment.md).
  'GET /internal/ca-cert': 'open',
  'GET /internal/crl': 'open',
  'POST /internal/cert-nonce': 'open',
  'POST /internal/cert-request': 'open',

  // ACME: each request is signed by its account; opening one takes a credential (docs/protocol/acme.md).
  'GET /acme/directory': 'open',
  'GET /acme/new-nonce': 'open',
  'GET /acme/renewal-info/{certificate}': 'open',
  'POST /acme/new-account': 'open',
  'POST /acme/account/{id}': 'open',
  'POST /acme/account/{id}/orders': 'open',
  'POST /acme/key-change': 'open',
  'POST /acme/new-order': 'open',
  'POST /acme/order/{id}': 'open',
  'POST /acme/order/{id}/finalize': 'open',
  'POST /acme/authorization/{id}/{index}': 'open',
  'POST /acme/challenge/{id}/{index}/{type}': 'open',
  'POST /acme/certificate/{serial}': 'open',
  'POST /acme/revoke-cert': 'open',

  'GET /api/status': ANYBODY_KNOWN,
  'GET /api/audit': ADMINS,
  'POST /api/audit/verify': ADMINS,
  'GET /api/acme/credentials': ADMINS,
  'POST /api/acme/credentials': ADMINS,
  'DELETE /api/acme/credentials/{kid}': ADMINS,
  'GET /api/logs': VIEWERS,
  'GET /api/logs/events': VIEWERS,
  'GET /api/logs/sources': VIEWERS,
  'DELETE /api/logs': ADMINS,
  'GET /api/events': VIEWERS,
  'GET /api/events/follow': VIEWERS,
  'GET /api/why/{kind}/{name}': VIEWERS,
  'GET /api/alerts': VIEWERS,
  'POST /api/alerts/acknowledge': OPERATORS,
  'POST /api/alerts/silences': OPERATORS,
  'DELETE /api/alerts/silences/{id}': OPERATORS,
  'POST /api/alerts/test': OPERATORS,
  'GET /api/ca': VIEWERS,
  'GET /api/ca/rotation': VIEWERS,
  'POST /api/ca/rotation': ADMINS,
  'POST /api/ca/rotation/finish': ADMINS,
  'GET /api/nodes/pending': OPERATORS,
  'POST /api/nodes/{id}/approve': ADMINS,
  'POST /api/nodes/{id}/reject': ADMINS,
  'DELETE /api/nodes/{id}/certificates': ADMINS,
  'GET /api/nodes/banned': OPERATORS,
  'POST /api/nodes/{id}/ban': ADMINS,
  'DELETE /api/nodes/{id}/ban': ADMINS,
  'GET /api/tokens': ADMINS,
  'POST /api/tokens': ADMINS,
  'DELETE /api/tokens/{id}': ADMINS,

  // What should run where. Who deploys decides what runs on every machine, with the secrets it names.
  'GET /api/deployments': VIEWERS,
  'GET /api/deployments/{service}': VIEWERS,
  'GET /api/deployments/{service}/history': VIEWERS,
  'GET /api/deployments/{service}/rollout': VIEWERS,
  'GET /api/deployments/{service}/rollout/events': VIEWERS,
  'POST /api/deployments/{service}/plan': OPERATORS,
  'PUT /api/deployments/{service}': OPERATORS,
  'POST /api/deployments/{service}/scale': OPERATORS,
  'POST /api/deployments/{service}/rollback': OPERATORS,
  'POST /api/deployments/{service}/start': OPERATORS,
  'POST /api/deployments/{service}/stop': OPERATORS,
  'POST /api/deployments/{service}/restart': OPERATORS,
  'DELETE /api/deployments/{service}': ADMINS,
  'POST /api/nodes/{id}/drain': OPERATORS,
  'POST /api/nodes/{id}/undrain': OPERATORS,
  'POST /api/dashboard/control-service': OPERATORS,
  'GET /api/dashboard/metrics': VIEWERS,
  'GET /api/dashboard/full-data': VIEWERS,
  'GET /api/dashboard/history/{node}': VIEWERS,
  'GET /api/dashboard/services/{service}/history': VIEWERS,
  'GET /api/dashboard/stats': VIEWERS,
  'GET /ws/dashboard': VIEWERS, // asked again while the socket is open
  'GET /api/artifacts': VIEWERS,
  'GET /api/artifacts/{digest}': VIEWERS,
  'POST /api/artifacts': OPERATORS,
  'PUT /api/artifacts/{digest}': OPERATORS,
  'GET /api/secrets': OPERATORS, // names, never values
  'PUT /api/secrets/{name}': ADMINS,
  'DELETE /api/secrets/{name}': ADMINS,
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
