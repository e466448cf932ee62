import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Validator } from '@seriousme/openapi-schema-validator'
import { ACCESS_ROLES, type AccessRole } from '../../../../src/base/identity.ts'
import { ACCESS, type AccessRule, type RouteKey } from '../../../../src/service/auth/access.ts'
import { StubAcme } from './stub-acme.ts'
import { StubAudit } from './stub-audit.ts'
import { StubDashboard } from './stub-dashboard.ts'
import { jsonBody, nodeConnection, type StubNode, startStubNode, strangerConnection } from './stub-node.ts'
import { DIGEST, StubDeployments, StubSecrets, StubUploads } from './stub-deployments.ts'
import { StubAlerts } from './stub-alerts.ts'
import { stubTimeline, stubWhy } from './stub-timeline.ts'
import { CERTIFICATE_REQUEST, stubCaRotation, stubEnrolment, stubTrustAdmin } from './stub-trust.ts'

const issuedAtOnce = stubEnrolment({
  request: async () => ({ status: 'issued', cluster: 'blue', certificate_chain: 'PEM', ca_certificate: 'ROOT' }),
})

function startCoordinator(): Promise<StubNode> {
  return startStubNode({
    enrolment: issuedAtOnce,
    trustAdmin: stubTrustAdmin(),
    caRotation: stubCaRotation(),
    acme: new StubAcme(),
    acmeAdmin: new StubAcme(),
    auditReader: new StubAudit(),
    timeline: stubTimeline().timeline,
    why: stubWhy,
    alerts: new StubAlerts(),
    dashboard: new StubDashboard(),
    deployments: new StubDeployments(),
    artifacts: new StubUploads(),
    secrets: new StubSecrets(),
  })
}

const signed = (path: string): (() => { path: string; init: RequestInit }) => {
  const init = { method: 'POST', headers: { 'content-type': 'application/jose+json' }, body: '{}' }
  return () => ({ path, init })
}

