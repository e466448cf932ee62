import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setImmediate } from 'node:timers/promises'
import { test } from 'node:test'
import { DeployError } from '../../../../src/base/errors.ts'
import type { NodeControl } from '../../../../src/service/http/node-control.ts'
import { DIGEST, ROLLOUT, StubDeployments, StubSecrets } from './stub-deployments.ts'
import { jsonBody, member, membershipOf, type StubNode, startStubNode } from './stub-node.ts'

async function coordinator(): Promise<{ node: StubNode; deployments: StubDeployments; token: string }> {
  const deployments = new StubDeployments()
  const node = await startStubNode({ deployments })
  return { node, deployments, token: await node.tokenFor('operator') }
}

test('a deployment reads with the field names of the wire, and what is the user own stays as it is', async () => {
  const { node, token } = await coordinator()
  await using _node = node
  const { deployments } = (await node.ask('/api/deployments', { token })).json()
  assert.deepEqual(deployments[0].deployment, {
    service: 'shop',
    generation: 3,
    artifact: DIGEST,
    version: '1.3.0',
    count: 2,
    placement: { labels: { rack_name: 'a' }, spread_by: 'rack', per_node_max: 1 },
    update: { kind: 'canary', nodes: 1, watch_ms: 60_000, batch: 2 },
    healthy_ms: 5_000,
    deadline_ms: 30_000,
    config: { pageSize: 10, deep_key: { innerKey: 1 } },
    secrets: { dbPassword: 'shop/db' },
    granted: { net: true, child_process: false, read: ['/srv'], write: [] },
    depends_on: [{ service: 'stock', healthy: true }],
    reserve: { memory_mb: 64, cpus: 0.5 },
    job: { kind: 'cron', schedule: '0 3 * * *', time_zone: 'Europe/Berlin', retries: 1 },
    is_stopped: false,
    by: 'person:admin',
    at_ms: 1_000,
    reason: 'first',
  })
  const one = (await node.ask('/api/deployments/shop', { token })).json()
  assert.deepEqual(one, deployments[0])
  assert.deepEqual(one.job, {
    next_run_ms: 5_000,
    runs: [{ at_ms: 1, node_id: 'worker-1', state: 'failed', exit: '1' }],
  })
  assert.deepEqual(one.rollout.nodes[1], { node_id: 'worker-2', state: 'failed', reason: 'no disk' })
  const { history } = (await node.ask('/api/deployments/shop/history', { token })).json()
  assert.deepEqual(
    [history[0].deployment.generation, history[0].state, history[0].ended_at_ms],
    [3, 'succeeded', 2_000],
  )
  const { rollout } = (await node.ask('/api/deployments/shop/rollout', { token })).json()
  assert.deepEqual(rollout, one.rollout)
})

test('a deploy reaches the orchestrator as it was meant, with who asked', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const body = {
    artifact: DIGEST,
    count: 'every',
    placement: { labels: { disk_kind: 'ssd' }, spread_by: 'rack' },
    update: { kind: 'canary', nodes: 1, watch_ms: 1_000, batch: 3 },
    config: { snake_key: { camelKey: [{ inner_key: 1 }] } },
    secrets: { db_password: 'shop/db' },
    granted: { net: true, child_process: true, read: [], write: [] },
    reserve: { memory_mb: 5, cpus: 1 },
    force: true,
    reason: 'new prices',
  }
  const answer = await node.ask('/api/deployments/shop', { ...jsonBody(body, 'PUT'), token })
  assert.equal(answer.status, 202)
  assert.deepEqual(answer.json().to_version, '1.3.0')
  await node.ask('/api/deployments/shop/plan', { ...jsonBody({ count: 3 }), token })
  assert.deepEqual(deployments.done, [
    [
      'deploy',
      {
        service: 'shop',
        artifact: DIGEST,
        count: 'every',
        placement: { labels: { disk_kind: 'ssd' }, spreadBy: 'rack' },
        update: { kind: 'canary', nodes: 1, watchMs: 1_000, batch: 3 },
        config: { snake_key: { camelKey: [{ inner_key: 1 }] } },
        secrets: { db_password: 'shop/db' },
        granted: { net: true, childProcess: true, read: [], write: [] },
        reserve: { memoryMb: 5, cpus: 1 },
        force: true,
        reason: 'new prices',
      },
      'person:operator',
    ],
    ['plan', { service: 'shop', count: 3 }],
  ])
})

