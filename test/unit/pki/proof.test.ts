import assert from 'node:assert/strict'
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { isSameMac, type JoinFacts, joinMac, plotProof } from '../../../src/pki/proof.ts'

const key = Buffer.alloc(32, 1)
const facts: JoinFacts = {
  exporter: Buffer.alloc(32, 2),
  csrDer: Buffer.from('csr'),
  nodeId: 'worker-1',
  role: 'worker',
  nonce: 'nonce',
}

test('a join proof is the HMAC of docs/protocol/enrolment.md', () => {
  const parts = [
    'p2p-core join proof v1',
    facts.exporter,
    createHash('sha256').update('csr').digest(),
    'worker-1',
    'worker',
    'nonce',
  ]
  const hmac = createHmac('sha256', key)
  for (const part of parts) {
    const bytes = Buffer.from(part as string)
    hmac.update(Buffer.from([0, 0, 0, bytes.length])).update(bytes)
  }
  assert.equal(joinMac(key, facts), hmac.digest('hex'))
})

test('a change of any fact changes the proof', () => {
  const changes: Partial<JoinFacts>[] = [
    { exporter: randomBytes(32) },
    { csrDer: Buffer.from('other') },
    { nodeId: 'worker-2' },
    { role: 'coordinator' },
    { nonce: 'other' },
    // What moves from one part to the next is not the same either.
    { nodeId: 'worker-1w', role: 'orker' as never },
  ]
  const macs = [facts, ...changes.map((change) => ({ ...facts, ...change }))].map((given) => joinMac(key, given))
  assert.equal(new Set([...macs, joinMac(Buffer.alloc(32, 9), facts)]).size, changes.length + 2)
})

test('a plot proof is none for joining', () => {
  const plot = { exporter: facts.exporter, clientNonce: 'nonce', caFingerprint: 'ab' }
  assert.notEqual(plotProof(key, plot), joinMac(key, facts))
  assert.notEqual(plotProof(key, plot), plotProof(key, { ...plot, clientNonce: 'other' }))
})

test('only the same MAC is the same, in whichever case it is written', () => {
  const mac = joinMac(key, facts)
  assert.ok(isSameMac(mac, mac.toUpperCase()))
  assert.ok(!isSameMac(mac, mac.slice(1)))
  assert.ok(!isSameMac(mac, `0${mac.slice(1)}`) || mac.startsWith('0'))
  assert.ok(!isSameMac(mac, ''))
})
