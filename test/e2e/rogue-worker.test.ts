import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import type { PeerChannel } from '../../src/base/peer.ts'
import { type ApiRequest, callApi } from '../../src/cli/session/api-client.ts'
import { createGossip, createRecordSigner, createRecordVerifier } from '../../src/network/index.ts'
import type { ManagedIdentity } from '../../src/pki/index.ts'
import { dialUnverified } from '../../src/transport/index.ts'
import { certifyWorker, openPeersOf } from './support/certified-worker.ts'
import { eventually, freePort, makeHome, p2p, startNode } from './support/node-process.ts'

const SECRET = 'correct-horse-battery-staple'
const { signal } = new AbortController()

/** For people, and without parameters that could be wrong. */
const PARAMETERLESS: ReadonlySet<string> = new Set([
  'log_collector/clear_logs',
  'metrics_dashboard/clear_metrics_history',
  'system/get_config',
  'system/renew_certificate',
])

/** Theirs are for every node, as those of any service: roles are for people. */
const PLUGGABLE: ReadonlySet<string> = new Set(['inventory', 'watch'])

interface Listed {
  node_id: string
  role: string
  status: string
  services: Record<string, unknown>
}

/** A real coordinator, a real worker that is the victim, and a certificate of the rogue's own. */
async function startCluster(t: TestContext) {
  const home = makeHome(t)
  const port = await freePort()
  const node = (name: string, more: object) => startNode(t, home.config(name, { bind_address: '127.0.0.1', ...more }))
  const { operatorFile } = await node('coordinator-1', { port, coordinator_mode: true }).ready()
  const victimPort = await freePort()
  await node('victim', { port: victimPort, coordinator_addresses: [`127.0.0.1:${port}`] }).ready()
  const run = async (args: string[], env: Record<string, string> = {}) => {
    const { code, stdout, stderr } = await p2p(args, { cwd: home.directory, env })
    assert.equal(code, 0, stderr)
    return stdout
  }
  await run(['login'])
  const made = await run(['token', 'create', '--uses', '9', '--output', 'json'])
  const { url, ca_certificate: caCertificate } = JSON.parse(readFileSync(operatorFile as string, 'utf8')) as {
    url: string
    ca_certificate: string
  }
  const { profiles } = JSON.parse(readFileSync(`${home.directory}/xdg/p2p/login.json`, 'utf8')) as {
    profiles: { default: { access_token: string } }
  }
  const { access_token: accessToken } = profiles.default
  const ask = <T>(path: string, method: ApiRequest['method'] = 'GET', body?: object) =>
    callApi({ url, caCertificate, accessToken }, { method, path, ...(body && { body }) }) as Promise<T>
  const members = async (): Promise<Map<string, Listed>> => {
    const { nodes } = await ask<{ nodes: Listed[] }>('/cluster/nodes')
    return new Map(nodes.map((listed) => [listed.node_id, listed]))
  }
  const { token } = JSON.parse(made) as { token: string }
  return { port, victimPort, ask, members, certify: (nodeId: string) => certifyWorker(t, { port, nodeId, token }) }
}

/** Says by gossip that it is `claimed`, and signs that with its own key. */
async function claim(
  t: TestContext,
  { identity, port }: { identity: ManagedIdentity; port: number },
  claimed: { nodeId: string; role: 'worker' | 'coordinator' },
) {
  const { transport, peers, cluster, needs } = await openPeersOf(t, identity)
  const verifier = createRecordVerifier(needs)
  const gossip = createGossip(
    { ...needs, peers, signer: createRecordSigner(identity), verifier, interfaces: () => [] },
    {
      ...claimed,
      cluster,
      softwareVersion: '9.9.9',
      record: {
        addresses: [`127.0.0.1:${transport.address().port}`],
        labels: { rogue: 'yes' },
        certificateSerial: identity.certificate().serial,
        capacity: { cpus: 1, memoryBytes: 1 },
      },
      seeds: [`127.0.0.1:${port}`],
      intervalMsMin: 100,
      intervalMsMax: 200,
      compressionEnabled: false,
      compressionThresholdBytes: 0,
    },
  )
  await gossip.start(signal)
  t.after(() => gossip.stop())
  return { gossip, peers }
}