test('a plan comes with its changes, refusals and warnings', async () => {
  const { node, token } = await coordinator()
  await using _node = node
  const plan = (await node.ask('/api/deployments/shop/plan', { ...jsonBody({}), token })).json()
  assert.deepEqual(plan.changes, [
    { path: 'version', from: '1.2.0', to: '1.3.0' },
    { path: 'config.page', to: '10' },
  ])
  assert.deepEqual(plan.nodes, [{ node_id: 'worker-1', from: 1, to: 1, replaces: true }])
  assert.deepEqual(plan.incompatible, [{ method: 'shop/buy', what: 'vanishes', callers: ['cart'] }])
})

test('the nodes tell how far their drain is, and a long poll hears of it', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const drains = async (query = ''): Promise<unknown[]> => {
    const { nodes } = (await node.ask(`/cluster/nodes${query}`, { token })).json()
    return nodes.map((told: { node_id: string; drain?: string }) => [told.node_id, told.drain])
  }
  const none = [
    ['coordinator-1', undefined],
    ['worker-1', undefined],
  ]
  assert.deepEqual(await drains(), none)
  const index = (await node.ask('/cluster/nodes', { token })).headers.get('x-p2p-index')
  const polled = drains(`?index=${index}&wait=30s`)
  // The poll's own timer: from then on it waits.
  while (node.clock.pendingTimers === 0) await drains()
  deployments.drained.set('worker-1', 'draining')
  deployments.change()
  assert.deepEqual(await polled, [
    ['coordinator-1', undefined],
    ['worker-1', 'draining'],
  ])
  deployments.drained.clear()
  deployments.change()
  assert.deepEqual(await drains(), none)
})

test('scale, rollback, start, stop, restart, remove, drain and undrain say who asked', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const admin = await node.tokenFor('admin')
  const post = async (path: string, body?: object): Promise<number> => {
    const init = body === undefined ? { method: 'POST' } : jsonBody(body)
    return (await node.ask(path, { ...init, token })).status
  }
  assert.equal(await post('/api/deployments/shop/scale', { count: 5 }), 202)
  assert.equal(await post('/api/deployments/shop/rollback'), 202)
  assert.equal(await post('/api/deployments/shop/rollback', { generation: 2 }), 202)
  assert.equal(await post('/api/deployments/shop/start'), 202)
  assert.equal(await post('/api/deployments/shop/stop'), 200)
  assert.equal(await post('/api/deployments/shop/restart'), 202)
  assert.equal(await post('/api/nodes/worker-1/drain'), 200)
  assert.equal(await post('/api/nodes/worker-1/undrain'), 200)
  assert.equal((await node.ask('/api/deployments/shop', { method: 'DELETE', token: admin })).status, 204)
  const by = 'person:operator'
  assert.deepEqual(deployments.done, [
    ['scale', 'shop', 5, by],
    ['rollback', 'shop', by, undefined],
    ['rollback', 'shop', by, 2],
    ['start', 'shop', by],
    ['stop', 'shop', by],
    ['restart', 'shop', by],
    ['drain', 'worker-1', by],
    ['undrain', 'worker-1', by],
    ['remove', 'shop', by],
  ])
})

