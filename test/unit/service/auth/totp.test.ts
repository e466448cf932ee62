import assert from 'node:assert/strict'
import { test } from 'node:test'
import { stepOfCode, toBase32, totpAddress, totpCode } from '../../../../src/service/auth/totp.ts'

/** RFC 6238 appendix B, SHA-1, the last six of its eight digits. */
const secret = Buffer.from('12345678901234567890')
const VECTORS: [seconds: number, code: string][] = [
  [59, '287082'],
  [1_111_111_109, '081804'],
  [1_111_111_111, '050471'],
  [1_234_567_890, '005924'],
  [2_000_000_000, '279037'],
  [20_000_000_000, '353130'],
]

test('codes are those of the standard', () => {
  for (const [seconds, code] of VECTORS) assert.equal(totpCode(secret, seconds * 1_000), code)
})

test('the code of now, of the step before and of the step after is taken, and no other', () => {
  const nowMs = 1_234_567_890_000
  const at = (steps: number): number | undefined =>
    stepOfCode(secret, totpCode(secret, nowMs + steps * 30_000), nowMs, 0)
  assert.deepEqual(
    [-2, -1, 0, 1, 2].map((steps) => at(steps) !== undefined),
    [false, true, true, true, false],
  )
  for (const wrong of ['', '000000', '5924', '005924 ', '0059240']) {
    assert.equal(stepOfCode(secret, wrong, nowMs, 0), undefined, wrong)
  }
})

test('a code that was used is refused, and so is every earlier one', () => {
  const nowMs = 1_234_567_890_000
  const used = stepOfCode(secret, totpCode(secret, nowMs), nowMs, 0) as number
  assert.equal(stepOfCode(secret, totpCode(secret, nowMs), nowMs, used), undefined)
  assert.equal(stepOfCode(secret, totpCode(secret, nowMs - 30_000), nowMs, used), undefined)
  assert.equal(stepOfCode(secret, totpCode(secret, nowMs + 30_000), nowMs, used), used + 1)
})

test('the address and the secret are as authenticator programs read them', () => {
  // RFC 4648 section 10.
  assert.deepEqual(
    ['', 'f', 'fo', 'foo', 'foob', 'fooba', 'foobar'].map((text) => toBase32(Buffer.from(text))),
    ['', 'MY', 'MZXQ', 'MZXW6', 'MZXW6YQ', 'MZXW6YTB', 'MZXW6YTBOI'],
  )
  assert.equal(
    totpAddress(secret, { issuer: 'P2P Core blue', name: 'ada@home' }),
    'otpauth://totp/P2P%20Core%20blue:ada%40home?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=P2P%20Core%20blue',
  )
})