test('a worker with a valid certificate speaks for nobody but itself', { timeout: 180_000 }, async (t) => {
  const { port, victimPort, ask, members, certify } = await startCluster(t)
  const identity = await certify('rogue')

  await t.test('its gossip in the name of another node, or as a coordinator, changes nothing', async (t2) => {
    const before = (await members()).get('victim')
    const claims = [
      { nodeId: 'victim', role: 'worker' },
      { nodeId: 'nobody-yet', role: 'worker' },
      { nodeId: 'rogue', role: 'coordinator' },
    ] as const
    for (const claimed of claims) {
      const { gossip, peers } = await claim(t2, { identity, port }, claimed)
      // It has a channel and has exchanged all it has; what it said was looked at.
      await eventually(
        async () => peers.list().length > 0 && gossip.stats().framesSent > 20,
        (isDone) => isDone,
      )
      await gossip.stop()
    }
    const after = await members()
    assert.deepEqual([...after.keys()].sort(), ['coordinator-1', 'victim'])
    assert.deepEqual([after.get('victim')?.status, after.get('victim')?.services], ['alive', before?.services])
    assert.equal(JSON.stringify([...after]).includes('9.9.9'), false)
  })

  await t.test('over its channel: no report, no secret, no log line and no word of another', async (t2) => {
    await ask('/api/secrets/shop%2Fdb', 'PUT', { value: SECRET })
    const { peers } = await openPeersOf(t2, identity)
    const channel = await peers.open({ addresses: [`127.0.0.1:${port}`] })
    const call = caller(peers)
    const agent = { service: 'deploy_agent' }
    const report = (nodeId: string) => ({ report: { nodeId, revision: 1, assignments: [] }, started_at_ms: 1 })
    const read = (version: number) => ({ secrets: [{ name: 'shop/db', version }] })
    const line = { timestamp: 1, level: 'INFO', logger_name: 'x', message: 'forged', fields: '{}' }
    const batch = { node_id: 'victim', epoch: 'a'.repeat(16), first: 1, sent_at: 1, logs: [line] }
    const admin = { caller: { kind: 'person', name: 'operator', role: 'admin' }, relayed_by: 'coordinator-1' }
    const denied = 'P2P_RPC_ACCESS_DENIED'
    const attempts: [method: string, params: object, context: object, code: string][] = [
      ['orchestrator/report', report('victim'), agent, denied],
      ['orchestrator/report', report('rogue'), {}, denied],
      ['orchestrator/read_secrets', read(0), agent, 'P2P_DEPLOY_SECRET_UNKNOWN'],
      ['orchestrator/read_secrets', read(1), agent, 'P2P_DEPLOY_SECRET_UNKNOWN'],
      ['orchestrator/read_secrets', read(1), admin, denied],
      ['orchestrator/uninstall_service', { service_name: 'shop' }, admin, denied],
      ['log_collector/add_logs', batch, { service: 'log_shipper' }, denied],
      ['log_collector/add_logs', batch, {}, denied],
    ]
    for (const [method, params, context, code] of attempts) {
      const answer = await call(channel, method, params, context)
      assert.match(answer, new RegExp(`"code":"${code}"`), `${method}: ${answer}`)
      assert.doesNotMatch(answer, new RegExp(SECRET), method)
    }
    assert.match(
      await call(channel, 'orchestrator/report', report('rogue'), agent),
      /"result"|\n\{\}/,
      'for itself it may',
    )
  })

  await t.test('what is for people it may not do, on no node, in nobody’s name', async (t2) => {
    const { peers } = await openPeersOf(t2, identity)
    const call = caller(peers)
    const asItself = {}
    const asAdmin = { person: { name: 'operator', role: 'admin' } }
    const params: Record<string, object> = {
      'metrics_dashboard/control_service': { worker_id: 'victim', service_name: 'shop', action: 'stop' },
      'metrics_reporter/control_reporter': { action: 'stop' },
      'metrics_reporter/set_interval': { interval: 1 },
      'orchestrator/uninstall_service': { service_name: 'shop' },
      'deploy_agent/control_service': { service_name: 'shop', action: 'stop' },
    }
    const seen = new Set<string>()
    for (const node of [port, victimPort]) {
      const channel = await peers.open({ addresses: [`127.0.0.1:${node}`] })
      const at = channel.peer.nodeId
      const services = Object.keys((await members()).get(at)?.services ?? {})
      for (const service of services.filter((name) => !PLUGGABLE.has(name))) {
        const answer = await call(channel, 'system/describe_service', { name: service }, asItself)
        const { method_details: methods } = JSON.parse(answer.slice(answer.indexOf('\n') + 1)) as {
          method_details: { name: string; required_role: string }[]
        }
        for (const { name } of methods.filter(({ required_role: role }) => role !== 'viewer')) {
          const method = `${service}/${name}`
          // What nodes tell each other has parameters, which these are not; who may say it is looked at above.
          const isForPeople = method in params || PARAMETERLESS.has(method)
          const expected = isForPeople ? /"P2P_RPC_ACCESS_DENIED"/ : /"P2P_RPC_(ACCESS_DENIED|INVALID_PARAMS)"/
          for (const context of [asItself, asAdmin]) {
            const told = await call(channel, method, params[method] ?? {}, context)
            assert.match(told, expected, `${method} of ${at} as ${JSON.stringify(context)}: ${told}`)
          }
          seen.add(method)
        }
      }
    }
    for (const method of [...Object.keys(params), ...PARAMETERLESS]) assert.ok(seen.has(method), method)
  })

  await t.test(
    'floods of calls, events, log lines and joins take its own share: everybody else is served',
    async (t2) => {
      const { peers } = await openPeersOf(t2, identity)
      const channel = await peers.open({ addresses: [`127.0.0.1:${port}`] })
      const call = caller(peers)
      const rogue = { count: 0, isOver: false }
      t2.after(() => (rogue.isOver = true))
      /** As much at once as the channel takes, again and again. */
      const flood = async (attempt: () => Promise<unknown>, atOnce: number): Promise<void> => {
        while (!rogue.isOver) {
          await Promise.all(Array.from({ length: atOnce }, () => attempt().then(() => rogue.count++)))
        }
      }
      const line = { timestamp: 1, level: 'ERROR', logger_name: 'x', message: 'y'.repeat(200), fields: '{}' }
      const logs = Array.from({ length: 2_000 }, () => line)
      const epoch = 'b'.repeat(16)
      let first = 1
      const batch = () => ({ node_id: 'rogue', epoch, first: (first += logs.length) - logs.length, sent_at: 1, logs })
      const event = { topic: 'orders.created', service: 'shop', balanced: ['shop'], data: 'z'.repeat(500) }
      const floods = [
        flood(() => call(channel, 'system/ping', {}, {}), 2_000),
        flood(() => call(channel, '$/event', event, {}), 2_000),
        flood(() => call(channel, 'log_collector/add_logs', batch(), {}), 4),
        flood(
          () => call(channel, 'orchestrator/report', { report: { nodeId: 'rogue' } }, { service: 'deploy_agent' }),
          200,
        ),
        flood(() => beginJoin(port), 4),
      ]
      // Through the coordinator to the victim and back, out of the store that the flood is written to, and from its own memory.
      const asked = { method: 'POST', path: '/rpc?node=victim' } as const
      for (let n = 0; n < 5; n++) {
        const ping = await ask<{ result?: unknown }>(asked.path, asked.method, {
          jsonrpc: '2.0',
          id: n,
          method: 'system/ping',
        })
        assert.ok(ping.result, JSON.stringify(ping))
        const { logs: found } = await ask<{ logs: unknown[] }>('/api/logs?node_id=victim&limit=1')
        assert.equal(found.length, 1)
        assert.equal((await members()).get('victim')?.status, 'alive')
      }
      assert.ok(rogue.count > 0, 'it was a flood')
      rogue.isOver = true
      await Promise.all(floods)
      assert.equal((await members()).get('victim')?.status, 'alive')
    },
  )
})