test('a body of the wrong shape reaches nobody, and the answer names the place', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const wrong: [path: string, issue: string, body: unknown][] = [
    ['/api/deployments/shop/plan', 'body/artifact', { artifact: 'latest' }],
    ['/api/deployments/shop/plan', 'body/count', { count: -1 }],
    ['/api/deployments/shop/plan', 'body/count', { count: 'all' }],
    ['/api/deployments/shop/plan', 'body', { cuont: 3 }],
    ['/api/deployments/shop/plan', 'body/update/kind', { update: { kind: 'blue-green' } }],
    ['/api/deployments/shop/plan', 'body/update/batch', { update: { kind: 'rolling', batch: 0 } }],
    ['/api/deployments/shop/plan', 'body/deadline_ms', { deadline_ms: 1 }],
    ['/api/deployments/shop/plan', 'body/reason', { reason: 'two\nlines' }],
    [
      '/api/deployments/shop/plan',
      'body/granted/net',
      { granted: { net: 'yes', child_process: false, read: [], write: [] } },
    ],
    ['/api/deployments/shop/plan', 'body/secrets/a', { secrets: { a: '' } }],
    [
      '/api/deployments/shop/plan',
      'body/placement/labels',
      { placement: { labels: Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, 'x'])) } },
    ],
    ['/api/deployments/shop/scale', 'body/count', {}],
    ['/api/deployments/shop/rollback', 'body/generation', { generation: 0 }],
    ['/api/deployments/sh%20op/scale', 'params/service', { count: 1 }],
  ]
  for (const [path, issue, body] of wrong) {
    const answer = await node.ask(path, { ...jsonBody(body), token })
    assert.equal(answer.status, 400, `${path} ${answer.text}`)
    assert.equal(answer.json().issues[0].path, issue, answer.text)
  }
  assert.deepEqual(deployments.done, [])
})

test('an unknown service is 404 with the one that was meant; a new one needs a bundle', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const asked = [
    node.ask('/api/deployments/shpo', { token }),
    node.ask('/api/deployments/shpo/history', { token }),
    node.ask('/api/deployments/shpo/rollout', { token }),
    node.ask('/api/deployments/shpo/rollout/events', { token }),
    node.ask('/api/deployments/shpo/scale', { ...jsonBody({ count: 1 }), token }),
    node.ask('/api/deployments/shpo/stop', { method: 'POST', token }),
    node.ask('/api/deployments/shpo', { ...jsonBody({ count: 1 }, 'PUT'), token }),
    node.ask('/api/deployments/shpo/plan', { ...jsonBody({}), token }),
  ]
  for (const answer of await Promise.all(asked)) {
    assert.deepEqual([answer.status, answer.json().code], [404, 'P2P_DEPLOY_UNKNOWN_SERVICE'])
    assert.match(answer.json().detail, /did you mean shop\?/)
  }
  assert.deepEqual(deployments.done, [])
  const fresh = await node.ask('/api/deployments/cart', { ...jsonBody({ artifact: DIGEST }, 'PUT'), token })
  assert.equal(fresh.status, 202)
})

test('an unknown node is not drained', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const answer = await node.ask('/api/nodes/wroker-1/drain', { method: 'POST', token })
  assert.deepEqual([answer.status, answer.json().code], [404, 'P2P_NETWORK_NODE_UNKNOWN'])
  assert.match(answer.json().detail, /did you mean worker-1\?/)
  assert.deepEqual(deployments.done, [])
})

test('a refusal of the orchestrator keeps its code and its reasons', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const details = { refusals: [{ code: 'P2P_DEPLOY_REFUSED', message: 'shop/buy would vanish' }] }
  deployments.deploy = async () => {
    throw new DeployError('P2P_DEPLOY_REFUSED', 'It would break cart', details)
  }
  const answer = await node.ask('/api/deployments/shop', { ...jsonBody({ count: 1 }, 'PUT'), token })
  assert.deepEqual([answer.status, answer.json().code, answer.json().details], [409, 'P2P_DEPLOY_REFUSED', details])
})