/** How each route is asked for so that it succeeds, and what it answers then. The type makes the list complete. */
const SAMPLES: Record<AskedKey, (node: StubNode) => { path: string; init?: RequestInit; status?: number }> = {
  'GET /health': () => ({ path: '/health' }),
  'GET /cluster/nodes': () => ({ path: '/cluster/nodes' }),
  'GET /services': () => ({ path: '/services' }),
  'GET /services/{name}': () => ({ path: '/services/inventory' }),
  'POST /services/{name}/restart': () => ({ path: '/services/inventory/restart', init: { method: 'POST' } }),
  'GET /metrics': () => ({ path: '/metrics' }),
  'GET /openapi.json': () => ({ path: '/openapi.json' }),
  'POST /rpc': () => ({ path: '/rpc', init: jsonBody({ jsonrpc: '2.0', method: 'inventory/list', id: 1 }) }),
  'GET /docs': () => ({ path: '/docs' }),
  'GET /redoc': () => ({ path: '/redoc' }),
  'GET /docs/assets/{file}': () => ({ path: '/docs/assets/docs.js' }),
  // The stub has no build: asked for and let in, but not there. With files: dashboard-page.test.ts.
  'GET /': () => ({ path: '/', init: { redirect: 'manual' }, status: 302 }),
  'GET /dashboard': () => ({ path: '/dashboard', status: 404 }),
  'GET /dashboard/{page}': () => ({ path: '/dashboard/nodes', status: 404 }),
  'GET /dashboard/{page}/{item}': () => ({ path: '/dashboard/nodes/worker-1', status: 404 }),
  'GET /dashboard/assets/{file}': () => ({ path: '/dashboard/assets/index-abc.js', status: 404 }),
  'POST /auth/token': ({ credential }) => ({ path: '/auth/token', init: jsonBody({ credential }) }),
  // Open, and let in: then their own credential is looked at. With good ones: people-routes.test.ts.
  'POST /auth/refresh': () => ({ path: '/auth/refresh', init: jsonBody({ refresh_token: 'none' }), status: 401 }),
  'POST /auth/revoke': () => ({ path: '/auth/revoke', init: jsonBody({ refresh_token: 'none' }), status: 401 }),
  'POST /auth/invitation': () => ({ path: '/auth/invitation', init: jsonBody({ secret: 'none' }), status: 401 }),
  'GET /auth/account': () => ({ path: '/auth/account' }),
  'GET /auth/methods': () => ({ path: '/auth/methods' }),
  // The stub has no provider. With one: oidc.test.ts.
  'GET /auth/oidc/start': () => ({ path: '/auth/oidc/start', status: 404 }),
  'GET /auth/oidc/callback': () => ({ path: '/auth/oidc/callback', status: 404 }),
  // The caller holds the operator credential, and is no user.
  'PUT /auth/password': () => ({
    path: '/auth/password',
    init: jsonBody({ current: 'a', next: 'b' }, 'PUT'),
    status: 404,
  }),
  'DELETE /auth/sessions/{id}': () => ({ path: '/auth/sessions/s1', init: { method: 'DELETE' }, status: 404 }),
  'POST /auth/totp': () => ({ path: '/auth/totp', init: jsonBody({ password: 'a' }), status: 404 }),
  'PUT /auth/totp': () => ({ path: '/auth/totp', init: jsonBody({ code: '123456' }, 'PUT'), status: 404 }),
  'POST /auth/totp/remove': () => ({ path: '/auth/totp/remove', init: jsonBody({ password: 'a' }), status: 404 }),
  // A name in the address is asked for first; with one: passkey-routes.test.ts.
  'POST /auth/passkeys/sign-in': () => ({ path: '/auth/passkeys/sign-in', init: { method: 'POST' }, status: 400 }),
  'POST /auth/passkeys/begin': () => ({ path: '/auth/passkeys/begin', init: jsonBody({ password: 'a' }), status: 400 }),
  'POST /auth/passkeys': () => ({ path: '/auth/passkeys', init: jsonBody({}), status: 400 }),
  'DELETE /auth/passkeys/{id}': () => ({ path: '/auth/passkeys/p1', init: { method: 'DELETE' }, status: 404 }),
  'GET /api/users': () => ({ path: '/api/users' }),
  'POST /api/users': () => ({ path: '/api/users', init: jsonBody({ name: 'ada', role: 'viewer' }), status: 201 }),
  'PUT /api/users/{name}/role': () => ({ path: '/api/users/ada/role', init: jsonBody({ role: 'operator' }, 'PUT') }),
  'POST /api/users/{name}/reset': () => ({ path: '/api/users/ada/reset', init: { method: 'POST' } }),
  'DELETE /api/users/{name}': () => ({ path: '/api/users/ada', init: { method: 'DELETE' }, status: 204 }),
  'POST /auth/link': ({ credential }) => ({ path: '/auth/link', init: jsonBody({ credential }) }),
  'POST /auth/session': ({ credential }) => ({ path: '/auth/session', init: jsonBody({ credential }) }),
  'GET /auth/session': () => ({ path: '/auth/session' }),
  'DELETE /auth/session': () => ({ path: '/auth/session', init: { method: 'DELETE' }, status: 204 }),
  'GET /internal/ca-cert': () => ({ path: '/internal/ca-cert' }),
  'GET /internal/crl': () => ({ path: '/internal/crl' }),
  'POST /internal/cert-nonce': () => ({
    path: '/internal/cert-nonce',
    init: jsonBody({ client_nonce: 'abcdefghijklmnop' }),
  }),
  'POST /internal/cert-request': () => ({ path: '/internal/cert-request', init: jsonBody(CERTIFICATE_REQUEST) }),
  'GET /acme/directory': () => ({ path: '/acme/directory' }),
  'GET /acme/new-nonce': () => ({ path: '/acme/new-nonce', status: 204 }),
  'GET /acme/renewal-info/{certificate}': () => ({ path: '/acme/renewal-info/AAAA.BBBB' }),
  'POST /acme/new-account': signed('/acme/new-account'),
  'POST /acme/account/{id}': signed('/acme/account/a1'),
  'POST /acme/account/{id}/orders': signed('/acme/account/a1/orders'),
  'POST /acme/key-change': signed('/acme/key-change'),
  'POST /acme/new-order': signed('/acme/new-order'),
  'POST /acme/order/{id}': signed('/acme/order/o1'),
  'POST /acme/order/{id}/finalize': signed('/acme/order/o1/finalize'),
  'POST /acme/authorization/{id}/{index}': signed('/acme/authorization/o1/0'),
  'POST /acme/challenge/{id}/{index}/{type}': signed('/acme/challenge/o1/0/http-01'),
  'POST /acme/certificate/{serial}': signed('/acme/certificate/ab'),
  'POST /acme/revoke-cert': signed('/acme/revoke-cert'),
  'GET /api/audit': () => ({ path: '/api/audit' }),
  'POST /api/audit/verify': () => ({ path: '/api/audit/verify', init: { method: 'POST' } }),
  'GET /api/acme/credentials': () => ({ path: '/api/acme/credentials' }),
  'POST /api/acme/credentials': () => ({
    path: '/api/acme/credentials',
    init: jsonBody({ label: 'web' }),
    status: 201,
  }),
  'DELETE /api/acme/credentials/{kid}': () => ({
    path: '/api/acme/credentials/k1',
    init: { method: 'DELETE' },
    status: 204,
  }),
  'GET /api/status': () => ({ path: '/api/status' }),
  'GET /api/alerts': () => ({ path: '/api/alerts' }),
  'POST /api/alerts/acknowledge': () => ({
    path: '/api/alerts/acknowledge',
    init: jsonBody({ id: 'node/worker-1' }),
  }),
  'POST /api/alerts/silences': () => ({
    path: '/api/alerts/silences',
    init: jsonBody({ node_id: 'worker-1', until: '2027-01-01T00:00:00Z' }),
    status: 201,
  }),
  'DELETE /api/alerts/silences/{id}': () => ({ path: '/api/alerts/silences/s1', init: { method: 'DELETE' } }),
  'POST /api/alerts/test': () => ({ path: '/api/alerts/test', init: jsonBody({}) }),
  'GET /api/events': () => ({ path: '/api/events' }),
  'GET /api/why/{kind}/{name}': () => ({ path: '/api/why/node/worker-1' }),
  'GET /api/logs': () => ({ path: '/api/logs' }),
  'GET /api/logs/sources': () => ({ path: '/api/logs/sources' }),
  'DELETE /api/logs': () => ({ path: '/api/logs', init: { method: 'DELETE' } }),
  'GET /api/ca': () => ({ path: '/api/ca' }),
  'GET /api/ca/rotation': () => ({ path: '/api/ca/rotation' }),
  'POST /api/ca/rotation': () => ({ path: '/api/ca/rotation', init: jsonBody({ kind: 'root' }), status: 202 }),
  'POST /api/ca/rotation/finish': () => ({
    path: '/api/ca/rotation/finish',
    init: jsonBody({ force: true }),
    status: 202,
  }),
  'GET /api/nodes/pending': () => ({ path: '/api/nodes/pending' }),
  'POST /api/nodes/{id}/approve': () => ({ path: '/api/nodes/worker-7/approve', init: { method: 'POST' } }),
  'POST /api/nodes/{id}/reject': () => ({ path: '/api/nodes/worker-7/reject', init: { method: 'POST' } }),
  'DELETE /api/nodes/{id}/certificates': () => ({
    path: '/api/nodes/worker-7/certificates',
    init: { method: 'DELETE' },
  }),
  'GET /api/nodes/banned': () => ({ path: '/api/nodes/banned' }),
  'POST /api/nodes/{id}/ban': () => ({ path: '/api/nodes/worker-7/ban', init: { method: 'POST' } }),
  'DELETE /api/nodes/{id}/ban': () => ({ path: '/api/nodes/worker-7/ban', init: { method: 'DELETE' } }),
  'GET /api/tokens': () => ({ path: '/api/tokens' }),
  'POST /api/tokens': () => ({ path: '/api/tokens', init: jsonBody({ role: 'worker' }), status: 201 }),
  'DELETE /api/tokens/{id}': () => ({ path: '/api/tokens/t1', init: { method: 'DELETE' }, status: 204 }),
  'GET /api/deployments': () => ({ path: '/api/deployments' }),
  'GET /api/deployments/{service}': () => ({ path: '/api/deployments/shop' }),
  'GET /api/deployments/{service}/history': () => ({ path: '/api/deployments/shop/history' }),
  'GET /api/deployments/{service}/rollout': () => ({ path: '/api/deployments/shop/rollout' }),
  'POST /api/deployments/{service}/plan': () => ({ path: '/api/deployments/shop/plan', init: jsonBody({}) }),
  'PUT /api/deployments/{service}': () => ({ path: '/api/deployments/shop', init: jsonBody({}, 'PUT'), status: 202 }),
  'POST /api/deployments/{service}/scale': () => ({
    path: '/api/deployments/shop/scale',
    init: jsonBody({ count: 'every' }),
    status: 202,
  }),
  'POST /api/deployments/{service}/rollback': () => ({
    path: '/api/deployments/shop/rollback',
    init: { method: 'POST' },
    status: 202,
  }),
  'POST /api/deployments/{service}/start': () => ({
    path: '/api/deployments/shop/start',
    init: { method: 'POST' },
    status: 202,
  }),
  'POST /api/deployments/{service}/stop': () => ({ path: '/api/deployments/shop/stop', init: { method: 'POST' } }),
  'POST /api/deployments/{service}/restart': () => ({
    path: '/api/deployments/shop/restart',
    init: { method: 'POST' },
    status: 202,
  }),
  'DELETE /api/deployments/{service}': () => ({
    path: '/api/deployments/shop',
    init: { method: 'DELETE' },
    status: 204,
  }),
  'POST /api/nodes/{id}/drain': () => ({ path: '/api/nodes/worker-1/drain', init: { method: 'POST' } }),
  'POST /api/nodes/{id}/undrain': () => ({ path: '/api/nodes/worker-1/undrain', init: { method: 'POST' } }),
  'POST /api/dashboard/control-service': () => ({
    path: '/api/dashboard/control-service',
    init: jsonBody({ worker_id: 'worker-1', service_name: 'inventory', action: 'restart' }),
  }),
  'GET /api/dashboard/metrics': () => ({ path: '/api/dashboard/metrics' }),
  'GET /api/dashboard/full-data': () => ({ path: '/api/dashboard/full-data' }),
  'GET /api/dashboard/history/{node}': () => ({ path: '/api/dashboard/history/worker-1?range=1h&points=50' }),
  'GET /api/dashboard/services/{service}/history': () => ({ path: '/api/dashboard/services/inventory/history' }),
  'GET /api/dashboard/stats': () => ({ path: '/api/dashboard/stats' }),
  'GET /ws/dashboard': () => ({ path: '/ws/dashboard', status: 426 }),
  'GET /api/artifacts': () => ({ path: '/api/artifacts' }),
  'GET /api/artifacts/{digest}': () => ({ path: `/api/artifacts/${DIGEST}` }),
  'POST /api/artifacts': () => ({ path: '/api/artifacts', init: jsonBody({ digest: DIGEST, size_bytes: 10 }) }),
  'PUT /api/artifacts/{digest}': () => ({ path: `/api/artifacts/${DIGEST}?offset=10`, init: { method: 'PUT' } }),
  'GET /api/secrets': () => ({ path: '/api/secrets' }),
  'PUT /api/secrets/{name}': () => ({ path: '/api/secrets/shop%2Fdb', init: jsonBody({ value: 'x' }, 'PUT') }),
  'DELETE /api/secrets/{name}': () => ({
    path: '/api/secrets/shop%2Fdb',
    init: { method: 'DELETE' },
    status: 204,
  }),
}