/** Asks for a nonce as who joins, over a connection of its own; whether it gets one is the coordinator's to say. */
async function beginJoin(port: number): Promise<void> {
  const connection = await dialUnverified(`127.0.0.1:${port}`).catch(() => undefined)
  await connection?.request('POST', '/internal/cert-nonce', { client_nonce: 'n'.repeat(32) }).catch(() => {})
  await connection?.close()
}

/** Calls over a channel with whatever the context says (docs/protocol/jsonrpc.md). @returns the answer as text */
function caller(peers: Awaited<ReturnType<typeof openPeersOf>>['peers']) {
  const waiting = new Map<number, (text: string) => void>()
  let count = 0
  peers.handle('rpc', (_channel, payload) => {
    const text = Buffer.from(payload).toString()
    const id = Number(/"id":(\d+)/.exec(text)?.[1])
    waiting.get(id)?.(text)
    waiting.delete(id)
  })
  return (channel: PeerChannel, method: string, params: object, context: object): Promise<string> => {
    const id = ++count
    const head = { jsonrpc: '2.0', id, method, context: { timeout_ms: 10_000, trace_id: 'a'.repeat(32), ...context } }
    channel.send('rpc', Buffer.from(`${JSON.stringify(head)}\n${JSON.stringify(params)}`))
    return new Promise((resolve) => waiting.set(id, resolve))
  }
}