test('a caller who has seen the latest waits for the next change of any deployment', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const first = await node.ask('/api/deployments', { token })
  const index = first.headers.get('x-p2p-index')
  assert.match(index ?? '', /^\d+$/)
  const waiting = node.ask(`/api/deployments/shop?index=${index}&wait=30s`, { token })
  while (node.clock.pendingTimers === 0) await setImmediate()
  deployments.status = { ...deployments.status, healthy: 2 }
  deployments.change()
  const answer = await waiting
  assert.equal(answer.json().healthy, 2)
  assert.equal(Number(answer.headers.get('x-p2p-index')), Number(index) + 1)
  assert.equal(node.clock.pendingTimers, 0)
  const old = await node.ask(`/api/deployments/shop/rollout?index=${index}`, { token })
  assert.equal(old.status, 200, 'an older number is answered at once')
})

test('a service that is removed while somebody waits for it is 404 then', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const index = (await node.ask('/api/deployments', { token })).headers.get('x-p2p-index')
  const waiting = node.ask(`/api/deployments/shop?index=${index}`, { token })
  while (node.clock.pendingTimers === 0) await setImmediate()
  deployments.list = () => []
  deployments.change()
  assert.equal((await waiting).status, 404)
})

test('a stopping node answers who waits, and no listener is left', async () => {
  const { node, deployments, token } = await coordinator()
  const index = (await node.ask('/api/deployments', { token })).headers.get('x-p2p-index')
  const waiting = node.ask(`/api/deployments?index=${index}`, { token })
  while (node.clock.pendingTimers === 0) await setImmediate()
  await node.api.stop()
  assert.equal((await waiting).status, 200)
  assert.equal(deployments.listeners.size, 0)
  await node[Symbol.asyncDispose]()
})

test('a rollout is followed to its end, each event the whole status', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  const done = { ...ROLLOUT, state: 'succeeded' as const, done: 2, endedAtMs: 9 }
  deployments.followed.push({ ...ROLLOUT, done: 2 }, done)
  const answer = await node.ask('/api/deployments/shop/rollout/events', { token })
  assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream/)
  const events = answer.text.split('\n\n').filter((block) => block.startsWith('event: rollout'))
  const last = JSON.parse((events.at(-1) as string).split('data: ')[1] as string)
  assert.deepEqual([last.state, last.done, last.ended_at_ms], ['succeeded', 2, 9])
  assert.equal(node.clock.pendingTimers, 0)
})

test('without a rollout under way the events are the last one, or none', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  deployments.follow = () => assert.fail('nothing to follow')
  deployments.status = { ...deployments.status, rollout: { ...ROLLOUT, state: 'failed', reason: 'no disk' } }
  const ended = await node.ask('/api/deployments/shop/rollout/events', { token })
  assert.match(ended.text, /"state":"failed"/)
  deployments.status = { ...deployments.status, rollout: undefined }
  assert.equal((await node.ask('/api/deployments/shop/rollout/events', { token })).text, 'retry: 2000\n\n')
})

/** The text of an answer that goes on, as far as `pattern`. */
async function readUpTo(chunks: AsyncIterator<Uint8Array>, pattern: RegExp): Promise<void> {
  let text = ''
  while (!pattern.test(text)) {
    const { value, done } = await chunks.next()
    assert.ok(!done, `ended before ${String(pattern)}: ${text}`)
    text += Buffer.from(value).toString()
  }
}

