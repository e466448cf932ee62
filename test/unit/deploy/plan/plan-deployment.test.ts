import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Deployment } from '../../../../src/base/deployment.ts'
import type { DeployPlan } from '../../../../src/base/deployment.ts'
import {
  diffDeployments,
  planDeployment,
  type PlanDeploymentInput,
  versionGoesBackwards,
} from '../../../../src/deploy/plan/index.ts'
import { promisesCompatibility } from '../../../../src/deploy/plan/version.ts'
import type { MethodDescriptor } from '../../../../src/service/index.ts'
import { Cluster, deployment, nodes } from './fixture.ts'

const LEND: MethodDescriptor = {
  service: 'shop',
  name: 'lend',
  description: '',
  isPublic: true,
  timeoutMs: 1,
  cacheTtlMs: 0,
  requiredRole: 'operator',
}

/** What `p2p plan` says when generation 1 runs on two nodes. */
function plan(next: Partial<Deployment>, input: Partial<PlanDeploymentInput> = {}): DeployPlan {
  const cluster = new Cluster(nodes(3), deployment({ count: 2, version: '1.2.0' }))
  return planDeployment({
    next: deployment({ generation: 2, count: 2, version: '1.3.0', artifact: 'b'.repeat(64), ...next }),
    plans: [cluster.plan],
    nodes: nodes(3),
    services: new Set(['system']),
    methods: { before: undefined, after: undefined },
    callersOf: () => [],
    force: false,
    ...input,
  })
}

function codes(from: DeployPlan): string[] {
  return from.refusals.map(({ code }) => code)
}

test('versions are compared as Semantic Versioning says', () => {
  assert.ok(versionGoesBackwards('1.10.0', '1.9.9'))
  assert.ok(versionGoesBackwards('1.0.0', '1.0.0-rc.1'))
  assert.ok(!versionGoesBackwards('1.0.0', '1.0.0'))
  assert.ok(!versionGoesBackwards('1.9.0', '1.10.0'))
  assert.ok(!versionGoesBackwards('1.0.0+b', '1.0.0+a'))
  assert.ok(!versionGoesBackwards('2026-01-02', 'older'))
  assert.ok(promisesCompatibility('1.2.3', '1.9.0'))
  assert.ok(!promisesCompatibility('1.2.3', '2.0.0'))
  assert.ok(promisesCompatibility('0.2.3', '0.2.4'))
  assert.ok(!promisesCompatibility('0.2.3', '0.3.0'))
  assert.ok(!promisesCompatibility('x', '1.0.0'))
})

test('a plan says what changes, and on which nodes', () => {
  const { fromVersion, toVersion, changes, nodes: moves, refusals, warnings } = plan({ count: 3 })
  assert.deepEqual([fromVersion, toVersion, refusals, warnings], ['1.2.0', '1.3.0', [], []])
  assert.deepEqual(changes, [
    { path: 'version', from: '1.2.0', to: '1.3.0' },
    { path: 'artifact', from: 'aaaaaaaaaaaa', to: 'bbbbbbbbbbbb' },
    { path: 'count', from: '2', to: '3' },
  ])
  assert.equal(moves.length, 3)
  assert.deepEqual(
    moves.filter(({ replaces }) => replaces).map(({ from, to }) => [from, to]),
    [
      [1, 1],
      [1, 1],
    ],
  )
  assert.deepEqual(
    moves.find(({ replaces }) => !replaces) && moves.filter(({ from }) => from === 0).map(({ to }) => to),
    [1],
  )
  const scaled = plan({ count: 1, processGeneration: 1, version: '1.2.0', artifact: 'a'.repeat(64) })
  assert.ok(scaled.nodes.every(({ replaces }) => !replaces))
  assert.deepEqual(scaled.nodes.map(({ from, to }) => from - to).sort(), [0, 1])
})

test('a new service changes from nothing, and shows only what it would not get anyway', () => {
  const first = planDeployment({
    next: deployment({
      healthyMs: 1_000,
      config: { port: 80, tls: { min: '1.3', names: ['a', 'b'] } },
      secrets: { DB: 'shop/db' },
    }),
    plans: [],
    nodes: nodes(1),
    services: new Set(),
    methods: { before: undefined, after: [] },
    callersOf: () => [],
    force: false,
  })
  assert.equal(first.fromVersion, undefined)
  assert.ok(first.changes.every(({ from }) => from === undefined))
  const shown = Object.fromEntries(first.changes.map(({ path, to }) => [path, to]))
  assert.deepEqual(shown, {
    version: '1.1.0',
    artifact: 'aaaaaaaaaaaa',
    count: '1',
    healthyFor: '1 s',
    'secrets.DB': 'secret shop/db',
    'config.port': '80',
    'config.tls.min': '1.3',
    'config.tls.names': '["a","b"]',
  })
})

