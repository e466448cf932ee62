import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { DeployError } from '../../../../src/base/errors.ts'
import type { NodeId, NodeRole, Principal } from '../../../../src/base/identity.ts'
import { type ArtifactExchange, createArtifactExchange } from '../../../../src/deploy/index.ts'
import type { Caller } from '../../../../src/service/index.ts'
import { SimulatedClock } from '../../../../src/testing/simulated-clock.ts'
import { SimulatedRandom } from '../../../../src/testing/simulated-random.ts'
import { serviceRecord, StubMembers } from '../members.ts'
import { callMethod } from './node.ts'

const DIGEST = 'a'.repeat(64)
const ASKING = new AbortController().signal
const EXCHANGE: Principal = { kind: 'node', nodeId: 'w9', role: 'worker', service: 'artifacts' }

let members: StubMembers
/** By node: what it has of {@link DIGEST}. */
let bytes: Map<NodeId, Uint8Array>
let asked: string[]
const nodes = new Map<NodeId, ArtifactExchange>()
const clock = new SimulatedClock()

beforeEach(() => {
  members = new StubMembers('c1', () => 0)
  bytes = new Map()
  asked = []
  nodes.clear()
  add('c1', 'coordinator')
  for (const nodeId of ['w1', 'w2', 'w3']) add(nodeId, 'worker')
})

function add(nodeId: NodeId, role: NodeRole): void {
  members.set(nodeId, role, { services: [serviceRecord('artifacts')] })
  const signed = { statement: `signed for ${nodeId}`, signature: '', chain: '' }
  const calls: Caller = {
    call: async (method, params, { caller }, target) => {
      asked.push(`${method} ${target}`)
      const other = nodes.get(target ?? '')
      const answer = callMethod(other?.service as never, method.split('/')[1] as string, params as object, caller)
      return answer
    },
  }
  const exchange = createArtifactExchange(
    {
      clock,
      random: new SimulatedRandom(1),
      membership: members,
      calls,
      store: {
        get: () => (bytes.has(nodeId) ? ({ signed } as never) : undefined),
        async *read(_digest, offset = 0) {
          const own = bytes.get(nodeId)
          if (!own) throw new DeployError('P2P_ARTIFACT_UNKNOWN', `not on ${nodeId}`)
          yield own.subarray(offset)
        },
      },
      ...(role === 'coordinator' && {
        sign: () => (bytes.has(nodeId) ? { ...signed, statement: 'signed now' } : undefined),
        holdersOf: () => [...bytes.keys()],
      }),
    },
    { identity: { cluster: 'test', role, nodeId }, softwareVersion: '3.0.0' },
  )
  nodes.set(nodeId, exchange)
}

const exchange = (nodeId: NodeId): ArtifactExchange => nodes.get(nodeId) as ArtifactExchange

test('the coordinator says what it is and who has it; those are read from first, the coordinator last', async () => {
  bytes.set('c1', new Uint8Array([1, 2, 3])).set('w3', new Uint8Array([1, 2, 3]))
  const signed = await exchange('w1').signatureOf(DIGEST, ASKING)
  assert.equal(signed.statement, 'signed now')
  const sources = exchange('w1').sourcesOf(DIGEST)
  assert.deepEqual(
    sources.map(({ nodeId, isCoordinator }) => [nodeId, isCoordinator]),
    [
      ['w3', false],
      ['c1', true],
    ],
  )
  const read: number[] = []
  for await (const chunk of sources[0]?.read(DIGEST, 1, ASKING) ?? []) read.push(...chunk)
  assert.deepEqual(read, [2, 3])
})

test('without a coordinator a neighbour says it, and all neighbours may have it', async () => {
  members.set('c1', 'coordinator', { status: 'dead' })
  bytes.set('w2', new Uint8Array([1]))
  assert.equal((await exchange('w1').signatureOf(DIGEST, ASKING)).statement, 'signed for w2')
  assert.deepEqual(
    exchange('w1')
      .sourcesOf(DIGEST)
      .map(({ nodeId }) => nodeId)
      .sort(),
    ['w2', 'w3'],
  )
})

test('what a coordinator said of who has it ends with the coordinator: others may have it meanwhile', async () => {
  bytes.set('c1', new Uint8Array([1]))
  await exchange('w1').signatureOf(DIGEST, ASKING)
  bytes.set('w2', new Uint8Array([1]))
  members.set('c1', 'coordinator', { status: 'dead' })
  assert.equal((await exchange('w1').signatureOf(DIGEST, ASKING)).statement, 'signed for w2')
  const sources = exchange('w1').sourcesOf(DIGEST)
  assert.deepEqual(sources.map(({ nodeId }) => nodeId).sort(), ['w2', 'w3'])
})

test('alone a node goes by what it was told before; with nothing it says so', async () => {
  for (const nodeId of ['c1', 'w2', 'w3']) members.set(nodeId, 'worker', { status: 'dead' })
  await assert.rejects(exchange('w1').signatureOf(DIGEST, ASKING), {
    code: 'P2P_ARTIFACT_UNAVAILABLE',
    message: /no other node/,
  })
  bytes.set('w1', new Uint8Array([1]))
  assert.equal((await exchange('w1').signatureOf(DIGEST, ASKING)).statement, 'signed for w1')
})

test('what nobody has is said with each one’s reason', async () => {
  await assert.rejects(exchange('w1').signatureOf(DIGEST, ASKING), {
    code: 'P2P_ARTIFACT_UNAVAILABLE',
    message: /c1: Node c1 does not have.*w2: .*w3: /,
  })
})

test('a coordinator asks nobody for what it signs itself', async () => {
  bytes.set('c1', new Uint8Array([1]))
  await exchange('c1').signatureOf(DIGEST, ASKING)
  assert.deepEqual(asked, [])
})

test('only the artifacts service of another node may read', async () => {
  bytes.set('w1', new Uint8Array([1]))
  const { service } = exchange('w1')
  assert.ok(await callMethod(service, 'describe', { digest: DIGEST }, EXCHANGE))
  const strangers: Principal[] = [
    { ...EXCHANGE, service: 'shop' },
    { kind: 'person', name: 'root', role: 'admin' },
  ]
  for (const caller of strangers) {
    for (const name of ['read', 'describe']) {
      await assert.rejects(callMethod(service, name, { digest: DIGEST, offset: 0 }, caller), {
        code: 'P2P_RPC_ACCESS_DENIED',
      })
    }
  }
})

test('at most eight neighbours are asked', async () => {
  for (let i = 10; i < 40; i++) add(`w${i}`, 'worker')
  assert.equal(
    exchange('w1')
      .sourcesOf(DIGEST)
      .filter(({ isCoordinator }) => !isCoordinator).length,
    8,
  )
})