const KEYS = Object.keys(ACCESS) as RouteKey[]

/** Answers without an end have tests of their own: test/e2e/transport-peers.test.ts, member-events.test.ts, log-routes.test.ts, timeline-routes.test.ts, deployment-routes.test.ts. */
const STREAMS = [
  'POST /p2p/v1/channel',
  'GET /cluster/events',
  'GET /api/logs/events',
  'GET /api/events/follow',
  'GET /api/deployments/{service}/rollout/events',
] as const
const ASKED_KEYS = KEYS.filter((key): key is AskedKey => !STREAMS.includes(key as never))
type AskedKey = Exclude<RouteKey, (typeof STREAMS)[number]>

async function askAs(node: StubNode, role: AccessRole | undefined, key: AskedKey) {
  const { path, init = {}, status = 200 } = SAMPLES[key](node)
  const isMachine = role === 'node' || role === 'coordinator'
  node.transport.connection = isMachine
    ? nodeConnection(role === 'node' ? 'worker' : 'coordinator')
    : strangerConnection()
  const token = role === undefined || isMachine ? {} : { token: await node.tokenFor(role) }
  return { answer: await node.ask(path, { ...init, ...token }), expected: status }
}

test('without credentials exactly the open routes answer; everything else is 401 and says how to get in', async () => {
  await using node = await startCoordinator()
  for (const key of ASKED_KEYS) {
    const { answer, expected } = await askAs(node, undefined, key)
    if ((ACCESS[key] as AccessRule) === 'open') assert.equal(answer.status, expected, `${key}: ${answer.text}`)
    else {
      assert.equal(answer.status, 401, key)
      assert.match(answer.json().detail, /p2p login/, key)
      assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="p2p-core"', key)
    }
  }
})