test('events end after ten minutes, with a comment every 15 s before, and when the reader goes', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  deployments.more = Promise.withResolvers<void>().promise
  const signals: AbortSignal[] = []
  const follow = deployments.follow.bind(deployments)
  deployments.follow = (service, signal) => {
    signals.push(signal)
    return follow(service, signal)
  }
  const reader = new AbortController()
  const open = async (): Promise<AsyncIterator<Uint8Array>> => {
    const headers = { authorization: `Bearer ${token}` }
    const opened = await fetch(`${node.url}/api/deployments/shop/rollout/events`, { headers, signal: reader.signal })
    assert.ok(opened.body)
    return opened.body[Symbol.asyncIterator]()
  }
  const first = await open()
  await readUpTo(first, /event: rollout\n.*\n\n/)
  node.clock.advance(15_000)
  await readUpTo(first, /:\n\n/)
  // The moment lies in the last sixteenth of the ten minutes.
  for (let i = 0; i < 39; i++) node.clock.advance(15_000)
  while (!(await first.next()).done);
  assert.equal(signals[0]?.aborted, true)

  const second = await open()
  await readUpTo(second, /event: rollout/)
  const signal = signals[1] as AbortSignal
  assert.equal(signal.aborted, false)
  reader.abort()
  if (!signal.aborted) await once(signal, 'abort')
  assert.equal(node.clock.pendingTimers, 0)
})

test('a rollout that cannot be followed ends the events and is logged, nothing else', async () => {
  const { node, deployments, token } = await coordinator()
  await using _node = node
  deployments.follow = () => {
    throw new DeployError('P2P_DEPLOY_UNKNOWN_SERVICE', 'removed')
  }
  const answer = await node.ask('/api/deployments/shop/rollout/events', { token })
  assert.equal(answer.status, 200)
  assert.match(answer.text, /"state":"running"/)
})

test('a worker answers all of it with 403 and names the coordinators', async () => {
  await using node = await startStubNode({
    membership: membershipOf([member('worker-1', 'worker'), member('coordinator-1', 'coordinator')]),
  })
  const token = await node.tokenFor('admin')
  const asked: [string, RequestInit][] = [
    ['/api/deployments', {}],
    ['/api/deployments/shop', {}],
    ['/api/deployments/shop', jsonBody({}, 'PUT')],
    ['/api/deployments/shop', { method: 'DELETE' }],
    ['/api/deployments/shop/plan', jsonBody({})],
    ['/api/deployments/shop/rollout/events', {}],
    ['/api/nodes/worker-1/drain', { method: 'POST' }],
    ['/api/artifacts', {}],
    ['/api/artifacts', jsonBody({ digest: DIGEST, size_bytes: 1 })],
    [`/api/artifacts/${DIGEST}?offset=0`, { method: 'PUT' }],
    ['/api/secrets', {}],
    ['/api/secrets/x', jsonBody({ value: 'hunter2' }, 'PUT')],
  ]
  for (const [path, init] of asked) {
    const answer = await node.ask(path, { ...init, token })
    assert.deepEqual([answer.status, answer.json().code], [403, 'P2P_HTTP_COORDINATOR_ONLY'], path)
    assert.equal(answer.json().details.coordinators.length, 1)
    assert.doesNotMatch(answer.text, /hunter2/)
  }
})

test('secrets go in and never come out', async () => {
  const secrets = new StubSecrets()
  await using node = await startStubNode({ secrets })
  const token = await node.tokenFor('admin')
  const set = await node.ask('/api/secrets/shop%2Fmail', { ...jsonBody({ value: 's3cret' }, 'PUT'), token })
  assert.deepEqual(set.json(), {
    name: 'shop/mail',
    version: 1,
    updated_at_ms: 1,
    by: 'person:operator',
    used_by: ['shop'],
  })
  assert.equal(secrets.values.get('shop/mail'), 's3cret')
  const listed = await node.ask('/api/secrets', { token })
  assert.deepEqual(
    listed.json().secrets.map(({ name }: { name: string }) => name),
    ['shop/db', 'shop/mail'],
  )
  assert.doesNotMatch(listed.text + set.text, /s3cret|hunter2/)
  assert.equal((await node.ask('/api/secrets/shop%2Fmail', { method: 'DELETE', token })).status, 204)
  const unknown = await node.ask('/api/secrets/shop%2Fmail', { method: 'DELETE', token })
  assert.deepEqual([unknown.status, unknown.json().code], [404, 'P2P_DEPLOY_SECRET_UNKNOWN'])
  for (const body of [{}, { value: '' }, { value: 5 }, { value: 's3cret', extra: 1 }]) {
    const refused = await node.ask('/api/secrets/a', { ...jsonBody(body, 'PUT'), token })
    assert.equal(refused.status, 400)
    assert.doesNotMatch(refused.text, /s3cret/)
  }
})

