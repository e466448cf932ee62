import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLogger } from '../../../src/base/log.ts'
import type { Member, MemberStatus, Membership } from '../../../src/base/member.ts'
import type { PeerTarget } from '../../../src/base/peer.ts'
import { keepNeighbours } from '../../../src/context/kept-neighbours.ts'
import { MemoryStore } from '../pki/memory-store.ts'

const { signal } = new AbortController()

class Members implements Membership {
  readonly #members = new Map<string, Member>()
  readonly #listeners = new Set<Parameters<Membership['onChange']>[0]>()

  constructor() {
    this.set('self', 'alive')
  }

  set(nodeId: string, status: MemberStatus, addresses = [`${nodeId}:1`]): void {
    const member = { record: { nodeId, addresses }, status } as unknown as Member
    this.#members.set(nodeId, member)
    for (const listener of this.#listeners) listener({ member, previous: undefined })
  }

  self = (): Member => this.#members.get('self') as Member
  members = (): Member[] => [...this.#members.values()]
  get = (nodeId: string): Member | undefined => this.#members.get(nodeId)
  onChange(listener: Parameters<Membership['onChange']>[0]): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }
}

/** Whom a node that starts with this store dials. Nobody answers. */
async function dialledAtStart(store: MemoryStore): Promise<PeerTarget[]> {
  const dialled: PeerTarget[] = []
  const open = (target: PeerTarget): Promise<never> => {
    dialled.push(target)
    return Promise.reject(new Error('nobody is there'))
  }
  const kept = keepNeighbours({ store, membership: new Members(), peers: { open }, log: silentLogger })
  await kept.start(signal)
  await kept.stop()
  return dialled
}

/** A life of a node with this store, in which `happen` happens to its view of the others. */
async function live(store: MemoryStore, happen: (members: Members) => void): Promise<void> {
  const membership = new Members()
  const peers = { open: () => Promise.reject(new Error('nobody is there')) }
  const kept = keepNeighbours({ store, membership, peers, log: silentLogger })
  await kept.start(signal)
  happen(membership)
  await kept.stop()
}

test('a node dials at its start the members that lived when it ended, where they were last', async () => {
  const store = new MemoryStore()
  assert.deepEqual(await dialledAtStart(store), [])
  await live(store, (members) => {
    members.set('a', 'alive')
    members.set('b', 'alive')
    members.set('c', 'alive')
    members.set('a', 'alive', ['moved:2'])
    members.set('b', 'dead')
  })
  assert.deepEqual(await dialledAtStart(store), [
    { nodeId: 'a', addresses: ['moved:2'] },
    { nodeId: 'c', addresses: ['c:1'] },
  ])
})

test('the last member seen is kept when no other one lives', async () => {
  const store = new MemoryStore()
  await live(store, (members) => members.set('a', 'alive'))
  await live(store, (members) => members.set('a', 'dead'))
  assert.deepEqual(await dialledAtStart(store), [{ nodeId: 'a', addresses: ['a:1'] }])
})

test('a large cluster costs sixteen addresses, and members beyond them no write', async () => {
  const store = new MemoryStore()
  await live(store, (members) => {
    for (let index = 0; index < 100; index++) members.set(`n${index}`, 'alive')
  })
  const first = await dialledAtStart(store)
  assert.equal(first.length, 16)
  const { revision } = store
  await live(store, (members) => {
    for (const { nodeId } of first) members.set(nodeId as string, 'alive')
    for (let index = 0; index < 200; index++) members.set(`n${index}`, 'alive')
  })
  assert.ok(store.revision - revision <= 2, `${store.revision - revision} writes`)
  assert.deepEqual(
    (await dialledAtStart(store)).map(({ nodeId }) => nodeId).sort(),
    first.map(({ nodeId }) => nodeId).sort(),
  )
})

test('a disk that is full costs only the memory of it', async () => {
  const store = new MemoryStore()
  store.failure = new Error('disk full')
  await live(store, (members) => members.set('a', 'alive'))
  assert.deepEqual(await dialledAtStart(store), [])
})