test('each field has its words, and long values are cut', () => {
  const before = deployment({
    config: { a: 1, b: 2 },
    secrets: { DB: 'db' },
    secretVersions: { db: 1 },
    placement: { labels: { disk: 'ssd' } },
  })
  const after = deployment({
    generation: 2,
    version: before.version,
    config: { a: 1, text: 'x'.repeat(200) },
    secrets: { DB: 'db' },
    secretVersions: { db: 2 },
    placement: { labels: {}, spreadBy: 'rack', perNodeMax: 2 },
    update: { kind: 'canary', nodes: 1, watchMs: 60_000, batch: 2 },
    job: { kind: 'cron', schedule: '0 4 * * *', timeZone: 'UTC', retries: 1 },
    dependsOn: [{ service: 'db', healthy: true }],
    isStopped: true,
  })
  assert.deepEqual(diffDeployments(before, after), [
    { path: 'state', from: 'running', to: 'stopped' },
    { path: 'placement.spreadBy', from: undefined, to: 'rack' },
    { path: 'placement.perNodeMax', from: undefined, to: '2' },
    { path: 'update', from: 'rolling, 1 at a time', to: 'canary on 1, watched for 60 s, then 2 at a time' },
    { path: 'job', from: undefined, to: '0 4 * * * (UTC), 1 retry' },
    { path: 'dependsOn.db', from: undefined, to: 'healthy' },
    { path: 'secrets.DB', from: 'secret db, value 1', to: 'secret db, value 2' },
    { path: 'config.text', from: undefined, to: `${'x'.repeat(79)}…` },
    { path: 'placement.labels.disk', from: 'ssd', to: undefined },
    { path: 'config.b', from: '2', to: undefined },
  ])
  assert.deepEqual(diffDeployments(after, after), [])
})

test('an older version is refused with the way back, unless it is insisted on', () => {
  const refused = plan({ version: '1.1.9' })
  assert.deepEqual(refused.refusals, [
    {
      code: 'VERSION_BACKWARDS',
      message:
        'Version 1.1.9 is older than 1.2.0, which runs: p2p rollback shop goes back to it; --force deploys it as it is',
    },
  ])
  const forced = plan({ version: '1.1.9' }, { force: true })
  assert.deepEqual(forced.refusals, [])
  assert.match(forced.warnings[0] ?? '', /is older than 1.2.0/)
})

test('a method that somebody calls may not vanish', () => {
  const methods = { before: [LEND, { ...LEND, name: 'unused' }], after: [] }
  const refused = plan({}, { methods, callersOf: (method) => (method === 'lend' ? ['web'] : []) })
  assert.deepEqual(codes(refused), ['INCOMPATIBLE'])
  assert.match(refused.refusals[0]?.message ?? '', /^lend: the method is gone, and web called it in the last days: /)
  assert.equal(refused.incompatible.length, 2)
  assert.deepEqual(refused.warnings, [
    'unused: the method is gone; nobody has called it in the last days',
    '1.3.0 promises to be compatible with 1.2.0 and is not: raise the major version',
  ])
  assert.deepEqual(codes(plan({}, { methods })), [])
})

test('what cannot run anywhere, and rules that cannot be followed, are refused', () => {
  const nowhere = plan({ placement: { labels: { gpu: 'yes' } } })
  assert.deepEqual(codes(nowhere), ['NO_PLACE'])
  assert.match(nowhere.refusals[0]?.message ?? '', /have no label gpu=yes/)
  const tight = plan({ count: 5, placement: { labels: {}, perNodeMax: 1 } })
  assert.deepEqual(codes(tight), [])
  assert.match(tight.warnings[0] ?? '', /2 of 5 instances/)
  assert.deepEqual(codes(plan({ job: { kind: 'cron', schedule: 'often', timeZone: 'UTC', retries: 0 } })), [
    'SCHEDULE_INVALID',
  ])
  assert.deepEqual(codes(plan({ update: { kind: 'rolling', batch: 0 } })), ['UPDATE_INVALID'])
  assert.deepEqual(codes(plan({ update: { kind: 'canary', nodes: 0, batch: 1, watchMs: 0 } })), ['UPDATE_INVALID'])
  assert.deepEqual(
    codes(plan({ job: { kind: 'cron', schedule: 'often', timeZone: 'UTC', retries: 0 } }, { force: true })),
    ['SCHEDULE_INVALID'],
  )
})

test('a dependency must be there, and may not come back to the service', () => {
  assert.deepEqual(codes(plan({ dependsOn: [{ service: 'nowhere', healthy: false }] })), ['DEPENDENCY_UNKNOWN'])
  assert.deepEqual(codes(plan({ dependsOn: [{ service: 'system', healthy: true }] })), [])
  const self = plan({ dependsOn: [{ service: 'shop', healthy: true }] })
  assert.deepEqual(codes(self), ['DEPENDENCY_CYCLE'])
  assert.match(self.refusals[0]?.message ?? '', /shop → shop/)
})

test('the same version with other files is warned of', () => {
  assert.deepEqual(plan({ version: '1.2.0' }).warnings, [
    'Version 1.2.0 runs already, with other files: give what is different a version of its own',
  ])
})