test('a service is controlled on the node that is named, for the person who asks', async () => {
  const done: unknown[] = []
  const nodeControl: NodeControl = {
    control: async (request, { caller, deadlineMs }) => void done.push([request, caller, deadlineMs]),
  }
  await using node = await startStubNode({ nodeControl })
  const token = await node.tokenFor('operator')
  const ask = (worker_id: string) =>
    node.ask('/api/dashboard/control-service', {
      ...jsonBody({ worker_id, service_name: 'inventory', action: 'stop' }),
      token,
    })
  assert.deepEqual((await ask('worker-1')).json(), {
    success: true,
    worker_id: 'worker-1',
    service_name: 'inventory',
    action: 'stop',
  })
  assert.equal((await ask('coordinator')).json().worker_id, 'coordinator-1')
  const own = await node.ask('/services/inventory/restart', { method: 'POST', token })
  assert.equal(own.json().worker_id, 'coordinator-1')
  const caller = { kind: 'person', name: 'operator', role: 'operator' }
  const deadlineMs = node.clock.nowMs() + 60_000
  assert.deepEqual(done, [
    [{ nodeId: 'worker-1', service: 'inventory', action: 'stop' }, caller, deadlineMs],
    [{ nodeId: 'coordinator-1', service: 'inventory', action: 'stop' }, caller, deadlineMs],
    [{ nodeId: 'coordinator-1', service: 'inventory', action: 'restart' }, caller, deadlineMs],
  ])
  const unknown = await ask('worker-2')
  assert.deepEqual([unknown.status, unknown.json().code], [404, 'P2P_NETWORK_NODE_UNKNOWN'])
  for (const body of [
    { worker_id: 'worker-1', service_name: 'inventory', action: 'reload' },
    { worker_id: 'worker-1', service_name: '../x', action: 'stop' },
    { worker_id: 'worker-1', action: 'stop' },
  ]) {
    assert.equal((await node.ask('/api/dashboard/control-service', { ...jsonBody(body), token })).status, 400)
  }
  assert.equal(done.length, 3)
})

test('services tell how they run on this node', async () => {
  await using node = await startStubNode({
    serviceHost: {
      states: () => [
        {
          name: 'inventory',
          version: '1.2.0',
          generation: 4,
          kind: 'process',
          origin: 'deployed',
          isStopped: false,
          wanted: 2,
          instances: [
            {
              id: 'inventory#1',
              state: 'running',
              version: '1.2.0',
              generation: 4,
              kind: 'process',
              pid: 77,
              restarts: 3,
              health: 'healthy',
              reason: undefined,
              startedAtMs: Date.UTC(2026, 0, 1),
              memoryBytes: 5,
              cpuPercent: 1.5,
            },
          ],
        },
      ],
    },
  })
  const token = await node.tokenFor('viewer')
  const expected = {
    kind: 'process',
    origin: 'deployed',
    is_stopped: false,
    wanted: 2,
    instances: [
      {
        id: 'inventory#1',
        state: 'running',
        health: 'healthy',
        version: '1.2.0',
        generation: 4,
        pid: 77,
        restarts: 3,
        started_at: '2026-01-01T00:00:00.000Z',
        memory_bytes: 5,
        cpu_percent: 1.5,
      },
    ],
  }
  assert.deepEqual((await node.ask('/services', { token })).json().inventory.runtime, expected)
  assert.deepEqual((await node.ask('/services/inventory', { token })).json().runtime, expected)
})