for (const role of ACCESS_ROLES) {
  test(`a caller with role ${role} gets exactly what the table says`, async () => {
    await using node = await startCoordinator()
    for (const key of ASKED_KEYS) {
      const rule: AccessRule = ACCESS[key]
      const { answer, expected } = await askAs(node, role, key)
      const isAllowed = rule === 'open' || rule.includes(role)
      assert.equal(answer.status, isAllowed ? expected : 403, `${key}: ${answer.text}`)
      if (!isAllowed) assert.equal(answer.json().code, 'P2P_RPC_ACCESS_DENIED', key)
    }
  })
}

test('paths that are not in the table are 401 for strangers and 404 for known callers', async () => {
  await using node = await startCoordinator()
  for (const path of ['/nope', '/api', '/api/nodes', '/internal/gossip/join', '/docs/', '/HEALTH', '//health']) {
    assert.equal((await node.ask(path)).status, 401, path)
    assert.equal((await node.ask(path, { token: await node.tokenFor('admin') })).status, 404, path)
  }
})

test('HEAD asks for what GET asks for', async () => {
  await using node = await startCoordinator()
  assert.equal((await node.ask('/cluster/nodes', { method: 'HEAD' })).status, 401)
  assert.equal((await node.ask('/health', { method: 'HEAD' })).status, 200)
  const token = await node.tokenFor('viewer')
  assert.equal((await node.ask('/cluster/nodes', { method: 'HEAD', token })).status, 200)
  assert.equal((await node.ask('/api/tokens', { method: 'HEAD', token })).status, 403)
})

