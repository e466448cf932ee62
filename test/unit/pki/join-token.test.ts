import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  formatHostJoinSecret,
  formatJoinLine,
  formatJoinToken,
  parseHostJoinSecret,
  parseJoinToken,
} from '../../../src/pki/index.ts'
import { tokenId, tokenKey } from '../../../src/pki/join-token.ts'

const caFingerprint = 'ab'.repeat(32)
const secret = Buffer.alloc(16, 7)
const token = formatJoinToken({ caFingerprint, secret })

test('a token survives copying: blanks and upper case', () => {
  assert.equal(token, `P2P1-${caFingerprint}-${'07'.repeat(16)}`)
  const parsed = parseJoinToken(`  ${token.toUpperCase()}\n`)
  assert.equal(parsed.caFingerprint, caFingerprint)
  assert.deepEqual(Buffer.from(parsed.secret), secret)
})

test('a damaged token is refused, and the error does not repeat it', () => {
  for (const text of [
    '',
    'P2P1-',
    token.slice(0, -1),
    `${token}0`,
    token.replace('P2P1', 'P2P2'),
    token.replace('ab', 'xy'),
  ]) {
    assert.throws(
      () => parseJoinToken(text),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'P2P_PKI_TOKEN_INVALID')
        assert.ok(!error.message.includes('07070707'))
        return true
      },
    )
  }
})

test('id and key of a token say nothing of each other or of the secret', () => {
  assert.match(tokenId(secret), /^[0-9a-f]{16}$/)
  const texts = [tokenId(secret), Buffer.from(tokenKey(secret)).toString('hex'), secret.toString('hex')]
  for (const a of texts) for (const b of texts) if (a !== b) assert.ok(!a.includes(b.slice(0, 16)))
})

test('the line that joins a machine is the one of the manual', () => {
  assert.equal(
    formatJoinLine({ address: 'host:8001', token }),
    `p2p --config worker.yaml --coord host:8001 --join ${token}`,
  )
})

test('a host join secret comes back from its file, and a damaged file is refused', () => {
  const text = formatHostJoinSecret({ fingerprint: caFingerprint, key: Buffer.alloc(32, 5) })
  assert.deepEqual(parseHostJoinSecret(text), { fingerprint: caFingerprint, key: new Uint8Array(32).fill(5) })
  for (const damaged of ['', text.slice(0, 90), text.replace('HOST', 'POST')]) {
    assert.throws(() => parseHostJoinSecret(damaged), { code: 'P2P_PKI_TOKEN_INVALID' })
  }
})
