import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Nonces } from '../../../src/pki/nonces.ts'
import { systemRandom } from '../../../src/platform/index.ts'
import { ManualClock } from './manual-clock.ts'

const exporter = new Uint8Array(32).fill(1)
const refused = { code: 'P2P_PKI_NONCE_INVALID' }

function create() {
  const clock = new ManualClock()
  return { clock, nonces: new Nonces(clock, systemRandom) }
}

test('a nonce is good once', () => {
  const { nonces } = create()
  const nonce = nonces.issue(exporter)
  nonces.use(nonce, exporter)
  assert.throws(() => nonces.use(nonce, exporter), refused)
})

test('a nonce is good on its own connection only, and a try on another spends it', () => {
  const { nonces } = create()
  const nonce = nonces.issue(exporter)
  assert.throws(() => nonces.use(nonce, new Uint8Array(32)), refused)
  assert.throws(() => nonces.use(nonce, exporter), refused)
})

test('a nonce is good for 60 s', () => {
  const { nonces, clock } = create()
  const [early, late] = [nonces.issue(exporter), nonces.issue(exporter)]
  clock.advance(59_999)
  nonces.use(early, exporter)
  clock.advance(1)
  assert.throws(() => nonces.use(late, exporter), refused)
})

test('a made-up nonce is refused', () => {
  assert.throws(() => create().nonces.use('made-up', exporter), refused)
})

test('a flood of nonces pushes out the oldest and never the newest', () => {
  const { nonces } = create()
  const oldest = nonces.issue(exporter)
  for (let i = 0; i < 10_000; i++) nonces.issue(exporter)
  const newest = nonces.issue(exporter)
  nonces.use(newest, exporter)
  assert.throws(() => nonces.use(oldest, exporter), refused)
})