test('the OpenAPI document, the fast routes and the table name the same routes', async () => {
  await using node = await startCoordinator()
  const { paths } = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  const documented = Object.entries(paths as Record<string, object>).flatMap(([path, operations]) =>
    Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`),
  )
  assert.deepEqual(documented.sort(), [...KEYS].sort())
  const fast = node.transport.fastRoutes.map((key) => key.replace(/^HEAD /, 'GET '))
  assert.deepEqual(
    fast.filter((key) => !(key in ACCESS)),
    [],
  )
})

test('the OpenAPI document says of every route what the table says', async () => {
  await using node = await startCoordinator()
  const { paths } = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  for (const key of KEYS) {
    const [method, path] = key.split(' ') as [string, string]
    const operation = paths[path][method.toLowerCase()]
    const rule: AccessRule = ACCESS[key]
    if (rule === 'open') assert.deepEqual(operation.security, [], key)
    else {
      assert.deepEqual(operation['x-roles'], rule, key)
      const schemes = operation.security.flatMap((entry: object) => Object.keys(entry))
      assert.equal(schemes.includes('mutualTLS'), rule.includes('node'), key)
      assert.equal(schemes.includes('bearer'), rule.includes('admin'), key)
    }
  }
})

test('the OpenAPI document is valid OpenAPI 3.1', async () => {
  await using node = await startCoordinator()
  const document = (await node.ask('/openapi.json', { token: await node.tokenFor('viewer') })).json()
  const { valid, errors } = await new Validator().validate(structuredClone(document))
  assert.ok(valid, JSON.stringify(errors, null, 2))
  assert.match(document['openapi'], /^3\.1\./)
  assert.deepEqual(Object.keys(document['components'].securitySchemes), ['mutualTLS', 'bearer'])
})
